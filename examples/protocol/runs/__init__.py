"""One training run and its record."""
