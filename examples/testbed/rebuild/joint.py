"""Phase 3: both towers together, pictures against captions."""

from __future__ import annotations

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from examples.testbed.rebuild import vision
from examples.testbed.rebuild.material import Material
from examples.testbed.rebuild.text import encode, text_loss
from examples.testbed.rebuild.words import caption

TEXT_WEIGHT = 0.5


def joint_loss(
    model: open_clip.CLIP,
    material: Material,
    source: vision.PictureSource,
    generator: np.random.Generator,
    step: int,
) -> Tensor:
    """CLIP's symmetric contrastive loss on pairs of different concepts, and half of the text loss."""
    chosen = source.choose(generator, vision.BATCH)
    images = F.normalize(model.encode_image(source.pictures(chosen, generator, vision.HARDEST)), dim=1)
    texts = encode(model, material, [caption(material.words[i], generator) for i in chosen])
    logits = model.logit_scale.exp().clamp(max=100) * images @ texts.T
    labels = torch.arange(len(chosen))
    contrast = 0.5 * (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels))
    return contrast + TEXT_WEIGHT * text_loss(model, material, generator, step)
