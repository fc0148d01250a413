"""One small CLIP for all tests that do not build their own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.prompting.models import clip


@pytest.fixture(scope="session")
def model() -> Any:
    """open_clip's CLIP in float64 with random weights."""
    return clip()
