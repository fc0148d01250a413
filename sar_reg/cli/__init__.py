"""The command line: `python -m sar_reg novel | bank | report | doctor`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sar_reg.cli import bank_command, doctor, novel_command, report_command
from sar_reg.cli.arguments import Parser, in_options
from sar_reg.cli.terminal import escape_what_cannot_be_shown, give, tell
from sar_reg.errors import InputError, SarRegError, require
from sar_reg.version import __version__

_EXAMPLES = """examples:
  python -m sar_reg novel --base "tabby cat,beagle" --n-novel 20
  python -m sar_reg novel --base classes.txt --novel llm -o novel.json
  python -m sar_reg bank --base classes.txt --novel novel.json -o b.safetensors
  python -m sar_reg report b.safetensors --new new_classes.txt
  python -m sar_reg doctor

exit codes: 0 done, 1 not possible, 2 wrong arguments or files, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those after `python -m sar_reg`; the process's own by default.

    Returns:
        The exit code: 0 done, 1 could not be done, 2 wrong arguments or files, 130 interrupted.
    """
    escape_what_cannot_be_shown()
    options = argparse.Namespace(kept="nothing was written", verbose=False)
    try:
        parser("python -m sar_reg").parse_args(arguments, options)
        _set_up_logging(options)
        code = options.run(options)
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - closed by `>&-`
            sys.stdout.flush()
    except (InputError, FileNotFoundError) as error:
        return _failed(error, 2, options)
    except (SarRegError, OSError) as error:
        return _failed(error, 1, options)
    except KeyboardInterrupt:
        tell(f"\ninterrupted; {options.kept}")
        return 130
    return code


def parser(program: str) -> argparse.ArgumentParser:
    """The parser of all commands."""
    made = Parser(
        prog=program,
        description="Class names and anchor banks for Similarity Alignment Regularization:\n"
        "`novel` makes a list of class names, `bank` encodes it, training code reads it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"sar_reg {__version__}")
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (novel_command, bank_command, report_command, doctor):
        command.add_to(commands)
    completion: argparse.ArgumentParser = commands.add_parser(
        "completion",
        help="print a script that completes this command line",
        description='For bash, add to your start-up file: eval "$(sar-reg completion bash)"',
    )
    completion.add_argument("shell", nargs="?", choices=("bash", "zsh", "tcsh"), default="bash")
    completion.set_defaults(run=_complete)
    return made


def _complete(options: argparse.Namespace) -> int:
    shtab: Any = require("shtab", extra="completion")
    give(shtab.complete(parser("sar-reg"), options.shell))
    return 0


class _Formatter(logging.Formatter):
    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__("%(levelname)s: %(message)s")
        self._options = options

    def format(self, record: logging.LogRecord) -> str:
        return in_options(super().format(record), vars(self._options))


def _set_up_logging(options: argparse.Namespace) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(options))
    logging.basicConfig(handlers=[handler], level=logging.INFO if options.verbose else logging.WARNING)
    for library in ("httpx", "httpx2", "openai"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _failed(error: Exception, code: int, options: argparse.Namespace) -> int:
    if isinstance(error, OSError) and error.errno is not None and error.filename is None:
        # standard output is full, or its reader, such as `head`, has enough: drop what is buffered
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):
        tell(f"error: {in_options(' '.join(str(error).split()), vars(options))}")
    return code
