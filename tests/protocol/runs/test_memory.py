"""The memory estimate against what a whole step keeps."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from examples.coop.method import CoOp
from examples.maple.method import MaPLe
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import Recipe
from examples.protocol.runs import memory
from examples.protocol.runs.memory import MemoryEstimate, estimate_step, kept_by
from tests.fabricated.runs import small_clip

NAMES = [f"{'very ' * (i % 4)}strange thing {i}" for i in range(90)]


def build(kind: type[PromptMethod], names: list[str] = NAMES, n_base: int = 30) -> PromptMethod:
    model, tokenizer = small_clip()
    recipe = replace(Recipe(), n_ctx=2, ctx_init="a photo of a", depth=2 if kind is MaPLe else 1)
    if kind is CoOp:
        recipe = replace(recipe, n_ctx=4)
    return kind(model, tokenizer, names, n_base=n_base, recipe=recipe, dataset="squares")


def whole(method: PromptMethod, images: int) -> int:
    return memory._measure(method, 32, images)


@pytest.mark.parametrize("kind", [CoOp, MaPLe])
def test_extended_to_the_whole_step(kind: type[PromptMethod]) -> None:
    method = build(kind)
    expected = whole(method, 40)
    assert estimate_step(method, 32, 40).step == pytest.approx(expected, rel=0.1)
    assert whole(build(kind, NAMES[:30]), 40) < 0.9 * expected


def test_images_count_where_they_are_trained_through() -> None:
    few, many = (estimate_step(build(MaPLe), 32, images).step for images in (8, 64))
    assert many > 2 * few
    few, many = (estimate_step(build(CoOp), 32, images).step for images in (8, 64))
    assert many < 1.1 * few


def test_small_runs_and_random_generators() -> None:
    method = build(CoOp, NAMES[:3], n_base=3)
    random.seed(5)
    torch.manual_seed(5)
    expected = random.random(), torch.rand(())
    random.seed(5)
    torch.manual_seed(5)
    found = estimate_step(method, 32, 1)
    assert (random.random(), torch.rand(())) == expected
    assert found.step == pytest.approx(whole(method, 1), rel=0.02)
    assert found.weights == sum(parameter.nbytes for parameter in small_clip()[0].parameters())
    assert found.free > 0


def test_kept_counts_a_tensor_once_and_no_weights() -> None:
    weight = torch.ones(50, requires_grad=True)
    assert kept_by(lambda: (weight * weight).sum()) == 200
    assert kept_by(lambda: (weight * weight).sum(), besides=[weight]) == 0


def test_the_line_says_what_to_do() -> None:
    fits, tight = MemoryEstimate(2**29, 2**31, 2**34), MemoryEstimate(2**29, 2**34, 2**34)
    assert str(fits) == "memory: a step needs about 2.0 GiB beside the model's 0.5; 16.0 GiB are free"
    assert fits.fits
    assert not tight.fits
    assert str(tight).endswith("raise --accumulate, lower --n-novel, or use precision bf16")
