"""The command `doctor`: one list of findings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sar_reg.cli.doctor.data import check_data
from sar_reg.cli.doctor.environment import check_environment, free_space
from sar_reg.cli.doctor.finding import Finding, show
from sar_reg.cli.doctor.weights import check_weights
from sar_reg.cli.doctor.words import check_words
from sar_reg.cli.open_clip_model import MODEL, PRETRAINED
from sar_reg.cli.terminal import give


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="say what works on this machine and what to do about the rest",
        description="Say what works on this machine and what to do about the rest: packages, GPU, sources of "
        "class names, weights, and with --data the data sets. The exit code is 1 if something fails.",
    )
    parser.add_argument("--data", type=Path, metavar="ROOT", help="folder that holds the data sets")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="KEY", help="data sets to look at; default: all"
    )
    parser.add_argument(
        "--decode", type=int, default=20, help="images to decode in each data set; -1 for all"
    )
    parser.add_argument(
        "--zero-shot",
        nargs="+",
        default=[],
        metavar="KEY",
        help="compare zero-shot accuracy with the published one",
    )
    parser.add_argument("--model", default=MODEL, help="open_clip model name")
    parser.add_argument("--pretrained", default=PRETRAINED, help="open_clip tag of the weights, or a file")
    parser.add_argument("--json", action="store_true", help="print JSON, for a bug report")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings; 1 if one of them is a failure, else 0."""
    findings = examine(
        data=options.data,
        only=options.only,
        decode=options.decode,
        zero_shot=options.zero_shot,
        model=options.model,
        pretrained=options.pretrained,
    )
    _looking_at("")
    give(show(findings, as_json=options.json))
    return int(any(finding.verdict == "failure" for finding in findings))


def examine(
    *,
    data: Path | None = None,
    only: Sequence[str] = (),
    decode: int = 20,
    zero_shot: Sequence[str] = (),
    model: str = MODEL,
    pretrained: str = PRETRAINED,
) -> list[Finding]:
    """Check environment, word sources and weights; with `data` also the data sets below that folder.

    Args:
        data: folder that holds the data sets.
        only: keys of the data sets to look at; all by default.
        decode: images to decode in each; -1 for all.
        zero_shot: keys of data sets to classify without training, to compare with published accuracies.
        model: open_clip's name of the model.
        pretrained: its tag of weights, or a file.
    """
    _looking_at("packages")
    findings = check_environment()
    _looking_at("sources of words")
    findings += check_words()
    _looking_at("weights")
    found, loaded = check_weights(model, pretrained)
    findings += found
    if data is None:
        advice = "name the folder of the data sets: --data ROOT"
        findings.append(Finding("data", "note", "not looked at", advice))
        if zero_shot:
            findings.append(Finding("zero-shot", "failure", "needs the images", advice))
        return findings
    _looking_at(f"data sets below {data}")
    findings.append(free_space(data))
    findings += check_data(data, only, decode=decode, zero_shot=zero_shot if loaded else (), loaded=loaded)
    if loaded is not None and not zero_shot:
        advice = "--zero-shot dtd (1,692 images: seconds on a GPU, minutes on a CPU)"
        findings.append(Finding("zero-shot", "note", "accuracy not compared with the published one", advice))
    elif loaded is None and zero_shot:
        findings.append(Finding("zero-shot", "failure", "needs the weights", "see the line on weights above"))
    return findings


def _looking_at(what: str) -> None:
    """One changing line on a terminal; an empty `what` removes it."""
    if sys.stderr is not None and sys.stderr.isatty():  # pyright: ignore[reportUnnecessaryComparison]
        text = f"looking at {what} ..." if what else ""
        print(f"\r{text[:79]:79}\r", end="", file=sys.stderr, flush=True)
