"""Precision, devices of choice and the model's own state."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from torch.nn import functional

from sar_reg import PromptEncoder, build_anchor_bank
from tests.prompting.models import NAMES, WIDTH, clip, learnable
from tests.prompting.official import pulled


def test_compile_changes_nothing() -> None:
    small = clip(width=8, heads=2, layers=2).requires_grad_(False)
    context = learnable(2, 8)
    eager = PromptEncoder(small, None, NAMES[:3], n_ctx=2)
    compiled = PromptEncoder(small, None, NAMES[:3], n_ctx=2, compile="eager")

    for a, b in zip(pulled(compiled(context), context), pulled(eager(context), context), strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def test_autocast_runs_the_frozen_tower_in_bfloat16_with_a_float32_context() -> None:
    model = clip(dtype=torch.float32)
    context = learnable(4, WIDTH, dtype=torch.float32)
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    exact, exact_pull = pulled(encoder(context), context)

    with torch.autocast("cpu", torch.bfloat16):
        features = encoder(context)
        plain = encoder.encode_plain(context)
    (pull,) = torch.autograd.grad((features.float() * 1).sum(), context)

    assert context.grad is None
    assert pull.dtype == torch.float32
    error = 1 - functional.cosine_similarity(features.float(), exact).min()
    plain_error = 1 - functional.cosine_similarity(plain.float(), exact).min()
    assert error <= max(2 * plain_error, 1e-4)
    assert exact_pull.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_tower_takes_a_float32_context(dtype: torch.dtype) -> None:
    single, half = clip(dtype=torch.float32), clip(dtype=dtype)
    context = learnable(4, WIDTH, dtype=torch.float32)

    ours = PromptEncoder(half, None, NAMES, n_ctx=4)(context)
    (pull,) = torch.autograd.grad(ours.float().sum(), context)
    plain = PromptEncoder(half, None, NAMES, n_ctx=4).encode_plain(context)
    exact = PromptEncoder(single, None, NAMES, n_ctx=4)(context)

    assert ours.dtype == dtype
    assert pull.dtype == torch.float32
    error = (ours.float() - exact).norm() / exact.norm()
    assert error <= 2 * (plain.float() - exact).norm() / exact.norm()


def test_the_model_is_left_as_it_was() -> None:
    model = clip(dtype=torch.float32).train()
    model.visual.eval()
    model.ln_final.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    flags = [weight.requires_grad for weight in model.parameters()]
    context = learnable(4, WIDTH, dtype=torch.float32)
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)

    (encoder(context).sum() + encoder.encode_plain(context).sum()).backward()

    assert [module.training for module in model.modules()] == modes
    assert [weight.requires_grad for weight in model.parameters()] == flags
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_model_that_changes_its_type_is_followed() -> None:
    model = clip(dtype=torch.float64)
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    context = learnable(4, WIDTH, dtype=torch.float32)
    before = encoder(context)

    model.float()
    after = encoder(context)

    assert (before.dtype, after.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(after, before.float(), atol=1e-4, rtol=1e-4)


def test_random_context_is_reproducible(model: Any) -> None:
    encoder = PromptEncoder(model, None, NAMES, n_ctx=16)
    drawn = encoder.random_context(generator=torch.Generator().manual_seed(1))

    assert drawn.shape == (16, WIDTH)
    assert torch.equal(drawn, encoder.random_context(generator=torch.Generator().manual_seed(1)))
    assert 0.015 < drawn.std() < 0.025


def test_looking_under_inference_mode_first_does_not_spoil_training() -> None:
    encoder = PromptEncoder(clip(), None, NAMES, n_ctx=4)
    context = learnable(4, WIDTH)

    with torch.inference_mode():
        looked = encoder(context)
    features = encoder(context)
    (pull,) = torch.autograd.grad(features.sum(), context)

    torch.testing.assert_close(features, looked.clone())
    (plain,) = torch.autograd.grad(encoder.encode_plain(context).sum(), context)
    torch.testing.assert_close(pull, plain, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("causal", [True, False])
def test_a_model_that_moves_is_followed_on_the_full_length_path(
    causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = clip(no_causal_mask=not causal)
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    given: list[str] = []
    for name in ("encoder", "plain"):
        monkeypatch.setattr(
            f"sar_reg.prompting.{name}.encode_plain",
            lambda tower, rows, *_: given.append(rows.tokens.device.type),
        )
    model.to("meta")

    encoder.encode_plain(learnable(4, WIDTH).to("meta"))
    if not causal:
        encoder(learnable(4, WIDTH).to("meta"))

    assert given == ["meta"] * (1 if causal else 2)


@pytest.mark.parametrize("kind", ["shared", "class-specific", "deep", "class tokens"])
def test_passes_bound_the_memory_where_nothing_can_be_shared(kind: str) -> None:
    model = clip(no_causal_mask=True)
    context = learnable(*((len(NAMES), 4, WIDTH) if kind == "class-specific" else (4, WIDTH)))
    options: dict[str, Any] = {}
    if kind == "deep":
        options = {"deep": [learnable(4, WIDTH, seed=1), learnable(4, WIDTH, seed=2)]}
    if kind == "class tokens":
        options = {"class_tokens": learnable(len(NAMES), 4, WIDTH, seed=3), "class_layer": 2}
    learned = [context, *options.get("deep", [options.get("class_tokens", context)])]
    found: list[tuple[list[torch.Tensor], int]] = []
    for chunk_size in (None, 4):
        encoder = PromptEncoder(model, None, NAMES, n_ctx=4, chunk_size=chunk_size)
        kept: dict[int, int] = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, kept=kept: kept.update({x.data_ptr(): x.nbytes}) or x, lambda x: x
        ):
            features = encoder(context, **options)
        weight = learnable(*features.shape, seed=9).detach()
        pulls = torch.autograd.grad((features * weight).sum(), learned)
        with torch.no_grad():
            torch.testing.assert_close(encoder(context, **options), features, atol=1e-12, rtol=0)
        found.append(([features, *pulls], sum(kept.values())))
    for whole, parts in zip(found[0][0], found[1][0], strict=True):
        torch.testing.assert_close(parts, whole, atol=1e-10, rtol=1e-10)
    assert found[1][1] < found[0][1] / 10


@pytest.mark.parametrize(
    ("position", "n_ctx", "shown"),
    [
        ("end", 4, "X X X X {}."),
        ("middle", 4, "X X {} X X."),
        ("front", 5, "{} X X X X ...."),
        ("middle", 1, "{} X."),
    ],
)
def test_repr_shows_where_the_name_stands(model: Any, position: Any, n_ctx: int, shown: str) -> None:
    encoder = PromptEncoder(model, None, NAMES, n_ctx=n_ctx, class_position=position)
    assert f'"{shown}"' in repr(encoder)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", ["shared", "class-specific", "deep", "class tokens"])
def test_learned_tensors_changed_before_backward_raise_where_passes_are_recomputed(
    causal: bool, kind: str
) -> None:
    encoder = PromptEncoder(clip(no_causal_mask=not causal), None, NAMES, n_ctx=4, chunk_size=2)
    context = learnable(*((len(NAMES), 4, WIDTH) if kind == "class-specific" else (4, WIDTH)))
    options: dict[str, Any] = {}
    if kind == "class tokens":
        options = {"class_tokens": learnable(len(NAMES), 4, WIDTH, seed=3), "class_layer": 2}
    if kind == "deep":
        options = {"deep": [learnable(4, WIDTH, seed=1)]}
    features = encoder(context, **options)
    with torch.no_grad():
        options.get("class_tokens", options.get("deep", [context])[0]).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        features.sum().backward()


@pytest.mark.parametrize("layout", ["grouped", "packed"])
def test_a_default_device_does_not_reach_the_encoder(layout: Any) -> None:
    def tokenize(texts: list[str], context_length: int) -> torch.Tensor:
        with torch.device("cpu"):
            return open_clip.tokenize(texts, context_length)

    model, context = clip(), learnable(4, WIDTH)
    expected = PromptEncoder(model, tokenize, NAMES, n_ctx=4, layout=layout)(context)
    with torch.device("meta"):
        encoder = PromptEncoder(model, tokenize, NAMES, n_ctx=4, layout=layout)
        found = encoder(context)
        drawn, words = encoder.random_context(), encoder.context_from_words("a photo of a")
        bank = build_anchor_bank(model, tokenize, list(NAMES), novel=["lynx"])
        bank.report()
    torch.testing.assert_close(found, expected)
    assert drawn.device == words.device == bank.embeddings.device == torch.device("cpu")


def test_a_default_type_does_not_reach_a_drawn_context() -> None:
    encoder = PromptEncoder(clip(), None, NAMES, n_ctx=4)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert encoder.random_context().dtype == torch.float32
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("layout", ["grouped", "packed"])
def test_a_pass_may_be_larger_than_any_number_of_classes(layout: Any) -> None:
    model, context = clip(), learnable(4, WIDTH)
    every, chunked = (
        PromptEncoder(model, None, NAMES, n_ctx=4, layout=layout, chunk_size=size) for size in (None, 10**30)
    )
    torch.testing.assert_close(chunked(context), every(context))
