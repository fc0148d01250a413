"""`python -m sar_reg report`: what is in a bank and where its novel classes came from."""

from __future__ import annotations

import argparse
import os
from typing import Any

from sar_reg.bank.anchor_bank import AnchorBank
from sar_reg.cli.arguments import count
from sar_reg.cli.class_options import class_list
from sar_reg.cli.terminal import give, give_json


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    what = "show the content of a bank, the sources of its novel classes, and how many are a benchmark's new ones"
    parser: argparse.ArgumentParser = commands.add_parser(
        "report", help=what, description=f"{what.capitalize()}."
    )
    parser.add_argument("bank", help="a file made by `bank` or AnchorBank.save")
    parser.add_argument("--new", metavar="FILE|a,b", help="new classes of a benchmark, to compare with")
    parser.add_argument("--sample", type=count, default=10, help="novel classes shown (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the report; 0 if all went well."""
    new_classes = class_list(options.new) if options.new else []
    if options.bank and not os.path.isfile(options.bank):
        raise FileNotFoundError(
            f"there is no anchor bank at {options.bank:.300}; make one with `python -m sar_reg bank`"
        )
    report = AnchorBank.load(options.bank).report(new_classes, sample=options.sample)
    give_json(report.as_dict()) if options.json else give(report)
    return 0
