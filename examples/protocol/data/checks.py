"""The data sets' part of `python -m sar_reg doctor`; pyproject.toml registers it as an entry point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from examples.protocol.data.catalogue import SHIFTED, TABLE_3
from examples.protocol.data.health import check_all
from examples.protocol.data.published_accuracy import check
from sar_reg.cli.doctor import Finding


def findings(
    root: Path, *, only: Sequence[str], decode: int, zero_shot: Sequence[str], loaded: Any
) -> list[Finding]:
    """Completeness of the data sets below `root`, and the loaded model's zero-shot accuracy on some of them."""
    complete = check_all(only or [*TABLE_3, *SHIFTED], root, decode=decode)
    return complete + [check(key, root, loaded.model, loaded.tokenizer) for key in zero_shot]
