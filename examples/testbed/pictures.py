"""CLIP's normalisation of pictures."""

from __future__ import annotations

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor


def normalised(pictures: Tensor) -> Tensor:
    """Pictures `(n, 3, h, w)` in [0, 1], as the image tower expects them."""
    mean = torch.tensor(OPENAI_DATASET_MEAN)[:, None, None]
    deviation = torch.tensor(OPENAI_DATASET_STD)[:, None, None]
    return (pictures - mean) / deviation
