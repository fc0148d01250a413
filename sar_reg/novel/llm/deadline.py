"""Work that must not take longer than it may, even where nothing inside it keeps a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T], late: T) -> T:
    """The result of `work`, or `late` if that takes longer than `seconds`.

    Looking up a host and reading the body of an error have no time-out of their own in HTTP clients. Work that
    is late is left alone in a thread that does not keep the process from ending.

    Raises:
        BaseException: whatever `work` raises.
    """
    done: queue.SimpleQueue[tuple[T, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:
            done.put((late, error))

    threading.Thread(target=run, daemon=True, name="sar_reg request").start()
    try:
        result, error = done.get(timeout=seconds)
    except queue.Empty:
        return late
    if error is not None:
        raise error
    return result
