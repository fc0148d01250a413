"""Keeping keys and passwords out of everything that is shown, logged or written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

_LOOKS_LIKE_A_KEY = re.compile(r"\b(?:sk|rk|pk)-[A-Za-z0-9_-]{12,}|(?<=[Bb]earer )\S{8,}")
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_SHORTEST = 6


def hide_secrets(text: str, client: Any) -> str:
    """The text without the client's key, secret headers and URL password, and what looks like a key.

    Examples:
        >>> hide_secrets("bad key sk-abcdefghijklmnop", client=None)
        'bad key [key]'
    """
    for secret in _secrets_of(client):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, "[key]")
    return _LOOKS_LIKE_A_KEY.sub("[key]", text)


def public_url(url: object) -> str:
    """A URL without user, password, query and fragment.

    Examples:
        >>> public_url("http://me:secret@host:8000/v1?token=1")
        'http://host:8000/v1'
    """
    parts = urlsplit(str(url))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def _secrets_of(client: Any) -> Iterator[str]:
    yield os.environ.get("OPENAI_API_KEY", "")
    key = getattr(client, "api_key", None)
    if isinstance(key, str):
        yield key
    url = urlsplit(str(getattr(client, "base_url", "")))
    yield from (url.password or "", url.username or "", url.query)
    headers = getattr(client, "default_headers", None)
    for name, value in cast("Mapping[str, object]", headers or {}).items():
        if _SECRET_HEADER.search(name) and isinstance(value, str):
            yield value.rpartition(" ")[2]
