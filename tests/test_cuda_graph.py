"""A captured call: the same results and gradients as the function, and none of the mistakes of static memory.

On a CPU the graphs are recorded ones, see `tests.conftest`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from sar_reg import SarRegError
from sar_reg.cuda_graph import CapturedCall
from sar_reg.errors import InputError
from tests.conftest import RecordedGraph


class Model:
    """A function of two inputs that reads a weight, uses no `unused`, and counts its calls."""

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float64) -> None:
        self.weight = torch.randn(3, 3, dtype=dtype, generator=torch.Generator().manual_seed(0)).to(device)
        self.weight.requires_grad_()
        self.unused = torch.zeros(2, device=device, requires_grad=True)
        self.count = torch.zeros((), dtype=torch.int64, device=device)
        self.runs = 0
        self.call = CapturedCall("graphs", "leave graphs out", [self.count])

    def plain(self, x: Tensor, scale: Tensor) -> list[Tensor]:
        self.runs += 1
        self.count += 1
        rows = (x @ self.weight).tanh() * scale
        return [rows.square().sum() * self.count, rows, rows.mean() + self.count]

    def graphed(self, x: Tensor, scale: Tensor, **settings: object) -> Sequence[Tensor]:
        return self.call(self.plain, [x, scale], [self.weight, self.unused], settings=settings)


@pytest.fixture
def models(graph_device: torch.device) -> tuple[Model, Model]:
    """One to call by replay, and one to call as it is."""
    return Model(graph_device), Model(graph_device)


def _inputs(device: torch.device, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, scale = (torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in ((5, 3), (5, 1)))
    return x.to(device).requires_grad_(), scale.to(device)


def test_replays_equal_the_function(graph_device: torch.device, models: tuple[Model, Model]) -> None:
    graphed, usual = models
    for seed in range(4):
        x, scale = _inputs(graph_device, seed)
        found, expected = graphed.graphed(x, scale), usual.plain(x, scale)
        gradients = [
            torch.autograd.grad((2 + seed) * results[0], [x, model.weight, model.unused], allow_unused=True)
            for results, model in ((found, graphed), (expected, usual))
        ]
        for a, b in zip((*found, *gradients[0][:2]), (*expected, *gradients[1][:2]), strict=True):
            torch.testing.assert_close(a.detach(), b.detach())
        assert gradients[0][2] is None
        assert [result.requires_grad for result in found] == [True, False, False]
        with torch.no_grad():  # as an optimiser changes it, in place
            for model in models:
                model.weight -= 0.1 * gradients[1][1]
    assert graphed.count == usual.count == 4
    assert graphed.runs == 4  # three passes that warm up, and the captured one


def test_what_a_caller_holds_is_not_overwritten(
    graph_device: torch.device, models: tuple[Model, Model]
) -> None:
    graphed, usual = models
    held: list[Tensor] = []
    kept: list[Tensor] = []
    for seed in range(3):
        x, scale = _inputs(graph_device, seed)
        results = graphed.graphed(x, scale)
        results[0].backward()
        usual.plain(x.detach(), scale)[0].backward()
        assert x.grad is not None
        held += [*results, x.grad]
        kept += [tensor.detach().clone() for tensor in (*results, x.grad)]
    for a, b in zip(held, kept, strict=True):
        assert torch.equal(a, b)
    torch.testing.assert_close(graphed.weight.grad, usual.weight.grad)  # the sum over the three
    (gradient,) = torch.autograd.grad(graphed.graphed(x, scale)[0], x)
    before = gradient.clone()
    graphed.graphed(*_inputs(graph_device, 3))[0].backward()
    assert torch.equal(gradient, before)


def test_inputs_are_copied(graph_device: torch.device, models: tuple[Model, Model]) -> None:
    graphed, usual = models
    x, scale = _inputs(graph_device, 0)
    expected = torch.autograd.grad(usual.plain(x, scale)[0], x)[0]
    loss = graphed.graphed(x, scale)[0]
    with torch.no_grad():
        x.zero_()  # after the call, before its backward pass
        scale.zero_()
    torch.testing.assert_close(torch.autograd.grad(loss, x)[0], expected)
    graphed.graphed(*_inputs(graph_device, 1))
    assert not x.any()  # no replay writes into the tensors of a caller
    assert not scale.any()


def test_inputs_of_other_strides(graph_device: torch.device, models: tuple[Model, Model]) -> None:
    graphed, usual = models
    x, scale = _inputs(graph_device, 0)
    for tensor in (x[:, :1].expand(5, 3), x.t().contiguous().t(), x):
        torch.testing.assert_close(
            graphed.graphed(tensor, scale[:1].expand(5, 1))[0].detach(),
            usual.plain(tensor, scale[:1].expand(5, 1))[0].detach(),
        )


@pytest.mark.parametrize("low", [False, True])
def test_casts_are_replayed(low: bool, graph_device: torch.device) -> None:
    """The cache of autocast would keep the cast of the first weight."""
    graphed, usual = (Model(graph_device, torch.float32) for _ in range(2))
    x, scale = (tensor.detach().float() for tensor in _inputs(graph_device, 0))
    for _ in range(2):
        found = []
        for model, function in ((graphed, graphed.graphed), (usual, usual.plain)):
            with torch.autocast(graph_device.type, torch.bfloat16) if low else nullcontext():
                results = function(x, scale)
            found.append(results[0].detach())
            with torch.no_grad():
                model.weight.mul_(-2)
        torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)


def test_the_order_of_a_capture(
    graph_device: torch.device, models: tuple[Model, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warm up on the stream of the capture, which waits for the usual one and the other way round."""
    if graph_device.type != "cpu":
        pytest.skip("records what is asked of CUDA instead of doing it")
    done: list[str] = []

    class Stream:
        def __init__(self, *_: Any) -> None:
            self.name = "side"

        def wait_stream(self, other: Any) -> None:
            done.append(f"{self.name} waits for {other.name}")

    usual = Stream()
    usual.name = "usual"

    @contextmanager
    def on(stream: Stream) -> Any:
        done.append(f"on {stream.name}")
        yield
        done.append("back")

    @contextmanager
    def capture(graph: RecordedGraph, **mode: Any) -> Any:
        done.append(f"capture on {mode['stream'].name}, {mode['capture_error_mode']}, {mode.get('pool')}")
        with graph:
            yield
        graph.end()

    monkeypatch.setattr("torch.cuda.Stream", Stream)
    monkeypatch.setattr("torch.cuda.current_stream", lambda _: usual)
    monkeypatch.setattr("torch.cuda.stream", on)
    monkeypatch.setattr("torch.cuda.graph", capture)
    monkeypatch.setattr(RecordedGraph, "pool", lambda _: "pool of the first")
    monkeypatch.setattr(RecordedGraph, "replay", lambda _: done.append("replay"))
    graphed = models[0]
    plain = graphed.plain
    graphed.plain = lambda *given: (done.append("pass"), plain(*given))[1]  # type: ignore[method-assign]
    graphed.graphed(*_inputs(graph_device, 0))[0].backward()
    assert done == [
        "side waits for usual",
        "on side",
        *["pass"] * 3,
        "back",
        "usual waits for side",
        "capture on side, thread_local, None",
        "pass",
        "capture on side, thread_local, pool of the first",
        "replay",
        "replay",
    ]


