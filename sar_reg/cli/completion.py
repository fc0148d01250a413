"""`sar-reg completion`: a script that lets a shell complete commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from sar_reg.cli.terminal import give
from sar_reg.errors import require


def add_to(commands: Any, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Add the command; `parser` makes the parser whose commands and options are completed."""
    made: argparse.ArgumentParser = commands.add_parser(
        "completion",
        help="print a script that completes this command line",
        description='For bash, add to your start-up file: eval "$(sar-reg completion bash)"',
    )
    made.add_argument("shell", nargs="?", choices=("bash", "zsh", "tcsh"), default="bash")

    def run(options: argparse.Namespace) -> int:
        shtab: Any = require("shtab", extra="completion")
        give(shtab.complete(parser(), options.shell))
        return 0

    made.set_defaults(run=run)
