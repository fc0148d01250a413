"""CUDA graphs on a CPU: what is dispatched during a capture is recorded, and done again into the same memory.

As with a real graph, a capture computes nothing: what it makes is filled with NaN, and what it changed is put back. A
replay runs no Python code, reads its inputs where they were at capture and overwrites its outputs. What PyTorch refuses
during a real capture, reading a value or a shape from the device, raises here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from benchmarks.operations import Operations


class RecordedGraph(Operations):
    """Stands for `torch.cuda.CUDAGraph`."""

    def __init__(self) -> None:
        super().__init__(refuse_reads=True)
        self._calls: list[tuple[Any, Any, Any, list[Any]]] = []
        self._before: list[tuple[Tensor, Tensor]] = []
        self.replays = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.is_mutable:
            changed = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            self._before += [(x.data, x.data.clone()) for x in changed]
        try:
            found = super().__torch_dispatch__(func, types, args, kwargs)
        except AssertionError as error:  # the type of a real capture's error
            raise RuntimeError(f"operation not permitted when stream is capturing: {error}") from error
        given = {_memory(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        made = [x for x in tree_leaves(found) if isinstance(x, Tensor)]
        is_view = bool(made) and all(_memory(x) in given for x in made) and not func._schema.is_mutable
        if not is_view:
            self._calls.append((func, args, kwargs or {}, [] if func._schema.is_mutable else made))
        return found

    def end(self) -> None:
        """Undo what the capture has computed; `data` hides it from autograd, to which a real capture is no change."""
        for tensor, before in reversed(self._before):
            tensor.copy_(before)
        for _, _, _, made in self._calls:
            for tensor in made:
                tensor.data.fill_(torch.nan if tensor.is_floating_point() else 0)
        self._before.clear()

    def replay(self) -> None:
        """Do it all again; also what is random would be random again."""
        self.replays += 1
        with torch.no_grad():
            for func, args, kwargs, made in self._calls:
                again = [x for x in tree_leaves(func(*args, **kwargs)) if isinstance(x, Tensor)]
                for old, new in zip(made, again, strict=False):
                    old.copy_(new)

    def pool(self) -> None:
        """Memory is not shared here."""


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


class _Stream:
    def __init__(self, *_: Any) -> None: ...

    def wait_stream(self, _: Any) -> None: ...


@contextmanager
def _capture(graph: RecordedGraph, **_: Any) -> Iterator[None]:
    with graph:
        yield
    graph.end()


@pytest.fixture
def graph_device(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A device with CUDA graphs: a GPU, or the CPU with recorded ones."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    for name, value in {
        "CUDAGraph": RecordedGraph,
        "graph": _capture,
        "Stream": _Stream,
        "stream": lambda _: nullcontext(),
        "current_stream": _Stream,
        "is_current_stream_capturing": lambda: False,
    }.items():
        monkeypatch.setattr(f"torch.cuda.{name}", value)
    monkeypatch.setattr("sar_reg.cuda_graph._has_graphs", lambda _: True)
    return torch.device("cpu")
