"""A limit for the time that a request takes, which also ends the thread that waits for the server."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_thread = threading.local()  # .connections: of the request that this thread makes


class _Connections:
    """The connections that one request opened. After `close`, further ones are closed as soon as they are opened."""

    def __init__(self) -> None:
        self._streams: list[Any] = []
        self._closed = False

    def note(self, _event: str, info: dict[str, Any]) -> None:
        """Callback for httpcore's extension "trace"."""
        if hasattr(info.get("return_value"), "get_extra_info"):
            self._streams.append(info["return_value"])
            if self._closed:
                self.close()

    def close(self) -> None:
        self._closed = True
        for stream in self._streams:
            with suppress(OSError, ValueError, AttributeError):  # closed already
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def in_request() -> bool:
    """Whether this thread makes a request for `within`."""
    return hasattr(_thread, "connections")


def watch(request: Any) -> None:
    """Event hook of an httpx client: `within` closes the connection of this request when the time is over."""
    if in_request():
        request.extensions["trace"] = _thread.connections.note
        request.headers["connection"] = "close"  # a connection that is used again is not reported


def within(seconds: float, work: Callable[[], T], late: T) -> T:
    """The result of `work`, or `late` if that takes longer than `seconds`.

    The time-outs of HTTP clients start again with every byte, and looking up a host has none. `work` runs in a
    thread of its own. When the time is over, the connections that `watch` has seen are closed, which ends it.

    Raises:
        BaseException: whatever `work` raises.
    """
    done: queue.SimpleQueue[tuple[T, BaseException | None]] = queue.SimpleQueue()
    connections = _Connections()

    def run() -> None:
        _thread.connections = connections
        try:
            done.put((work(), None))
        except BaseException as error:
            done.put((late, error))

    threading.Thread(target=run, daemon=True, name="sar_reg request").start()
    try:
        result, error = done.get(timeout=seconds)
    except queue.Empty:
        return late
    finally:
        connections.close()
    if error is not None:
        raise error
    return result
