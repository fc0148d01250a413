"""Each test with a `trace` runs once for every recorded run of its module's METHOD."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.traces import Trace, traces_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "trace" in metafunc.fixturenames:
        folder: Path = metafunc.config.getoption("--golden-dir")
        if not any(folder.glob("*.npz")):  # else every test would be skipped, and the run green
            raise pytest.UsageError(f"--golden-dir {folder} holds no traces (*.npz)")
        names = traces_of(folder, metafunc.module.METHOD)
        metafunc.parametrize("trace", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def trace(request: pytest.FixtureRequest, golden_dir: Path) -> Trace:
    """One recorded run, with its model."""
    return Trace(golden_dir, request.param, getattr(request.module, "NAMES", None))
