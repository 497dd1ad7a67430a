"""What a person reads of a bundle."""
