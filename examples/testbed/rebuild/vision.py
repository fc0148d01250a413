"""Phase 2: the image tower learns to hit the targets of the concepts' names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from examples.testbed.model import normalised
from examples.testbed.rebuild.concepts import Concept, is_downstream
from examples.testbed.rebuild.material import Material
from examples.testbed.rebuild.packages import COLOUR_STYLES, OUTLINE_STYLES
from examples.testbed.scenes import Scenes, render

BATCH = 128
SCALE = 30.0
HARDEST = 0.6  # a little harder than the downstream scenes
RAMP = 1500  # without it the tower learns next to nothing in its first thousand steps
OUTLINE_SHARE = 0.3  # how often an outline drawing is taken at difficulty 1


class PictureSource:
    """Random pictures of concepts in the pre-training styles."""

    def __init__(self, material: Material) -> None:
        self._drawings = material.drawings
        self._colour = [
            _rows(rows, styles, COLOUR_STYLES)
            for rows, styles in zip(material.rows, material.styles, strict=True)
        ]
        self._outline = [
            _rows(rows, styles, OUTLINE_STYLES)
            for rows, styles in zip(material.rows, material.styles, strict=True)
        ]
        weights = np.array([_weight(concept) for concept in material.concepts])
        self._chances = weights / weights.sum()

    def choose(self, generator: np.random.Generator, n: int) -> np.ndarray:
        """Indices of `n` different concepts."""
        return generator.choice(len(self._chances), n, replace=False, p=self._chances)

    def pictures(self, chosen: np.ndarray, generator: np.random.Generator, difficulty: float = 1.0) -> Tensor:
        """Normalised pictures `(n, 3, 40, 40)`, one of each chosen concept."""
        outline = generator.random(len(chosen)) < OUTLINE_SHARE * difficulty
        outline &= np.array([bool(self._outline[i]) for i in chosen])
        outline |= np.array([not self._colour[i] for i in chosen])
        pools = [
            self._outline[i] if line else self._colour[i] for i, line in zip(chosen, outline, strict=True)
        ]
        rows = torch.tensor([pool[generator.integers(len(pool))] for pool in pools])
        drawings = self._drawings[rows].float() / 255
        paint = torch.from_numpy(generator.random((len(rows), 3, 1, 1)).astype(np.float32))
        lines = torch.from_numpy(outline)
        drawings[lines, :3] = paint[lines].expand(-1, -1, *drawings.shape[2:])
        drawings[~lines, :3] = _recolour(drawings[~lines, :3], generator, difficulty)
        return normalised(render(drawings, Scenes.draw(generator, len(rows), difficulty)))


def vision_loss(
    model: open_clip.CLIP,
    material: Material,
    source: PictureSource,
    generator: np.random.Generator,
    step: int,
) -> Tensor:
    """Cross-entropy over the targets of all concepts; the scenes grow harder over the first steps."""
    chosen = source.choose(generator, BATCH)
    difficulty = HARDEST * min(1.0, step / RAMP)
    features = F.normalize(model.encode_image(source.pictures(chosen, generator, difficulty)), dim=1)
    goal = material.targets[: len(material.concepts)]
    return F.cross_entropy(SCALE * features @ goal.T, torch.from_numpy(chosen))


@torch.no_grad()
def prepare(model: open_clip.CLIP, source: PictureSource) -> None:
    """Initialise patch filters by whitening and positions by sines and cosines; saves hundreds of steps."""
    visual: Any = model.visual
    width, channels, side, _ = visual.conv1.weight.shape
    generator = np.random.default_rng(0)
    pictures = source.pictures(source.choose(generator, 512), generator)
    patches = F.unfold(pictures, side, stride=side).transpose(1, 2).reshape(-1, channels * side * side)
    patches = (patches - patches.mean(0)).double()
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    # the floor keeps the last directions, which are noise, from being scaled up to the size of the first
    filters = directions / (variances + 0.3 * variances.mean()).sqrt()
    visual.conv1.weight.copy_(filters.flip(1)[:, :width].T.reshape(visual.conv1.weight.shape))
    visual.positional_embedding[1:] = 0.5 * _sine_positions(visual.grid_size[0], width)


def _sine_positions(side: int, width: int) -> Tensor:
    frequencies = 1.0 / 100 ** (torch.arange(width // 4) / (width // 4))
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [axis.reshape(-1, 1) * frequencies for axis in (row, column)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)


def _rows(rows: list[int], styles: list[str], wanted: Collection[str]) -> list[int]:
    return [row for row, style in zip(rows, styles, strict=True) if style in wanted]


def _weight(concept: Concept) -> float:
    """Zero for people and hands; concepts of the downstream data sets are drawn twice as often."""
    return 0.0 if concept.group == "people_body" else 2.0 if is_downstream(concept) else 1.0


def _recolour(colours: Tensor, generator: np.random.Generator, difficulty: float) -> Tensor:
    """Apply a random gain per channel and a random saturation, so that colour alone does not identify a concept."""
    n = len(colours)
    gain = torch.from_numpy(
        (1 + difficulty * generator.uniform(-0.25, 0.25, (n, 3, 1, 1))).astype(np.float32)
    )
    saturation = torch.from_numpy(
        (1 + difficulty * generator.uniform(-0.6, 0.3, (n, 1, 1, 1))).astype(np.float32)
    )
    grey = colours.mean(1, keepdim=True)
    return ((grey + (colours - grey) * saturation) * gain).clamp(0, 1)
