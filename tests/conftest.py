"""What all tests share: where the recorded traces of the official code are."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

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


@pytest.fixture(scope="session")
def model() -> Any:
    """open_clip's CLIP in float64 with random weights."""
    from tests.prompting.models import clip

    return clip()
