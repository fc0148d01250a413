"""An encoder that replays CUDA graphs: equal to one that does not, or refused in words.

On a CPU the graphs are recorded ones, see `tests.conftest`.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from sar_reg import PromptEncoder, SarRegError
from sar_reg.errors import InputError
from sar_reg.prompting.prefix.packed import PackedPlan
from tests.prompting.models import NAMES, WIDTH, clip, learnable
from tests.prompting.official import pulled
from tests.prompting.test_towers import MODELS

Arguments = tuple[Any, ...]


def _shared(seed: int) -> Arguments:
    return (learnable(4, WIDTH, seed=seed),)


def _each(seed: int) -> Arguments:
    return (learnable(len(NAMES), 4, WIDTH, seed=seed),)


def _deep(seed: int) -> Arguments:
    return learnable(4, WIDTH, seed=seed), [learnable(4, WIDTH, seed=seed + 10 + b) for b in range(3)]


def _tokens(seed: int) -> Arguments:
    return learnable(4, WIDTH, seed=seed), None, learnable(len(NAMES), 4, WIDTH, seed=seed + 10), 2


MODES: dict[str, tuple[Callable[[int], Arguments], dict[str, Any]]] = {
    "end": (_shared, {}),
    "infix": (_shared, {"infix": "of a"}),
    "middle": (_shared, {"class_position": "middle"}),
    "front": (_shared, {"class_position": "front"}),
    "class-specific": (_each, {}),
    "deep": (_deep, {}),
    "class tokens": (_tokens, {}),
    "checkpoint": (_deep, {"checkpoint": True}),
    "passes": (_shared, {"chunk_size": 2}),
}


def _learned(arguments: Arguments) -> list[Tensor]:
    context, deep, tokens, *_ = (*arguments, None, None, None)
    return [context, *(deep or ()), *([] if tokens is None else [tokens])]


def _placed(arguments: Arguments, device: torch.device, dtype: torch.dtype = torch.float64) -> Arguments:
    def placed(value: Any) -> Any:
        if isinstance(value, list):
            return [placed(part) for part in value]
        if isinstance(value, Tensor):
            return value.detach().to(device, dtype).requires_grad_()
        return value

    return tuple(map(placed, arguments))


def _pair(device: torch.device, model: Any = None, tokenizer: Any = None, **settings: Any) -> Any:
    """One encoder with graphs and one without."""
    model = (clip() if model is None else model).to(device)
    settings = {"n_ctx": 4, "layout": "packed"} | settings
    return tuple(PromptEncoder(model, tokenizer, NAMES, cuda_graph=on, **settings) for on in (True, False))


@pytest.mark.parametrize("mode", MODES)
def test_replays_equal_the_encoder_without_graphs(mode: str, graph_device: torch.device) -> None:
    make, settings = MODES[mode]
    graphed, usual = _pair(graph_device, **settings)
    for seed in range(3):
        arguments = _placed(make(seed), graph_device)
        learned = _learned(arguments)
        found, expected = (pulled(encoder(*arguments), *learned) for encoder in (graphed, usual))
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)
    assert graphed._graph._calls == 3


@pytest.mark.parametrize("kind", ["with GELU", "transformers CLIPModel"])
def test_other_models(kind: str, graph_device: torch.device) -> None:
    model, tokenizer = MODELS[kind]()
    graphed, usual = _pair(graph_device, model, tokenizer)
    for seed in range(2):
        (context,) = _placed(_shared(seed), graph_device)
        for a, b in zip(pulled(graphed(context), context), pulled(usual(context), context), strict=True):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("low", [False, True])
def test_float32_with_and_without_autocast(low: bool, graph_device: torch.device) -> None:
    graphed, usual = _pair(graph_device, clip(dtype=torch.float32))
    for seed in range(2):
        (context,) = _placed(_shared(seed), graph_device, torch.float32)
        found = []
        for encoder in (graphed, usual):
            with torch.autocast(graph_device.type, torch.bfloat16) if low else nullcontext():
                features = encoder(context)
            found.append(pulled(features, context))
        assert found[0][0].dtype == (torch.bfloat16 if low else torch.float32)
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)


def test_python_runs_for_the_capture_alone(
    graph_device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphed, _ = _pair(graph_device)
    runs: list[None] = []
    encode = PackedPlan.encode
    monkeypatch.setattr(
        PackedPlan, "encode", lambda *given, **options: (runs.append(None), encode(*given, **options))[1]
    )
    for seed in range(3):
        (context,) = _placed(_shared(seed), graph_device)
        graphed(context).sum().backward()
        assert len(runs) == 4  # three to warm up, one that is captured


def test_results_stay_when_the_encoder_is_called_again(graph_device: torch.device) -> None:
    graphed, usual = _pair(graph_device)
    (context,) = _placed(_shared(0), graph_device)
    kept = graphed(context)
    before = kept.detach().clone()
    kept.sum().backward()
    assert context.grad is not None
    gradient, first = context.grad, context.grad.clone()
    (pull,) = torch.autograd.grad(graphed(context).sum(), context)
    (other,) = _placed(_shared(1), graph_device)
    graphed(other).square().sum().backward()
    assert torch.equal(kept, before)
    assert torch.equal(gradient, first)
    assert torch.equal(pull, first)

    graphed(context).sum().backward()  # added to what was there
    expected = torch.autograd.grad(usual(context).sum(), context)[0]
    torch.testing.assert_close(context.grad, 2 * expected, atol=1e-10, rtol=1e-10)


def test_a_call_without_a_gradient_runs_as_usual(graph_device: torch.device) -> None:
    graphed, usual = _pair(graph_device)
    (context,) = _placed(_shared(0), graph_device)
    with torch.no_grad():
        torch.testing.assert_close(graphed(context), usual(context))
    torch.testing.assert_close(graphed(context.detach()), usual(context))
    assert graphed._graph._settings == {}
    features = graphed(context)
    with torch.no_grad():  # and does not disturb the pass that waits
        graphed(context + 1)
    torch.testing.assert_close(
        torch.autograd.grad(features.sum(), context), torch.autograd.grad(usual(context).sum(), context)
    )


def test_backward_out_of_order_is_refused(graph_device: torch.device) -> None:
    graphed, _ = _pair(graph_device)
    (context,) = _placed(_shared(0), graph_device)
    first, second = graphed(context), graphed(context)
    with pytest.raises(SarRegError, match="backward must run once, and before the next call"):
        first.sum().backward()
    second.sum().backward(retain_graph=True)
    with pytest.raises(SarRegError, match="backward must run once"):
        second.sum().backward()
    with pytest.raises(SarRegError, match=r"no second derivative \(create_graph=True\)"):
        torch.autograd.grad(graphed(context).sum(), context, create_graph=True)


def test_a_call_that_differs_in_more_than_values_is_refused(graph_device: torch.device) -> None:
    graphed, _ = _pair(graph_device)
    (context,) = _placed(_shared(0), graph_device)
    graphed(context)
    number = len(NAMES)
    with pytest.raises(
        InputError,
        match=rf"captured with inputs \(4, {WIDTH}\) float64 with gradient, and this call has "
        rf"\({number}, 4, {WIDTH}\) float64 with gradient: keep it the same, or use cuda_graph=False",
    ):
        graphed(*_placed(_each(0), graph_device))
    with pytest.raises(InputError, match="captured with inputs"):
        graphed(*_placed(_deep(0), graph_device))
    with pytest.raises(InputError, match="captured with inputs"):
        graphed(context.detach().float().requires_grad_())
    with pytest.raises(InputError, match="captured with class_layer 0, and this call has 2"):
        graphed(*_placed(_tokens(0), graph_device))
    with (
        torch.autocast(graph_device.type, torch.bfloat16),
        pytest.raises(InputError, match=r"captured with autocast None, and this call has torch\.bfloat16"),
    ):
        graphed(context)
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(InputError, match="captured with float32_matmul_precision highest"):
            graphed(context)
    finally:
        torch.set_float32_matmul_precision("highest")
    graphed(context)


def _halve(weight: Tensor) -> None:
    with torch.no_grad():
        weight.mul_(0.5)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a weight": lambda model: _halve(model.transformer.resblocks[1].attn.in_proj_weight),
    "a bias": lambda model: _halve(model.transformer.resblocks[1].mlp.c_fc.bias),
    "positions": lambda model: _halve(model.positional_embedding),
    "the embedding": lambda model: _halve(model.token_embedding.weight),
    "the last norm": lambda model: _halve(model.ln_final.weight),
    "the projection": lambda model: _halve(model.text_projection),
    "new memory": lambda model: setattr(
        model.ln_final.weight, "data", model.ln_final.weight.data.clone()
    ),
    "another parameter": lambda model: setattr(
        model, "positional_embedding", torch.nn.Parameter(model.positional_embedding.detach().clone())
    ),
    "the number of heads": lambda model: setattr(model.transformer.resblocks[0].attn, "num_heads", 4),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_model_that_changed_is_refused(what: str, graph_device: torch.device) -> None:
    model = clip()
    graphed, _ = _pair(graph_device, model)
    (context,) = _placed(_shared(0), graph_device)
    graphed(context)
    CHANGES[what](model)
    with pytest.raises(InputError, match="CUDA graph reads were changed, moved or replaced"):
        graphed(context)
    made_again, usual = _pair(graph_device, model)
    torch.testing.assert_close(made_again(context), usual(context), atol=1e-10, rtol=1e-10)


def test_what_is_not_read_may_change(graph_device: torch.device) -> None:
    model = clip()
    graphed, usual = _pair(graph_device, model)
    (context,) = _placed(_shared(0), graph_device)
    graphed(context)
    _halve(model.logit_scale)
    _halve(model.visual.conv1.weight)
    torch.testing.assert_close(graphed(context), usual(context), atol=1e-10, rtol=1e-10)


def test_a_move_is_refused(graph_device: torch.device) -> None:
    graphed, _ = _pair(graph_device)
    (context,) = _placed(_shared(0), graph_device)
    graphed(context)
    graphed.float()
    with pytest.raises(InputError, match="changed, moved or replaced"):
        graphed(context)


def test_hooks_are_refused(graph_device: torch.device) -> None:
    graphed, _ = _pair(graph_device)
    (context,) = _placed(_shared(0), graph_device)
    graphed(context)
    handle = graphed.tower.block_modules[1].register_forward_hook(lambda *_: None)
    with pytest.raises(
        InputError, match=r"encoded in full, which cannot be captured: the model was changed: .* has hooks"
    ):
        graphed(context)
    handle.remove()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layout": "grouped"}, "needs the packed layout: leave layout and buckets out"),
        ({"layout": "auto", "buckets": 2}, "needs the packed layout: leave layout and buckets out"),
        ({"compile": True}, "compile and cuda_graph cannot be combined: choose one"),
    ],
)
def test_options_that_do_not_fit(settings: dict[str, Any], message: str, graph_device: torch.device) -> None:
    with pytest.raises(InputError, match=message):
        _pair(graph_device, **settings)


def test_a_model_without_sharing_is_refused(graph_device: torch.device) -> None:
    model = clip(no_causal_mask=True, pad_id=0)
    with pytest.raises(InputError, match=r"cannot be captured: its attention is not causal; use cuda_graph"):
        _pair(graph_device, model)


@pytest.mark.parametrize("layout", ["auto", "packed"])
def test_a_cpu_is_refused(layout: Any) -> None:
    with pytest.raises(
        InputError, match="cuda_graph=True needs a CUDA device, and the model is on cpu: move it"
    ):
        PromptEncoder(clip(), None, NAMES, n_ctx=4, layout=layout, cuda_graph=True)


def test_transforms_compilers_and_other_captures_are_refused(
    graph_device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphed, _ = _pair(graph_device)
    (context,) = _placed(_shared(0), graph_device)
    with pytest.raises(InputError, match=r"neither under torch\.compile nor in torch\.func"):
        torch.func.grad(lambda x: graphed(x).sum())(context)
    monkeypatch.setattr("torch.cuda.is_current_stream_capturing", lambda: True)
    with pytest.raises(InputError, match="during the capture of another CUDA graph"):
        graphed(context)


def test_a_pass_that_reads_from_the_device_is_refused(
    graph_device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphed, _ = _pair(graph_device)
    (context,) = _placed(_shared(0), graph_device)
    encode = PackedPlan.encode

    def reading(*given: Any, **options: Any) -> Tensor:
        features = encode(*given, **options)
        return features * features.detach().sum().item()

    monkeypatch.setattr(PackedPlan, "encode", reading)
    with pytest.raises(SarRegError, match=r"could not be captured as a CUDA graph \(.*use cuda_graph=False"):
        graphed(context)


def test_repr_and_copies(graph_device: torch.device) -> None:
    graphed, usual = _pair(graph_device)
    assert repr(graphed).endswith("; CUDA graphs)")
    assert "CUDA" not in repr(usual)
    (context,) = _placed(_shared(0), graph_device)
    features = graphed(context)
    for copied in (copy.deepcopy(graphed), pickle.loads(pickle.dumps(graphed))):
        assert copied._graph._settings == {}
        torch.testing.assert_close(copied(context), features, atol=1e-10, rtol=1e-10)
