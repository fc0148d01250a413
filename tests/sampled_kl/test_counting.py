"""How many operations a training step sends to a GPU: counted on the CPU, with the kernels' launches stubbed."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sar_reg import SimilarityAlignmentLoss

pytest.importorskip("triton")

VIEWS = {
    "view", "_unsafe_view", "reshape", "expand", "permute", "transpose", "t", "slice", "select", "unbind", "split",
    "as_strided", "detach", "alias", "unsqueeze", "squeeze", "split_with_sizes", "unfold", "chunk", "_reshape_alias",
}  # fmt: skip


class Count(TorchDispatchMode):
    """Each dispatched operator that is not a view, memory allocation included, and each launch of a kernel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.operators: Counter[str] = Counter()
        self.launches: list[str] = []
        monkeypatch.setattr("sar_reg.sampled_kl.kernels.tiles.launch", self.launch)
        monkeypatch.setattr("sar_reg.sampled_kl.api.why_not_triton", lambda *inputs: None)

    def launch(self, kernel: Any, *arguments: object, **constants: object) -> None:
        self.launches.append(kernel.__name__)

    @property
    def total(self) -> int:
        return len(self.launches) + self.operators.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        if name not in VIEWS:
            self.operators[name] += 1
        return func(*args, **(kwargs or {}))


def step(n: int, sampling: str, monkeypatch: pytest.MonkeyPatch, **options: object) -> Count:
    count = Count(monkeypatch)
    bank = SimpleNamespace(
        embeddings=torch.randn(n, 32), temperature=0.01, classnames=tuple(map(str, range(n)))
    )
    sar = SimilarityAlignmentLoss(bank, 48, sampling=sampling, impl="triton", **options)
    features = torch.randn(n, 32, requires_grad=True)
    with count:
        sar(features).backward()
    assert features.grad is not None
    assert sar.step == 1
    return count


@pytest.mark.parametrize("n", [60, 700])
@pytest.mark.parametrize("direction", ["target||learned", "learned||target"])
@pytest.mark.parametrize(("sampling", "most", "kernels"), [
    ("ring", 10, ["ring_order", "ring_kl_forward", "ring_kl_backward"]),
    ("independent", 12, ["draw_sets", "sets_kl_forward", "dense_backward"]),
])  # fmt: skip
def test_a_training_step(
    sampling: str, most: int, kernels: list[str], direction: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = step(n, sampling, monkeypatch, direction=direction)
    assert count.launches == kernels
    assert count.total <= most, count.operators
    # Without allocations: the three kernels, the sum over rows, the upstream 1, and the step counter.
    work = {name for name in count.operators if not name.startswith(("empty", "new_empty"))}
    assert work == {"sum", "ones_like", "add_"}
    assert count.total - sum(count.operators[name] for name in ("empty", "new_empty")) == 6


def test_many_classes_take_three_more_for_the_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    count = step(1100, "independent", monkeypatch)
    assert count.launches == ["draw_sets", "sets_kl_forward", "gather_backward"]
    work = {name: number for name, number in count.operators.items() if "empty" not in name}
    assert work == {"sum": 1, "ones_like": 1, "add_": 1, "sort": 1, "arange": 1, "searchsorted": 1}


def test_nothing_of_size_n_k_d(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor of a step is as large as the gathered rows would be."""
    largest = 0

    class Largest(Count):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            result = super().__torch_dispatch__(func, types, args, kwargs)
            for tensor in result if isinstance(result, tuple) else (result,):
                if isinstance(tensor, torch.Tensor):
                    largest = max(largest, tensor.numel())
            return result

    monkeypatch.setattr("tests.sampled_kl.test_counting.Count", Largest)
    for n in (700, 1100):
        step(n, "independent", monkeypatch)
        assert 0 < largest < n * 48 * 32
