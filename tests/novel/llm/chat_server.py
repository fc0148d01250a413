"""A chat server on localhost that answers as its script says, well or badly, over real HTTP."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler"], None]


@dataclass
class ChatServer:
    """Follows `script`, one behaviour a request, the last one for ever; keeps all requests."""

    script: list[Behaviour] = field(default_factory=lambda: [fresh()])
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def prompts(self) -> list[str]:
        return [request["messages"][0]["content"] for request in self.requests]

    @property
    def forms(self) -> list[str]:
        return [request.get("response_format", {}).get("type", "list") for request in self.requests]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the next behaviour."""

    protocol_version = "HTTP/1.1"
    chat: ChatServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        position = len(self.chat.requests)
        self.chat.requests.append(json.loads(body))
        self.chat.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.chat.script[min(position, len(self.chat.script) - 1)](self)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Stay silent."""

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int = -1) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)

    @property
    def prompt(self) -> str:
        return self.chat.requests[-1]["messages"][0]["content"]


def start(chat: ChatServer) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"chat": chat}))
    server.daemon_threads = True
    chat.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def completion(content: str | None, *, finish: str = "stop", refusal: str | None = None) -> bytes:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "tiny-2026", "choices": [choice]}
    return json.dumps({**answer, "system_fingerprint": "fp_1"}).encode()


def says(content: str | None, *, finish: str = "stop", refusal: str | None = None) -> Behaviour:
    return lambda handler: handler.send(200, completion(content, finish=finish, refusal=refusal))


def names(given: Sequence[str], **more: Any) -> Behaviour:
    return says(json.dumps({"names": list(given)}), **more)


def fresh(prefix: str = "class") -> Behaviour:
    """A good model: as many new names as the prompt asks for, numbered on from those it already has."""

    def behave(handler: Handler) -> None:
        wanted = re.search(r"Name (\d+) further", handler.prompt)
        known = len(re.findall(rf"^- {prefix} ", handler.prompt, re.MULTILINE))
        assert wanted is not None
        made = [f"{prefix} {letters(known + i)}" for i in range(int(wanted[1]))]
        names(made)(handler)

    return behave


def letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number)) + "q"


def status(number: int, message: str = "no", headers: dict[str, str] | None = None, **more: Any) -> Behaviour:
    body = json.dumps({"error": {"message": message, "type": "test", **more}}).encode()
    return lambda handler: handler.send(number, body, headers)


def raw(body: bytes, headers: dict[str, str] | None = None) -> Behaviour:
    return lambda handler: handler.send(200, body, headers)


def silent(handler: Handler) -> None:
    handler.chat.released.wait(20)


def reset_mid_body(handler: Handler) -> None:
    """Promise a whole answer, send a part, then reset the connection."""
    body = completion('{"names": ["lynx"]}')
    handler.send(200, body[:40], length=len(body))
    handler.wfile.flush()
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True


def cut_mid_body(handler: Handler) -> None:
    """Promise a whole answer, send a part, then end the connection in an orderly way."""
    body = completion('{"names": ["lynx"]}')
    handler.send(200, body[:40], length=len(body))
    handler.close_connection = True


def trickle(handler: Handler, number: int = 200) -> None:
    """One byte at a time, often enough that no time-out between bytes ever passes."""
    handler.send(number, b"", length=100_000)
    _repeat(handler, b" ")


def _repeat(handler: Handler, piece: bytes) -> None:
    try:
        while not handler.chat.released.wait(0.02):
            handler.wfile.write(piece)
            handler.wfile.flush()
    except OSError:
        handler.close_connection = True


def trickle_headers(handler: Handler) -> None:
    """A header that never ends, one byte at a time."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-header: ")
    _repeat(handler, b"x")


def trickle_continue(handler: Handler) -> None:
    """Interim answers without end."""
    _repeat(handler, b"HTTP/1.1 100 Continue\r\n\r\n")


def trickle_trailers(handler: Handler) -> None:
    """A whole body, then trailers without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
    _repeat(handler, b"a: b\r\n")


def trickle_error(handler: Handler) -> None:
    """An error whose body never ends."""
    trickle(handler, 500)


def endless(handler: Handler) -> None:
    """Ten megabytes of names."""
    body = completion(json.dumps({"names": ["lynx"] * 1_200_000}))
    assert len(body) > 9_000_000
    try:
        handler.send(200, body)
    except OSError:
        handler.close_connection = True


def until(moment: float) -> str:
    """An HTTP date."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(moment))
