"""What all tests share: where the recorded traces of the official code are, and CUDA graphs on a CPU."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from torch import Tensor
from torch.utils._pytree import tree_leaves

from benchmarks.operations import Operations
from tests import GOLDEN

# The same examples in every run, so that a change and nothing else makes a test fail. Search further with
# `pytest --hypothesis-profile default`.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

# Processes of a parallel test run that each use all cores slow each other down many times over.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# Modules and collected tests stay to the end, so looking through them for garbage finds none.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


LONG = re.compile(r"test_(cluster|interpreter|ahead_of_time|distributed|operator|in_use)\.py")
"""Files with tests of many seconds each."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each process of a parallel run begins with its share of the long tests, so that none is left for the end."""
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    files = groupby((item for item in items if LONG.search(item.path.name)), key=lambda item: item.path)
    short = iter([item for item in items if not LONG.search(item.path.name)])
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for number, (_, tests) in enumerate(files):  # the tests of a file share what they prepare
        shares[number % workers] += tests
    for share in shares:
        share += islice(short, max(0, -(-len(items) // workers) - len(share)))
    shares[-1] += short
    items[:] = [item for share in shares for item in share]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-dir",
        type=Path,
        default=GOLDEN,
        help="folder with the recorded traces (*.npz, protocol.json) to compare with; default tests/golden",
    )


@pytest.fixture(scope="session")
def golden_dir(pytestconfig: pytest.Config) -> Path:
    """The folder of recorded traces."""
    return pytestconfig.getoption("--golden-dir")


@pytest.fixture(scope="session", autouse=True)
def texts_are_split_once() -> Iterator[None]:
    """open_clip's tokenizers keep the pieces of each text; splitting is a tenth of the time of many tests."""
    if "open_clip" not in sys.modules:  # no test that is run imports it
        yield
        return
    from open_clip.tokenizer import SimpleTokenizer

    split = SimpleTokenizer.encode

    @cache
    def pieces(tokenizer: SimpleTokenizer, text: str) -> tuple[int, ...]:
        return tuple(split(tokenizer, text))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimpleTokenizer, "encode", lambda self, text: list(pieces(self, text)))
        yield


@pytest.fixture
def popen() -> Iterator[Callable[..., subprocess.Popen[Any]]]:
    """`subprocess.Popen` whose processes end with the test, also if it fails."""
    started: list[subprocess.Popen[Any]] = []

    def start(*args: Any, **settings: Any) -> subprocess.Popen[Any]:
        started.append(subprocess.Popen(*args, **settings))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        with process:  # closes its pipes and waits
            pass


@pytest.fixture(scope="session")
def model() -> Any:
    """open_clip's CLIP in float64 with random weights."""
    from tests.prompting.models import clip

    return clip()


class RecordedGraph(Operations):
    """Stands for `torch.cuda.CUDAGraph`: what is dispatched during a capture is recorded, and done again later.

    As with a real graph, a capture computes nothing: what it makes is filled with NaN, and what it changed is put back.
    A replay runs no Python code, reads its inputs where they were at capture and overwrites its outputs. What PyTorch
    refuses during a real capture, reading a value or a shape from the device, raises here too.
    """

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
