"""The RandAugment that CoPrompt's views use: two of sixteen operations, fixed strength.

Not torchvision's: other operations, other ranges, and no identity among them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

STRENGTHS = 30
HOLE_COLOUR = (125, 123, 114)


@dataclass(frozen=True)
class Draws:
    """The two generators the operations draw from: signs from Python's, holes from numpy's."""

    python: random.Random
    numpy: np.random.RandomState

    def sign(self, value: float) -> float:
        """Return `value` or its negative, each half of the time."""
        return -value if self.python.random() > 0.5 else value


Operation = Callable[[Image.Image, float, Draws], Image.Image]


def _affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


def _solarize_add(image: Image.Image, value: float, draws: Draws) -> Image.Image:
    brighter = np.clip(np.asarray(image).astype(int) + value, 0, 255).astype(np.uint8)
    return ImageOps.solarize(Image.fromarray(brighter), 128)


def _cutout(image: Image.Image, side: float, draws: Draws) -> Image.Image:
    width, height = image.size
    centre_x, centre_y = draws.numpy.uniform(width), draws.numpy.uniform(height)
    left, top = int(max(0, centre_x - side / 2)), int(max(0, centre_y - side / 2))
    holed = image.copy()
    ImageDraw.Draw(holed).rectangle(
        (left, top, min(width, left + side), min(height, top + side)), fill=HOLE_COLOUR
    )
    return holed


# name, operation, value at strength 0, value at strength 30; the order is part of the draw
OPERATIONS: tuple[tuple[str, Operation, float, float], ...] = (
    ("AutoContrast", lambda image, value, draws: ImageOps.autocontrast(image), 0, 1),
    ("Equalize", lambda image, value, draws: ImageOps.equalize(image), 0, 1),
    ("Invert", lambda image, value, draws: ImageOps.invert(image), 0, 1),
    ("Rotate", lambda image, value, draws: image.rotate(draws.sign(value)), 0, 30),
    ("Posterize", lambda image, value, draws: ImageOps.posterize(image, max(1, int(value))), 4, 8),
    ("Solarize", lambda image, value, draws: ImageOps.solarize(image, math.ceil(value)), 0, 256),
    ("SolarizeAdd", _solarize_add, 0, 110),
    ("Color", lambda image, value, draws: ImageEnhance.Color(image).enhance(value), 0.1, 1.9),
    ("Contrast", lambda image, value, draws: ImageEnhance.Contrast(image).enhance(value), 0.1, 1.9),
    ("Brightness", lambda image, value, draws: ImageEnhance.Brightness(image).enhance(value), 0.1, 1.9),
    ("Sharpness", lambda image, value, draws: ImageEnhance.Sharpness(image).enhance(value), 0.1, 1.9),
    ("ShearX", lambda image, value, draws: _affine(image, (1, draws.sign(value), 0, 0, 1, 0)), 0, 0.3),
    ("ShearY", lambda image, value, draws: _affine(image, (1, 0, 0, draws.sign(value), 1, 0)), 0, 0.3),
    ("CutoutAbs", _cutout, 0, 40),
    ("TranslateXabs", lambda image, value, draws: _affine(image, (1, 0, draws.sign(value), 0, 1, 0)), 0, 100),
    ("TranslateYabs", lambda image, value, draws: _affine(image, (1, 0, 0, 0, 1, draws.sign(value))), 0, 100),
)
IN_PIXELS = ("CutoutAbs", "TranslateXabs", "TranslateYabs")


class RandAugment:
    """Apply `n` operations, drawn with replacement, at strength `m` of 30.

    Lengths in pixels suit 224-pixel images; `pixel_scale` shrinks them for smaller ones. Calling it draws one
    number from torch's generator and everything else from that, so `torch.manual_seed` fixes the result.
    """

    def __init__(self, n: int = 2, m: int = 10, pixel_scale: float = 1.0) -> None:
        self.n, self.m, self.pixel_scale = n, m, pixel_scale

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return a changed copy of an RGB image."""
        seed = int(torch.randint(2**31, ()))
        return self.apply(image, Draws(random.Random(seed), np.random.RandomState(seed)))

    def apply(self, image: Image.Image, draws: Draws) -> Image.Image:
        """The same, with these generators."""
        for name, operation, low, high in draws.python.choices(OPERATIONS, k=self.n):
            value = self.m / STRENGTHS * (high - low) + low
            image = operation(image, value * self.pixel_scale if name in IN_PIXELS else value, draws)
        return image
