"""Reading a command line: a mistake is reported in one line that states what was expected."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Container
from pathlib import Path
from typing import Any, NoReturn

from sar_reg.cli.terminal import tell
from sar_reg.errors import did_you_mean

_LARGEST = 10**9
_OTHER_NAMES = {"cache_dir": "cache"}
_PYTHON_ARGUMENT = re.compile(r"""\b([a-z]\w*)=(?:True\b)?(?=(["'\w])?)|^([a-z]\w*)(?= must )""")


def in_options(message: str, known: Container[str]) -> str:
    """A message of the library with the command's options in place of Python's arguments.

    Args:
        message: the library's.
        known: the names of the command's options in Python; other arguments stay as they are.

    >>> known = {"timeout", "allow_fewer", "cache"}
    >>> in_options("raise timeout=, or pass allow_fewer=True; cache_dir='x' is a file", known)
    "raise --timeout, or pass --allow-fewer; --cache 'x' is a file"
    >>> in_options("timeout must be a number", known), in_options("n must be a number", known)
    ('--timeout must be a number', 'n must be a number')
    """

    def option(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        name = _OTHER_NAMES.get(name, name)
        return f"--{name.replace('_', '-')}{' ' if found[2] else ''}" if name in known else found[0]

    return _PYTHON_ARGUMENT.sub(option, message)


def count(text: str) -> int:
    """A whole number that is not negative, for `type=`.

    >>> count("3")
    3
    """
    if not text.isdecimal() or len(text) > 10 or int(text) > _LARGEST:
        raise argparse.ArgumentTypeError(f"expected a whole number in 0..{_LARGEST}, not {text!r:.60}")
    return int(text)


def add_result_arguments(
    parser: argparse.ArgumentParser, output: str, *, endings: tuple[str, ...], required: bool, json: str
) -> None:
    """Where the result goes, in a file with one of the endings or without any, and whether requests are logged."""

    def output_file(text: str) -> Path:
        if text == "-":
            where = "" if required else "leave -o out for standard output (with --json as JSON), or "
            raise argparse.ArgumentTypeError(f"expected a file, not '-': {where}name a file")
        if not text or text.endswith(os.sep) or os.path.isdir(text):
            raise argparse.ArgumentTypeError(f"expected a file, but {text!r:.60} is a folder")
        if Path(text).suffix.lower() not in ("", *endings):
            raise argparse.ArgumentTypeError(
                f"expected a file that ends in {' or '.join(endings)}, not {text!r}"
            )
        return Path(text)

    result = parser.add_argument_group("result")
    result.add_argument("-o", "--output", type=output_file, required=required, metavar="FILE", help=output)
    result.add_argument("--json", action="store_true", help=json)
    parser.add_argument("-v", "--verbose", action="store_true", help="log requests and replies")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and status 2; subparsers are of this kind too."""

    def parse_known_args(self, *given: Any, **named: Any) -> Any:
        """Refuse unknown arguments here, where the options of the command are known."""
        parsed, unknown = super().parse_known_args(*given, **named)
        if unknown:
            options = [option for option in self._option_string_actions if option.startswith("--")]
            self.error(f"unknown: {' '.join(unknown)}{did_you_mean(unknown[0], options)}")
        for action in self._actions:  # argparse reads "--" as an empty list
            if action.nargs is None and getattr(parsed, action.dest, None) == []:
                self.error(f"argument {'/'.join(action.option_strings)}: expected a value, not '--'")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Print the line and exit."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            message += did_you_mean(choice[1], re.findall(r"[\w-]+", choice[2]))
        tell(f"error: {' '.join(message.split()):.500} (options: {self.prog} --help)")
        raise SystemExit(2)
