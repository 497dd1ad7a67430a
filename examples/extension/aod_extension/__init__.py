"""A detector and an action that come with a package of their own."""