def test_passes_whose_memory_is_gone_are_refused(
    graph_device: torch.device, models: tuple[Model, Model]
) -> None:
    graphed = models[0]
    (first, *_), (second, *_) = (graphed.graphed(*_inputs(graph_device, seed)) for seed in range(2))
    with pytest.raises(
        SarRegError,
        match=r"with graphs backward must run once, and before the next call: .* or leave graphs out",
    ):
        first.backward()
    second.backward(retain_graph=True)
    with pytest.raises(SarRegError, match="backward must run once"):
        second.backward()
    x, scale = _inputs(graph_device, 0)
    with pytest.raises(SarRegError, match=r"graphs has no second derivative \(create_graph=True\); leave"):
        torch.autograd.grad(graphed.graphed(x, scale)[0], x, create_graph=True)


def test_calls_that_differ_are_refused(graph_device: torch.device, models: tuple[Model, Model]) -> None:
    graphed = models[0]
    x, scale = _inputs(graph_device, 0)
    graphed.graphed(x, scale, size=5)
    for other in (x[:3], x[:1], x.detach(), x.float()):
        with pytest.raises(
            InputError,
            match=r"captured with inputs \(5, 3\) float64 with gradient, .*: keep it the same, or leave",
        ):
            graphed.graphed(other, scale, size=5)
    with pytest.raises(InputError, match="captured with size 5, and this call has 6"):
        graphed.graphed(x, scale, size=6)
    graphed.weight = graphed.weight.detach().clone().requires_grad_()
    with pytest.raises(
        InputError, match=r"weights that the CUDA graph reads were .* replaced .*or leave graphs"
    ):
        graphed.graphed(x, scale, size=5)


def test_without_a_gradient_nothing_is_captured(
    graph_device: torch.device, models: tuple[Model, Model]
) -> None:
    graphed = models[0]
    refused = r"graphs captures the gradient as well, and nothing has one .*, or leave graphs out"
    with torch.no_grad(), pytest.raises(InputError, match=refused):
        graphed.graphed(*_inputs(graph_device, 0))
    call = CapturedCall("graphs", "leave graphs out")
    with pytest.raises(InputError, match=refused):
        call(lambda x: [x.sum()], [torch.ones(2, device=graph_device)], settings={})
    ones = torch.ones(2, device=graph_device, requires_grad=True)
    with pytest.raises(SarRegError, match=r"could not be captured .*; leave graphs out"):
        call(lambda x: [x.detach().sum()], [ones], settings={})
    graphed.graphed(*_inputs(graph_device, 0))
    with torch.no_grad():  # what is captured is replayed there too
        assert not graphed.graphed(*_inputs(graph_device, 0))[0].requires_grad


@pytest.mark.parametrize("error", [RuntimeError, KeyError])
@pytest.mark.parametrize("failing", [2, 4])
def test_a_failed_capture_advances_nothing(
    failing: int, error: type[Exception], graph_device: torch.device, models: tuple[Model, Model]
) -> None:
    """It fails while it warms up or in the captured pass; the next call captures again."""
    graphed, usual = models
    x, scale = _inputs(graph_device, 0)
    plain = graphed.plain

    def fails(*given: Tensor) -> list[Tensor]:
        results = plain(*given)
        if graphed.runs == failing:
            raise error("no")
        return results

    graphed.plain = fails  # type: ignore[method-assign]
    expected = usual.plain(x, scale)[0].detach()
    with pytest.raises(SarRegError if error is RuntimeError else error, match="no"):
        graphed.graphed(x, scale)
    assert graphed.count == 0
    torch.testing.assert_close(graphed.graphed(x, scale)[0].detach(), expected)
    assert graphed.count == 1


def test_a_copy_captures_for_itself(graph_device: torch.device, models: tuple[Model, Model]) -> None:
    graphed = models[0]
    x, scale = _inputs(graph_device, 0)
    graphed.graphed(x, scale)
    other = copy.deepcopy(graphed)
    results = other.graphed(x, scale)
    assert (graphed.count, other.count) == (1, 2)
    torch.testing.assert_close(results[0], graphed.graphed(x, scale)[0])
