"""Prompts whose first rows are the same for all classes: those rows are computed once."""
