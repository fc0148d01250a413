"""The protocol on a fabricated data set and a CLIP with random weights."""
