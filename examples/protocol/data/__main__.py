"""Fetch or check data sets: `python -m examples.protocol.data prepare|check KEY… --data ROOT`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from examples.protocol.cli.errors import one_line_errors
from examples.protocol.data.catalogue import SHIFTED, TABLE_3, entry_of
from examples.protocol.data.fetch import download
from examples.protocol.data.health import DECODED, check, check_all
from sar_reg.cli.doctor import Finding, show
from sar_reg.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if every data set asked for is complete, 1 if not.

    Raises:
        InputError: an unknown key.
    """
    parser = argparse.ArgumentParser(prog="python -m examples.protocol.data", description=__doc__)
    parser.add_argument(
        "command",
        choices=("prepare", "check"),
        help="prepare: download what torchvision can, print how to get the rest, then check; check: check only",
    )
    parser.add_argument(
        "keys", nargs="*", metavar="KEY", help=f"{', '.join(TABLE_3 + SHIFTED)}; default: all"
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="ROOT", help="folder that holds all data sets"
    )
    parser.add_argument("--decode", type=int, default=DECODED, help="images to decode in each; -1 for all")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_intermixed_args(arguments)
    if options.decode < -1:
        raise InputError(f"--decode must be -1 or more, not {options.decode}")
    keys = [entry_of(key).key for key in options.keys] or [*TABLE_3, *SHIFTED]
    if options.command == "prepare":
        findings = [finding for key in keys for finding in prepare(key, options.data, decode=options.decode)]
    else:
        findings = check_all(keys, options.data, decode=options.decode)
    print(show(findings, as_json=options.json))
    return int(any(finding.verdict == "failure" for finding in findings))


def prepare(key: str, root: Path, *, decode: int = DECODED) -> list[Finding]:
    """Download the images if they are missing and torchvision can, then check."""
    source = entry_of(key)
    fetched = [download(source, root)] if source.torchvision and source.find_images(root) is None else []
    return fetched + check(source, root, decode=decode)


if __name__ == "__main__":
    with one_line_errors():
        raise SystemExit(main())
