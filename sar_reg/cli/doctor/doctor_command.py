"""The command `doctor`: one list of findings.

Other packages register checks of data sets under the entry point group `sar_reg.doctor`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from sar_reg.cli.doctor.environment import check_environment, check_words, free_space
from sar_reg.cli.doctor.finding import Finding, show
from sar_reg.cli.doctor.weights import check_weights
from sar_reg.cli.open_clip_model import MODEL, PRETRAINED, Loaded
from sar_reg.cli.terminal import give
from sar_reg.errors import InputError

GROUP, DECODED = "sar_reg.doctor", 20
_ADVICE = (
    'clone the repository, pip install -e ".[examples]" in it, and run this command from its root folder'
)


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="show what works on this machine and how to install what is missing",
        description="Show what works on this machine and how to install what is missing: packages, GPU, sources of "
        "class names, weights, and with --data the data sets. The exit code is 1 if something fails.",
    )
    add = parser.add_argument
    several: dict[str, Any] = {"nargs": "+", "default": [], "metavar": "KEY"}
    add("--data", type=Path, metavar="ROOT", help="folder that holds the data sets")
    add("--only", **several, help="data sets to look at; default: all")
    add("--decode", type=int, metavar="N", help=f"images to decode in each (default: {DECODED}); -1 for all")
    add("--zero-shot", **several, help="compare zero-shot accuracy with the published one")
    add("--model", default=MODEL, help="open_clip model name")
    add("--pretrained", default=PRETRAINED, help="open_clip tag of the weights, or a file")
    add("--json", action="store_true", help="print JSON, for a bug report")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings on environment, word sources, weights and data sets; 1 if one is a failure, else 0."""
    for name in ("only", "decode"):
        if getattr(options, name) not in ([], None) and not options.data:
            raise InputError(f"--{name} has no effect without --data ROOT; pass the folder of the data sets")
    if options.decode is not None and options.decode < -1:
        raise InputError(f"--decode must be -1 or more, not {options.decode}")
    _looking_at("packages")
    findings = check_environment()
    _looking_at("sources of words")
    findings += check_words()
    _looking_at("weights")
    found, loaded = check_weights(options.model, options.pretrained)
    findings += found
    if options.data:
        _looking_at(f"data sets below {options.data}")
        findings += [free_space(options.data), *_data_sets(options, loaded)]
    else:
        advice = "name the folder of the data sets: --data ROOT"
        findings.append(Finding("data", "note", "not looked at", advice))
        if options.zero_shot:
            findings.append(Finding("zero-shot", "failure", "needs the images", advice))
    _looking_at("")
    give(show(findings, as_json=options.json))
    return int(any(finding.verdict == "failure" for finding in findings))


def _data_sets(options: argparse.Namespace, loaded: Loaded | None) -> list[Finding]:
    zero_shot = options.zero_shot if loaded else ()
    decode = DECODED if options.decode is None else options.decode
    findings = check_data(options.data, options.only, decode=decode, zero_shot=zero_shot, loaded=loaded)
    if loaded is not None and not options.zero_shot:
        advice = "--zero-shot dtd (1,692 images: seconds on a GPU, minutes on a CPU)"
        findings.append(Finding("zero-shot", "note", "accuracy not compared with the published one", advice))
    elif loaded is None and options.zero_shot:
        findings.append(Finding("zero-shot", "failure", "needs the weights", "see the line on weights above"))
    return findings


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


def _looking_at(what: str) -> None:
    """One changing line on a terminal; an empty `what` removes it."""
    if sys.stderr is not None and sys.stderr.isatty():  # pyright: ignore[reportUnnecessaryComparison]
        text = f"looking at {what} ..." if what else ""
        print(f"\r{text[:79]:79}\r", end="", file=sys.stderr, flush=True)
