"""A bar over all epochs of all runs; silent where the output is not a terminal."""

from __future__ import annotations

import sys
from typing import Any

from sar_reg.errors import require


class Progress:
    """Counts epochs.

    Args:
        epochs: of all runs together.
        shown: False hides the bar whatever the output is.
    """

    def __init__(self, epochs: int, *, shown: bool = True) -> None:
        tqdm: Any = require("tqdm", extra="examples").tqdm
        self.bar = tqdm(
            total=epochs, unit="epoch", file=sys.stderr, disable=None if shown else True, leave=False
        )

    def run(self, title: str) -> None:
        """Name the run that comes next."""
        self.bar.set_description(title)

    def epoch(self, epoch: int, values: dict[str, float]) -> None:
        """One more epoch is done."""
        terms = {name: f"{values[name]:.3f}" for name in ("ce", "sar") if name in values}
        self.bar.set_postfix(terms, refresh=False)
        self.bar.update(1)

    def skip(self, epochs: int) -> None:
        """Count epochs that an earlier start has done."""
        self.bar.update(epochs)

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()
