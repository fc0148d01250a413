"""How far something is that takes long: on terminals only, and never among results."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """One line on the standard error stream that tells how many are done; nothing if it is no terminal."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._began = time.monotonic()
        self._shown = False

    def __call__(self, done: int, wanted: int) -> None:
        """Show that `done` of `wanted` are done."""
        if not sys.stderr.isatty():
            return
        filled = 20 * done // max(1, wanted)
        rate = done / max(1e-3, time.monotonic() - self._began)
        bar = "#" * filled + "." * (20 - filled)
        print(f"\r{self.what} [{bar}] {done}/{wanted}  {rate:.1f}/s ", end="", file=sys.stderr, flush=True)
        self._shown = True

    def end(self) -> None:
        """Go to the next line, if something was shown."""
        if self._shown:
            print(file=sys.stderr)
            self._shown = False
