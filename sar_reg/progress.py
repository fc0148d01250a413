"""Progress of long work, on terminals only."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """Progress line on stderr for a `with` block; silent when stderr is not a terminal."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._began = time.monotonic()
        self._shown = False

    def __call__(self, done: int, wanted: int) -> None:
        """Show `done` of `wanted` and the rate."""
        if sys.stderr is None or not sys.stderr.isatty():  # pyright: ignore[reportUnnecessaryComparison]
            return
        filled = 20 * done // max(1, wanted)
        rate = done / max(1e-3, time.monotonic() - self._began)
        bar = "#" * filled + "." * (20 - filled)
        print(f"\r{self.what} [{bar}] {done}/{wanted}  {rate:.1f}/s ", end="", file=sys.stderr, flush=True)
        self._shown = True

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print(file=sys.stderr)
            self._shown = False
