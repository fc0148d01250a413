"""Use cached weights when the hub cannot be reached: its own retries take more than a minute."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies

from sar_reg.errors import require


@contextmanager
def without_retries() -> Generator[None]:
    """Put the hub's client into offline mode, unless the hub answers."""
    constants = require("huggingface_hub", extra="examples").constants
    was = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = was or not answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was


def answers(endpoint: str, seconds: float = 5.0) -> bool:
    """Whether the hub accepts a connection; also True if a proxy is set."""
    if getproxies():
        return True
    place = urlsplit(endpoint)
    try:
        with socket.create_connection((place.hostname, place.port or 443), timeout=seconds):
            return True
    except OSError:
        return False
