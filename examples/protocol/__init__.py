"""The protocol all methods share: data, few-shot draw, training, evaluation, run records."""
