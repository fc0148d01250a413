"""What all tests share: where the recorded traces of the official code are."""

from __future__ import annotations

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


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
