"""Descriptions written by a language model, over real HTTP against a server on localhost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from examples.coprompt.describe import main
from examples.coprompt.descriptions import find_descriptions

Server = tuple[str, list[str], list[Any]]


@pytest.fixture
def server() -> Iterator[Server]:
    """Its URL, the prompts it got, and its answers still to give: lists of sentences, or an HTTP status."""
    prompts: list[str] = []
    answers: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            prompts.append(asked["messages"][0]["content"])
            answer = answers.pop(0) if answers else 404
            content = json.dumps({"names": answer})
            message = {"role": "assistant", "content": content, "refusal": None}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            body = json.dumps({"id": "1", "model": "tiny", "choices": [choice]}).encode()
            self.send_response(answer if isinstance(answer, int) else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Stay silent."""

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}/v1", prompts, answers
    running.shutdown()
    running.server_close()


def command(server: Server, tmp_path: Path, *more: str) -> Path:
    (tmp_path / "names.txt").write_text("wild_cat\nviolin\n", encoding="utf-8")
    out = tmp_path / "mine.json"
    places = ["--classes", str(tmp_path / "names.txt"), "--out", str(out), "--base-url", server[0]]
    main([*places, "--model", "tiny", "--n", "2", *more])
    return out


CAT = ["A wild cat has fur.", "A wild cat has claws."]
VIOLIN = ["A violin has strings.", "A violin is brown."]


def test_sentences_are_collected_until_there_are_enough(server: Server, tmp_path: Path) -> None:
    _, prompts, answers = server
    answers += [[CAT[0], CAT[0], "word " * 50], CAT, VIOLIN]
    out = command(server, tmp_path, "--domain", "many things")
    assert find_descriptions(out, "caltech101", ["violin", "wild_cat"]) == [VIOLIN, CAT]
    assert "Write 2 different" in prompts[0]
    assert "The pictures show many things." in prompts[0]
    assert "Write 1 different" in prompts[1]
    assert f"do not repeat:\n- {CAT[0]}\n" in prompts[1]
    assert 'class "violin"' in prompts[2]


def test_a_stopped_run_goes_on_where_it_was(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, prompts, answers = server
    answers += [CAT, 404]
    with pytest.raises(SystemExit, match="2"):
        command(server, tmp_path)
    assert "error: " in capsys.readouterr().err
    answers += [VIOLIN]
    assert list(json.loads(command(server, tmp_path).read_text())) == ["wild cat", "violin"]
    assert sum('class "wild cat"' in text for text in prompts) == 1


def test_a_model_with_no_more_to_say_is_named(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server[2].extend([[CAT[0]]] * 5)
    with pytest.raises(SystemExit, match="2"):
        command(server, tmp_path)
    assert "tiny wrote 1 of 2 different sentences about 'wild cat'; ask for fewer" in capsys.readouterr().err
