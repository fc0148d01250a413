"""A client of a chat server that shows no key, follows no redirect and reads only the beginning of an error."""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from sar_reg.errors import InputError, require
from sar_reg.novel.llm.deadline import in_request, watch

MAX_ERROR_BYTES = 64_000
_ERROR_SECONDS = 10.0  # where the request has no time-out
_LOOKS_LIKE_A_KEY = re.compile(r"\b(?:sk|rk|pk)-[A-Za-z0-9_-]{12,}|(?<=[Bb]earer )\S{8,}")
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_SHORTEST_SECRET = 6


def check_base_url(url: str, argument: str = "base_url") -> str:
    """The address of a server, without spaces around it.

    Raises:
        InputError: if it is not http(s), or holds a user, password, query or fragment; the address is not shown.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.port != 0 and _names_a_host(parts.netloc)
    except ValueError:
        usable, parts = False, urlsplit("")
    if "@" in parts.netloc:
        raise InputError(
            f"{argument} must not hold a user or password, since HTTP clients log addresses; "
            "set OPENAI_API_KEY, or pass a client= that sends them"
        )
    if not usable or parts.query or parts.fragment or not url.isprintable() or " " in url or len(url) > 2000:
        raise InputError(f"{argument} must be an address like http://localhost:8000/v1, without ? or #")
    return url


def _names_a_host(netloc: str) -> bool:
    """Whether the part of an address between `//` and `/` can be a server, with or without a port.

    Raises:
        ValueError: for IP addresses that cannot be, and for labels that are empty or too long.
    """
    parts = re.fullmatch(r"(?:\[(?P<ip>.+)\]|(?P<name>[^:\[\]]+))(?::\d*)?", netloc)
    if parts is None:
        return False
    if parts["ip"] or re.fullmatch(r"[\d.]+", parts["name"]):
        return bool(ipaddress.ip_address(parts["ip"] or parts["name"]))
    return re.fullmatch(r"[\w.-]+", parts["name"].encode("idna").decode()) is not None


def chosen_url(base_url: str | None) -> str | None:
    """Check and return the address, or the one in the environment; None means OpenAI's server."""
    if base_url is not None:
        return check_base_url(base_url)
    url = os.environ.get("OPENAI_BASE_URL")
    return check_base_url(url, "the environment variable OPENAI_BASE_URL") if url else None


def check_key(key: str, origin: str) -> str:
    """The key without spaces and line breaks around it.

    Raises:
        InputError: if it holds characters that no HTTP header can; they are not shown.
    """
    key = key.strip()
    if not re.fullmatch("[!-~]+", key):
        raise InputError(
            f"{origin} is empty, or contains spaces, line breaks or characters outside ASCII, unlike any key; "
            "set it to the key alone"
        )
    return key


@contextmanager
def open_client(client: Any | None, base_url: str | None) -> Generator[Any, None, None]:
    """The user's client, or one made by the conventions of `openai` (key and URL from the environment).

    A server at `base_url` may not need a key; if none is set, a placeholder is sent. Redirects are not followed,
    since the prompt and the key would go to another host. Only the beginning of an error's body is read.

    Raises:
        MissingExtraError: without the package `openai`.
        InputError: if a key is needed and missing, the key or address is unusable, or the client is not one of
            `openai`.
    """
    openai = require("openai", extra="llm")
    if client is not None:
        fits = hasattr(client, "with_options") and hasattr(client, "chat")
        if not fits or isinstance(client, openai.AsyncOpenAI):
            raise InputError(f"client must be an openai.OpenAI (or AzureOpenAI), not {type(client).__name__}")
        if isinstance(key := getattr(client, "api_key", None), str) and key:
            check_key(key, "the key of client=")
        with _guarded(client):
            yield client.with_options(max_retries=0)
        return
    url = chosen_url(base_url)
    given = os.environ.get("OPENAI_API_KEY")
    key = check_key(given, "the environment variable OPENAI_API_KEY") if given else "-" if url else None
    if key is None:
        raise InputError(
            "no key: set the environment variable OPENAI_API_KEY, or pass base_url= of a server of your "
            "own (vLLM, llama.cpp, Ollama), or use WordNetClasses(), which needs neither key nor network"
        )
    try:
        made = openai.OpenAI(api_key=key, base_url=url, max_retries=0)
    except Exception as error:  # of the HTTP client; its words may hold the password of a proxy
        problem = type(error).__name__
    else:
        with made, _guarded(made):
            yield made
        return
    raise InputError(
        f"openai cannot make a client ({problem}); check base_url= and the environment variables OPENAI_BASE_URL, "
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
    )


@contextmanager
def _guarded(client: Any) -> Generator[None, None, None]:
    """Watch the client's requests of this package; other requests of a user's client are left alone."""
    http: Any = getattr(client, "_client", None)  # openai has no public name for its HTTP client
    hooks: dict[str, list[Any]] = getattr(http, "event_hooks", {})
    if not hooks:
        yield
        return
    hooks["request"].append(watch)
    hooks["response"].append(_cut_error)
    try:
        yield
    finally:
        hooks["request"].remove(watch)
        hooks["response"].remove(_cut_error)


def _cut_error(response: Any) -> None:
    """Read at most the first bytes of an error, for at most the request's time-out, instead of all of it."""
    if response.status_code < 300 or not in_request():
        return
    seconds: float = response.request.extensions.get("timeout", {}).get("read") or _ERROR_SECONDS
    deadline, body = time.monotonic() + seconds, bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_ERROR_BYTES or time.monotonic() > deadline:
            break
    response.headers.pop("content-encoding", None)
    response.headers.pop("location", None)  # or it would be followed
    response._content = bytes(body[:MAX_ERROR_BYTES])  # what read() returns from now on
    response.close()


def hide_secrets(text: str, client: Any) -> str:
    """The text without the client's key, secret headers and URL password, and what looks like a key.

    Examples:
        >>> hide_secrets("bad key sk-abcdefghijklmnop", client=None)
        'bad key [key]'
    """
    for secret in _secrets_of(client):
        if len(secret) >= _SHORTEST_SECRET:
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
