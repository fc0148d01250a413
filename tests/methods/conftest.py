"""A small random CLIP in open_clip's layout, and the five methods on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from examples.coop.method import CoOp
from examples.coprompt.method import CoPrompt
from examples.kgcoop.method import KgCoOp
from examples.maple.method import MaPLe
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import Recipe
from examples.tcp.method import TCP

METHODS: dict[str, tuple[type[PromptMethod], Recipe]] = {
    "coop": (CoOp, Recipe()),
    "kgcoop": (KgCoOp, Recipe(reg_weight=8.0)),
    "tcp": (TCP, Recipe(ctx_init="", class_block=2, reg_weight=8.0)),
    "maple": (MaPLe, Recipe(n_ctx=2, depth=3)),
    "coprompt": (CoPrompt, Recipe(n_ctx=2, depth=3, reg_weight=2.0)),
}
"""Each method with its recipe for a model of three blocks."""

BASE = ("airplane", "cougar_face", "grand piano", "yin_yang")
NOVEL = ("stapler", "red fox", "fountain pen")
NEW = ("umbrella", "windsor_chair")

Build = Callable[..., Any]


@pytest.fixture(scope="session")
def clip() -> CLIP:
    """Three text and four vision blocks, joint width 32, temperature 0.01."""
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=4, width=64, head_width=32, patch_size=8, image_size=16)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=2, layers=3)
    model = CLIP(32, vision, text, quick_gelu=True).eval().requires_grad_(False)
    model.logit_scale.fill_(torch.tensor(100.0).log())
    for weight in (model.token_embedding.weight, model.positional_embedding):
        weight.mul_(30)  # at the usual start all texts of a random model are nearly the same
    return model


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return open_clip.tokenizer.SimpleTokenizer()


@pytest.fixture
def build(clip: CLIP, tokenizer: Any) -> Build:
    """`build(name, classnames, n_base=…, dataset=…, **changed settings)` gives a method."""

    def make(
        name: str,
        classnames: Sequence[str] = BASE + NOVEL,
        n_base: int = len(BASE),
        dataset: str = "caltech101",
        model: Any = clip,
        **settings: Any,
    ) -> PromptMethod:
        kind, recipe = METHODS[name]
        return kind(
            model, tokenizer, classnames, n_base=n_base, recipe=replace(recipe, **settings), dataset=dataset
        )

    return make


@pytest.fixture
def views() -> list[torch.Tensor]:
    """Two views of five images."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(5, 3, 16, 16, generator=generator) for _ in range(2)]


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.tensor([0, 1, 2, 3, 0])


@pytest.fixture(params=list(METHODS))
def name(request: pytest.FixtureRequest) -> str:
    """Each of the five methods."""
    return request.param
