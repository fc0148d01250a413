"""The data sets' part: done by the examples of the repository, which the wheel does not hold."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sar_reg.cli.doctor.finding import Finding
from sar_reg.cli.doctor.weights import Loaded


def check_data(root: Path, keys: Sequence[str], *, decode: int) -> list[Finding]:
    """What the examples' `health` module finds below `root`; all of the benchmark's without `keys`."""
    try:
        catalogue: Any = importlib.import_module("examples.protocol.data.catalogue")
        health: Any = importlib.import_module("examples.protocol.data.health")
    except ImportError as error:
        advice = (
            'clone the repository, pip install ".[examples]" in it, and run this command from its root folder'
        )
        return [Finding("data", "failure", f"the checks are part of the examples ({error})", advice)]
    return health.check_all(keys or [*catalogue.TABLE_3, *catalogue.SHIFTED], root, decode=decode)


def check_zero_shot(root: Path, keys: Sequence[str], loaded: Loaded) -> list[Finding]:
    """Zero-shot accuracy of the loaded model on each data set, beside the published one."""
    try:
        zero_shot: Any = importlib.import_module("examples.protocol.data.zero_shot")
    except ImportError as error:
        return [Finding("zero-shot", "failure", f"the check is part of the examples ({error})")]
    return [zero_shot.check(key, root, loaded.model, loaded.tokenizer) for key in keys]
