"""A manifest in words: the summary of a bundle, its figures, and advice on what to look at next."""
