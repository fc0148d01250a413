"""Reading a command line: a mistake is one line that says what was expected."""

from __future__ import annotations

import argparse
import math
import os
import re
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from sar_reg.cli.terminal import tell
from sar_reg.errors import did_you_mean

_LARGEST = 10**9


def count(text: str) -> int:
    """A whole number that is not negative, for `type=`.

    >>> count("3")
    3
    """
    if not text.isdecimal() or len(text) > 10 or int(text) > _LARGEST:
        raise argparse.ArgumentTypeError(f"expected a whole number in 0..{_LARGEST}, not {text!r:.60}")
    return int(text)


def number(text: str) -> float:
    """A finite number, for `type=`.

    >>> number("0.5")
    0.5
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, not {text!r:.60}")
    return value


def address(text: str) -> str:
    """The address of a server, for `type=`; messages do not repeat it, since it may hold a password."""
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that cannot be read
        fine = False
    if not fine:
        raise argparse.ArgumentTypeError("expected an address such as http://localhost:8000/v1")
    return text


def output_file(text: str) -> Path:
    """A file to write, for `type=`."""
    if not text or text.endswith(os.sep) or os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"expected a file, but {text!r:.60} is a folder")
    return Path(text)


def is_special(path: Path) -> bool:
    """Whether a path is a device or a pipe, beside which nothing can be kept."""
    return os.path.exists(path) and not os.path.isfile(path)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and status 2; subparsers are of this kind too."""

    def parse_known_args(self, *given: Any, **named: Any) -> Any:
        """Refuse unknown arguments here, where the options of the command are known."""
        parsed, unknown = super().parse_known_args(*given, **named)
        if unknown:
            options = [option for option in self._option_string_actions if option.startswith("--")]
            self.error(f"unknown: {' '.join(unknown)}{did_you_mean(unknown[0], options)}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Print the line and exit."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            message += did_you_mean(choice[1], re.findall(r"[\w-]+", choice[2]))
        tell(f"error: {' '.join(message.split()):.500} (options: {self.prog} --help)")
        raise SystemExit(2)
