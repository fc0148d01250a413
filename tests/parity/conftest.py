"""Each test with a `trace` runs once for every recorded run of its module's METHOD."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.traces import Trace, traces_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "trace" in metafunc.fixturenames:
        paths = traces_of(metafunc.config.getoption("--golden-dir"), metafunc.module.METHOD)
        metafunc.parametrize("trace", paths, ids=[path.stem for path in paths], indirect=True, scope="module")


@pytest.fixture(scope="module")
def trace(request: pytest.FixtureRequest) -> Trace:
    """One recorded run, with its model."""
    path: Path = request.param
    return Trace(path, getattr(request.module, "NAMES", None))
