"""The log of a run: one JSON line an epoch, and TensorBoard's curves on request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sar_reg.errors import require

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called with each epoch's number, from 0, and its means."""


class Log:
    """Writes each epoch's means.

    Args:
        path: file of JSON lines, appended to; None writes nothing.
        title: what the lines call the run.
        on_epoch: called as well.
        tensorboard: also write TensorBoard's event files, to a folder beside `path`.
    """

    def __init__(
        self, path: Path | None, title: str, on_epoch: OnEpoch | None = None, tensorboard: bool = False
    ) -> None:
        self.path = path
        self.title = title
        self.on_epoch = on_epoch
        self.writer: Any = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if tensorboard:
                require("tensorboard", extra="examples")
                board = require("torch.utils.tensorboard", extra="examples")
                self.writer = board.SummaryWriter(str(path.parent / "tensorboard" / path.name.split(".")[0]))

    def __call__(self, epoch: int, values: dict[str, float]) -> None:
        """Write one epoch's means."""
        if self.path is not None:
            line = {"time": time.time(), "run": self.title, "epoch": epoch + 1, **values}
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, epoch + 1)
        if self.on_epoch is not None:
            self.on_epoch(epoch, values)

    def close(self) -> None:
        """Flush TensorBoard's file."""
        if self.writer is not None:
            self.writer.close()
