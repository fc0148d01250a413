"""Results on standard output, messages on standard error, on any terminal."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from sar_reg.errors import WriteError


def escape_what_cannot_be_shown() -> None:
    """Print characters that the terminal's encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def give(text: object) -> None:
    """Print a result.

    Raises:
        WriteError: if standard output is closed.
    """
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise WriteError("standard output is closed; write to a file with -o FILE, or redirect the output")
    print(text)


def give_json(value: Any) -> None:
    """Print a result as JSON, with escapes if the terminal does not support UTF-8."""
    unicode = "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()
    give(json.dumps(value, indent=1, ensure_ascii=not unicode))


def tell(text: str) -> None:
    """Print a message."""
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison] - print would take stdout instead
        print(text, file=sys.stderr)
