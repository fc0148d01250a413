"""Reading a command line: a mistake is one line that says what was meant, or where to read on."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, NoReturn

from sar_reg.errors import did_you_mean


def count(text: str) -> int:
    """A whole number that is not negative, for `type=`.

    >>> count("3")
    3
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, not {text!r}")
    return int(text)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and status 2; subparsers are of this kind too."""

    def parse_known_args(self, *given: Any, **named: Any) -> Any:
        """Refuse what is not known here, where the options that were meant are known."""
        parsed, unknown = super().parse_known_args(*given, **named)
        if unknown:
            options = [option for option in self._option_string_actions if option.startswith("--")]
            self.error(f"unknown: {' '.join(unknown)}{did_you_mean(unknown[0], options)}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Print the line and leave."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            message += did_you_mean(choice[1], re.findall(r"[\w-]+", choice[2]))
        print(f"error: {message} (options: {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)
