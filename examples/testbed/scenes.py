"""Render drawings in seeded random scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

IMAGE_SIZE = 40


@dataclass(frozen=True)
class Scenes:
    """Parameters of the scenes of `n` drawings; every field has `n` rows."""

    placement: Tensor  # (n, 2, 3) affine map from picture to drawing coordinates
    background: Tensor  # (n, 2, 3) the two colours of the background, in [0, 1]
    slope: Tensor  # (n, 2) direction of the change between them; zero means plain
    light: Tensor  # (n, 2) contrast factor and brightness offset
    noise: Tensor  # (n, 3, size, size) added at the end

    @staticmethod
    def draw(generator: np.random.Generator, n: int, difficulty: float = 1.0) -> Scenes:
        """Draw `n` scenes, determined by the generator's state.

        A `difficulty` below 1 reduces rotation, shift, shading and noise; pre-training starts with such scenes.
        """
        angle = generator.normal(0, np.pi / 15, n) * difficulty
        zoom = 1 / (1 - generator.uniform(0, 0.35, n) * difficulty)
        mirror = np.where(generator.random(n) < 0.5 * difficulty, -1.0, 1.0)
        shift = generator.uniform(-1, 1, (n, 2)) * (zoom - 0.9)[:, None] * 0.8
        turn = np.stack(
            [np.cos(angle) * mirror, -np.sin(angle), np.sin(angle) * mirror, np.cos(angle)], axis=-1
        )
        placement = np.concatenate([turn.reshape(n, 2, 2) * zoom[:, None, None], shift[:, :, None]], axis=2)
        background = 0.5 + difficulty * (generator.random((n, 2, 3)) - 0.5) * generator.uniform(
            0.3, 1.0, (n, 1, 1)
        )
        slope = difficulty * generator.normal(0, 1, (n, 2)) * (generator.random((n, 1)) < 0.6)
        light = np.stack(
            [1 + generator.uniform(-0.3, 0.1, n) * difficulty, generator.uniform(-0.08, 0.08, n)], axis=1
        )
        strength = (difficulty * generator.uniform(0, 0.05, (n, 1, 1, 1))).astype(np.float32)
        noise = generator.standard_normal((n, 3, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32) * strength
        return Scenes(
            *(torch.from_numpy(part).float() for part in (placement, background, slope, light, noise))
        )

    @staticmethod
    def seeded(seeds: Sequence[int], difficulty: float = 1.0) -> Scenes:
        """One scene per seed, independent of the rest of the batch."""
        drawn = [Scenes.draw(np.random.default_rng(seed), 1, difficulty) for seed in seeds]
        return Scenes(
            *(torch.cat(parts) for parts in zip(*(vars(scene).values() for scene in drawn), strict=True))
        )


def render(drawings: Tensor, scenes: Scenes) -> Tensor:
    """Pictures `(n, 3, 40, 40)` in [0, 1] of drawings `(n, 4, h, w)` with straight alpha in [0, 1]."""
    alpha = drawings[:, 3:]
    layer = torch.cat([drawings[:, :3] * alpha, alpha], dim=1)
    shape = [len(drawings), 4, IMAGE_SIZE, IMAGE_SIZE]
    grid = F.affine_grid(scenes.placement, shape, align_corners=False)
    layer = F.grid_sample(layer, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    picture = layer[:, :3] + (1 - layer[:, 3:]) * _backgrounds(scenes)
    contrast, offset = scenes.light[:, :, None, None, None].unbind(1)
    return (picture * contrast + offset + scenes.noise).clamp_(0, 1)


def _backgrounds(scenes: Scenes) -> Tensor:
    axis = torch.linspace(-1, 1, IMAGE_SIZE)
    x, y = scenes.slope[:, 0, None, None], scenes.slope[:, 1, None, None]
    mix = (0.5 + 0.5 * (x * axis[None, None, :] + y * axis[None, :, None])).clamp(0, 1)[:, None]
    first, second = scenes.background[:, :, :, None, None].unbind(1)
    return first + (second - first) * mix
