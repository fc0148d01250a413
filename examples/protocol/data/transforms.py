"""From a PIL image to the tensor a CLIP reads, by three recipes that a run record can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from examples.protocol.data.randaugment import RandAugment

CLIP_SIZE = 224
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BICUBIC = InterpolationMode.BICUBIC

Geometry = tuple[Sequence[Callable[[Any], Any]], dict[str, object]]
Kind = Literal["crop-flip", "randaugment", "none"]


@dataclass(frozen=True)
class Pixels:
    """Side of the square input in pixels, and the per-channel normalisation."""

    size: int = CLIP_SIZE
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD


@dataclass(frozen=True)
class Transform:
    """PIL image to float32 tensor (3, size, size); `settings` is what a run record keeps of it."""

    steps: Callable[[Image.Image], Tensor]
    settings: Mapping[str, object]

    def __call__(self, image: Image.Image) -> Tensor:
        """Transform one image; random steps draw from torch's generator alone."""
        return self.steps(image.convert("RGB"))


def pixels_of(model: nn.Module) -> Pixels:
    """Size and normalisation that an open_clip model was built for; CLIP's own if it has none."""
    visual = getattr(model, "visual", None)
    size = getattr(visual, "image_size", CLIP_SIZE)
    mean, std = getattr(visual, "image_mean", None), getattr(visual, "image_std", None)
    return Pixels(
        size=int(size[0] if isinstance(size, (tuple, list)) else size),
        mean=tuple(mean) if mean else CLIP_MEAN,
        std=tuple(std) if std else CLIP_STD,
    )


def build(kind: Kind, pixels: Pixels | None = None) -> Transform:
    """Build one of the benchmark's recipes.

    `crop-flip` (CoOp, KgCoOp, TCP, MaPLe): random resized crop of 8 to 100 % of the area, bicubic; flip.
    `randaugment` (CoPrompt, each view): resize to the square without keeping the aspect ratio;
    RandAugment(2, 10). `none` (all tests): shorter side to the size, centre crop. All end normalised.
    """
    pixels = pixels or Pixels()
    geometry, settings = _RECIPES[kind](pixels.size)
    ending = [transforms.ToTensor(), transforms.Normalize(pixels.mean, pixels.std)]
    return Transform(
        steps=transforms.Compose([*geometry, *ending]),
        settings={"kind": kind, "size": pixels.size, "interpolation": "bicubic", **settings}
        | {"mean": list(pixels.mean), "std": list(pixels.std)},
    )


def _crop_flip(size: int) -> Geometry:
    scale, ratio, flip = (0.08, 1.0), (3 / 4, 4 / 3), 0.5
    steps = [
        transforms.RandomResizedCrop(size, scale=scale, ratio=ratio, interpolation=BICUBIC),
        transforms.RandomHorizontalFlip(flip),
    ]
    return steps, {"crop_scale": list(scale), "crop_ratio": list(ratio), "flip": flip}


def _randaugment(size: int) -> Geometry:
    augment = RandAugment(n=2, m=10, pixel_scale=size / CLIP_SIZE)
    settings: dict[str, object] = {
        "keep_aspect": False,
        "randaugment": {"n": augment.n, "m": augment.m, "pixel_scale": augment.pixel_scale},
    }
    return [transforms.Resize((size, size), interpolation=BICUBIC), augment], settings


def _none(size: int) -> Geometry:
    steps = [transforms.Resize(size, interpolation=BICUBIC), transforms.CenterCrop(size)]
    return steps, {"resize_shorter": size, "centre_crop": size}


_RECIPES: Mapping[str, Callable[[int], Geometry]] = {
    "crop-flip": _crop_flip,
    "randaugment": _randaugment,
    "none": _none,
}
