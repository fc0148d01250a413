"""The embedded testbed: a small CLIP and image data sets that run anywhere in seconds.

model, tokenizer = load_model()
dataset = open_dataset("food")
"""

from __future__ import annotations

from examples.testbed.datasets import DATASETS, DEVELOPMENT, open_dataset, words
from examples.testbed.model import load_model

__all__ = ["DATASETS", "DEVELOPMENT", "load_model", "open_dataset", "words"]
