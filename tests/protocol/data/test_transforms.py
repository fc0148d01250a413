"""RandAugment against recorded hashes; the three recipes against their definitions."""

from __future__ import annotations

import hashlib
import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from examples.protocol.data.randaugment import OPERATIONS, Draws, RandAugment
from examples.protocol.data.transforms import CLIP_MEAN, CLIP_STD, Pixels, build, pixels_of
from tests import GOLDEN

RECORDED = json.loads((GOLDEN / "protocol.json").read_text())["randaugment"]


@pytest.fixture
def blocks() -> Image.Image:
    small = np.random.RandomState(RECORDED["image_seed"]).randint(0, 256, (8, 8, 3))
    return Image.fromarray(small.repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8))


@pytest.fixture
def photo() -> Image.Image:
    return Image.fromarray(np.random.RandomState(0).randint(0, 256, (60, 90, 3)).astype(np.uint8))


@pytest.mark.parametrize("result", RECORDED["results"], ids=lambda result: str(result["seed"]))
def test_randaugment_is_the_recorded_one(blocks: Image.Image, result: dict) -> None:
    augment = RandAugment(RECORDED["n"], RECORDED["m"])
    draws = Draws(random.Random(result["seed"]), np.random.RandomState(result["seed"]))
    pixels = np.asarray(augment.apply(blocks, draws))
    assert pixels.mean() == pytest.approx(result["mean"])
    assert pixels[0, 0].tolist() == result["corner"]
    assert pixels[16, 16].tolist() == result["centre"]
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == result["sha256"]


def test_recorded_seeds_cover_all_operations() -> None:
    drawn = set()
    for result in RECORDED["results"]:
        drawn |= {op[0] for op in random.Random(result["seed"]).choices(OPERATIONS, k=2)}
    assert drawn == {operation[0] for operation in OPERATIONS}


def test_train_is_crop_flip_and_normalise(photo: Image.Image) -> None:
    tensor = build("crop-flip", Pixels(size=32))
    torch.manual_seed(3)
    views = [tensor(photo) for _ in range(2)]
    torch.manual_seed(3)
    assert torch.equal(tensor(photo), views[0])
    assert views[0].shape == (3, 32, 32)
    assert not torch.equal(views[0], views[1])
    assert tensor.settings["crop_scale"] == [0.08, 1.0]
    assert tensor.settings["interpolation"] == "bicubic"


def test_two_randaugment_views_differ_and_repeat(photo: Image.Image) -> None:
    view = build("randaugment", Pixels(size=56))
    torch.manual_seed(0)
    first = [view(photo) for _ in range(4)]
    torch.manual_seed(0)
    assert all(torch.equal(view(photo), earlier) for earlier in first)
    assert not torch.equal(first[0], first[1])
    assert view.settings["randaugment"] == {"n": 2, "m": 10, "pixel_scale": 0.25}


def test_test_keeps_the_aspect_and_crops_the_centre(photo: Image.Image) -> None:
    tensor = build("none", Pixels(size=60))(photo)
    expected = functional.normalize(functional.to_tensor(photo.crop((15, 0, 75, 60))), CLIP_MEAN, CLIP_STD)
    assert torch.equal(tensor, expected)


def test_grey_and_transparent_images_become_rgb() -> None:
    for mode in ("L", "RGBA", "P", "CMYK"):
        assert build("none", Pixels(size=8))(Image.new(mode, (9, 9))).shape == (3, 8, 8)


def test_pixels_come_from_the_model() -> None:
    visual = SimpleNamespace(image_size=(48, 48), image_mean=(0.5, 0.5, 0.5), image_std=(0.2, 0.2, 0.2))
    assert pixels_of(SimpleNamespace(visual=visual)) == Pixels(48, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))  # type: ignore[arg-type]
    assert pixels_of(SimpleNamespace(visual=SimpleNamespace(image_size=32))) == Pixels(32)  # type: ignore[arg-type]
    assert pixels_of(torch.nn.Linear(1, 1)) == Pixels(224)
