"""The commands of the methods."""
