"""Class names from WordNet."""
