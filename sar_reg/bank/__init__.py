"""The anchor bank: frozen features of base and novel class names."""
