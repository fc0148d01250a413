"""Progress over all epochs of all runs: a bar on a terminal, else one line per epoch, on stderr."""

from __future__ import annotations

import sys
from typing import Any

from sar_reg.errors import require


class Progress:
    """Counts epochs.

    Args:
        epochs: of all runs together.
        shown: False hides bar and lines.
    """

    def __init__(self, epochs: int, *, shown: bool = True) -> None:
        tqdm: Any = require("tqdm", extra="examples").tqdm
        self.bar = tqdm(
            total=epochs, unit="epoch", file=sys.stderr, disable=None if shown else True, leave=False
        )
        self.lines = shown and sys.stderr is not None and bool(self.bar.disable)
        self.epochs = epochs
        self.done = 0
        self.title = ""

    def run(self, title: str) -> None:
        """Name the run that comes next."""
        self.title = title
        self.bar.set_description(title)

    def epoch(self, epoch: int, values: dict[str, float]) -> None:
        """One more epoch is done."""
        terms = {name: f"{values[name]:.3f}" for name in ("ce", "sar") if name in values}
        self.done += 1
        self.bar.set_postfix(terms, refresh=False)
        self.bar.update(1)
        if self.lines:
            run = f"{self.title}: " if self.title else ""
            means = "".join(f", {name} {value}" for name, value in terms.items())
            line = f"{run}epoch {epoch + 1}{means} ({self.done} of {self.epochs} in all)"
            print(line, file=sys.stderr, flush=True)

    def skip(self, epochs: int) -> None:
        """Count epochs that an earlier start has done."""
        self.done += epochs
        self.bar.update(epochs)

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()
