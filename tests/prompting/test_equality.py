"""Sharing changes nothing: features and gradients are those of the full-length encoding."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import open_clip
import pytest
import torch

from sar_reg import PromptEncoder
from tests.prompting.models import BLOCKS, NAMES, WIDTH, clip, learnable
from tests.prompting.official import pulled, text_features

N = len(NAMES)
SHARED, EACH = learnable(4, WIDTH), learnable(N, 4, WIDTH)
TOKENS = learnable(N, 4, WIDTH, seed=2)
DEEP = tuple(learnable(4, WIDTH, seed=10 + block) for block in range(BLOCKS - 1))
MODES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "shared": ({}, {"context": SHARED}),
    "one vector": ({"n_ctx": 1}, {"context": learnable(1, WIDTH)}),
    "sixteen": ({"n_ctx": 16}, {"context": learnable(16, WIDTH)}),
    "no suffix": ({"suffix": ""}, {"context": SHARED}),
    "long suffix": ({"suffix": ", a type of pet."}, {"context": SHARED}),
    "class-specific": ({}, {"context": EACH}),
    "middle": ({"class_position": "middle"}, {"context": SHARED}),
    "front": ({"class_position": "front"}, {"context": SHARED}),
    "middle, class-specific": ({"class_position": "middle"}, {"context": EACH}),
    "deep": ({}, {"context": SHARED, "deep": DEEP}),
    "deep, shallow depth": ({}, {"context": SHARED, "deep": DEEP[:1]}),
    "deep, class-specific": ({}, {"context": EACH, "deep": DEEP}),
    "class tokens": ({}, {"context": SHARED, "class_tokens": TOKENS, "class_layer": 2}),
    "class tokens, first block": ({}, {"context": SHARED, "class_tokens": TOKENS, "class_layer": 1}),
    "class tokens, last block": ({}, {"context": SHARED, "class_tokens": TOKENS, "class_layer": 3}),
    "class tokens and context": ({}, {"context": EACH, "class_tokens": TOKENS, "class_layer": 2}),
}
"""Settings of the encoder, and what it is called with."""
OPTIONS: dict[str, dict[str, Any]] = {
    "exact groups": {},
    "one bucket": {"buckets": 1},
    "two buckets": {"buckets": 2},
    "chunks": {"chunk_size": 4},
    "recomputed": {"checkpoint": True},
    "all": {"buckets": 2, "chunk_size": 5, "checkpoint": True},
    "packed": {"layout": "packed"},
    "packed, chunks": {"layout": "packed", "chunk_size": 4},
    "packed, recomputed": {"layout": "packed", "checkpoint": True},
    "packed, all": {"layout": "packed", "chunk_size": 5, "checkpoint": True},
}


def _flat(arguments: Mapping[str, Any]) -> list[torch.Tensor]:
    """The learnable tensors among the arguments."""
    flat: list[torch.Tensor] = []
    for argument in arguments.values():
        flat.extend(
            argument if isinstance(argument, tuple) else [argument] if torch.is_tensor(argument) else []
        )
    return flat


def _single(argument: Any) -> Any:
    """The same in float32."""
    if isinstance(argument, tuple):
        return tuple(_single(part) for part in argument)
    return argument.detach().float().requires_grad_() if torch.is_tensor(argument) else argument


@cache
def _reference(mode: str) -> tuple[torch.Tensor, ...]:
    settings, arguments = MODES[mode]
    position = settings.get("class_position", "end")
    template = "{}" + settings.get("suffix", ".")
    features = text_features(clip(), NAMES, template=template, position=position, **arguments)
    return pulled(features, *_flat(arguments))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("mode", MODES)
def test_features_and_gradients_equal_the_full_encoding(model: Any, mode: str, options: str) -> None:
    settings, arguments = MODES[mode]
    encoder = PromptEncoder(model, None, NAMES, **({"n_ctx": 4} | settings | OPTIONS[options]))

    ours = pulled(encoder(**arguments), *_flat(arguments))

    for found, expected in zip(ours, _reference(mode), strict=True):
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_the_plain_path_is_the_full_encoding(model: Any, mode: str) -> None:
    settings, arguments = MODES[mode]
    encoder = PromptEncoder(model, None, NAMES, **({"n_ctx": 4} | settings))

    plain = pulled(encoder.encode_plain(**arguments), *_flat(arguments))

    for found, expected in zip(plain, _reference(mode), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("layout", ["grouped", "packed"])
@pytest.mark.parametrize("mode", ["shared", "deep", "class tokens", "middle", "class-specific"])
def test_float32_errs_no_more_than_twice_the_full_encoding(mode: str, layout: Any) -> None:
    settings, arguments = MODES[mode]
    encoder = PromptEncoder(
        clip(dtype=torch.float32), None, NAMES, **({"n_ctx": 4, "layout": layout} | settings)
    )
    arguments = {name: _single(argument) for name, argument in arguments.items()}

    ours = pulled(encoder(**arguments), *_flat(arguments))
    plain = pulled(encoder.encode_plain(**arguments), *_flat(arguments))

    for found, usual, exact in zip(ours, plain, _reference(mode), strict=True):
        scale = exact.abs().max()
        error, usual_error = (found - exact).abs().max() / scale, (usual - exact).abs().max() / scale
        assert error <= max(2 * usual_error, 2e-6)


def test_infix_words_stand_between_context_and_name(model: Any) -> None:
    context, deep = learnable(2, WIDTH), [learnable(2, WIDTH, seed=3)]
    encoder = PromptEncoder(model, None, NAMES, n_ctx=2, infix="of a")

    found = pulled(encoder(context, deep), context, *deep)

    expected = text_features(model, [f"of a {name}" for name in NAMES], context, template="{}.", deep=deep)
    for a, b in zip(found, pulled(expected, context, *deep), strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(
    "names", [["cat"], ["cat", "cat"], ["golden retriever", "golden eagle"], ["a " * 71 + "b"]]
)
def test_few_alike_and_longest_names(model: Any, names: list[str]) -> None:
    context = learnable(3, WIDTH)
    encoder = PromptEncoder(model, None, names, n_ctx=3, suffix="")

    found = pulled(encoder(context), context)

    expected = pulled(text_features(model, names, context, template="{}"), context)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def test_gradcheck_of_every_learned_tensor() -> None:
    tiny = clip(width=8, heads=2, layers=3)
    context, deep, tokens = learnable(2, 8), learnable(2, 8, seed=1), learnable(3, 2, 8, seed=2)
    encoder = PromptEncoder(tiny, None, NAMES[:3], n_ctx=2)

    assert torch.autograd.gradcheck(lambda c, d: encoder(c, [d]), (context, deep), fast_mode=True)
    assert torch.autograd.gradcheck(lambda c, t: encoder(c, None, t, 1), (context, tokens), fast_mode=True)


def test_words_as_context_give_the_sentence_itself(model: Any) -> None:
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    sentences = [f"a photo of a {name.replace('_', ' ')}." for name in NAMES]

    found = encoder(model.token_embedding(open_clip.tokenize("a photo of a"))[0, 1:5])

    torch.testing.assert_close(
        found, model.encode_text(open_clip.tokenize(sentences)), atol=1e-10, rtol=1e-10
    )
    assert encoder.context_from_words("a photo of a").dtype == torch.float32
    torch.testing.assert_close(
        encoder(encoder.context_from_words("a photo of a")), found, atol=1e-5, rtol=1e-5
    )
