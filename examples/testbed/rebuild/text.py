"""Phase 1: the text tower learns the teacher's geometry from captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from examples.testbed.rebuild.material import Material
from examples.testbed.rebuild.words import caption

CAPTIONS_PER_STEP = 320


def text_loss(model: open_clip.CLIP, material: Material, generator: np.random.Generator, step: int) -> Tensor:
    """Cosine distance of captions' features from their words' targets, plus cross-entropy between the words."""
    # half of the words are concept names, so that these are learned best
    half = CAPTIONS_PER_STEP // 2
    names = generator.choice(len(material.concepts), half, replace=False)
    others = generator.choice(np.arange(len(material.concepts), len(material.words)), half, replace=False)
    chosen = np.concatenate([names, others])
    features = encode(model, material, [caption(material.words[i], generator) for i in chosen])
    goal = material.targets[torch.from_numpy(chosen)]
    logits = 20 * features @ goal.T
    labels = torch.arange(len(chosen))
    apart = 0.5 * (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels))
    return 4 * (1 - (features * goal).sum(1)).mean() + apart


def encode(model: open_clip.CLIP, material: Material, captions: Sequence[str]) -> Tensor:
    """Unit text features, computed only up to the longest caption (exact: the tower is causal)."""
    tokens = material.tokenizer(list(captions))
    ends = tokens.argmax(1)
    length = int(ends.max()) + 1
    tower: Any = model
    x = tower.token_embedding(tokens[:, :length]) + tower.positional_embedding[:length]
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    x = tower.ln_final(x)[torch.arange(len(x)), ends] @ tower.text_projection
    return F.normalize(x, dim=1)
