"""Checks of data sets, which other packages register under the entry point group `sar_reg.doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from sar_reg.cli.doctor.finding import Finding
from sar_reg.cli.open_clip_model import Loaded

GROUP = "sar_reg.doctor"
_ADVICE = (
    'clone the repository, pip install -e ".[examples]" in it, and run this command from its root folder'
)


def check_data(
    root: Path, only: Sequence[str], *, decode: int, zero_shot: Sequence[str], loaded: Loaded | None
) -> list[Finding]:
    """Run every registered check.

    An entry point names a function `check(root, *, only, decode, zero_shot, loaded) -> list[Finding]`.

    Args:
        root: folder that holds the data sets.
        only: keys of the data sets to look at; all by default.
        decode: images to decode in each; -1 for all.
        zero_shot: keys of the data sets to classify with the loaded model.
        loaded: a model and its tokenizer, or `None`.
    """
    registered = list(entry_points(group=GROUP))
    if not registered:
        fact = "the checks of data sets are part of the repository's examples, which are not installed"
        return [Finding("data", "failure", fact, _ADVICE)]
    findings: list[Finding] = []
    for entry in registered:
        try:
            check: Any = entry.load()
        except ImportError as error:
            fact = f"the check {entry.value} cannot be used ({error})"
            findings.append(Finding("data", "failure", fact, _ADVICE))
        else:
            findings += check(root, only=only, decode=decode, zero_shot=zero_shot, loaded=loaded)
    return findings
