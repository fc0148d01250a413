"""What is said to the person at the terminal, apart from the results."""

from __future__ import annotations

import sys


def tell(text: str) -> None:
    """A line for the person at the terminal, apart from the results."""
    print(text, file=sys.stderr)
