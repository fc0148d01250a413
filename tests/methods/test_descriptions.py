"""CoPrompt's descriptions: the official file format, and files written by a language model over real HTTP."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from examples.coprompt.describe import main
from examples.coprompt.descriptions import (
    DescriptionsMissingWarning,
    find_descriptions,
    template_descriptions,
    warn_of_missing,
)
from sar_reg.errors import InputError
from sar_reg.shapes import Tensor
from tests.methods.conftest import BASE, Build

SENTENCES = {"polka-dotted": ["Round dots.", "Dots on cloth."], "wild cat": ["It has fur.", "A cat."]}


def write(path: Path, content: object) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def test_a_file_is_read_in_the_order_of_the_classes(tmp_path: Path) -> None:
    source = write(tmp_path / "mine.json", SENTENCES)
    rows = find_descriptions(source, "dtd", ["wild_cat", "polka-dotted"])
    assert rows == [SENTENCES["wild cat"], SENTENCES["polka-dotted"]]


def test_a_folder_holds_files_under_their_official_names(tmp_path: Path) -> None:
    write(tmp_path / "caltech_prompt.json", SENTENCES)
    assert find_descriptions(tmp_path, "caltech101", ["wild cat"]) == [SENTENCES["wild cat"]]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"imagenet_prompt.json does not exist. Write one with `python -m examples"
    ):
        find_descriptions(tmp_path, "imagenet", ["wild cat"])


def test_a_class_without_description_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "mine.json", SENTENCES)
    with pytest.raises(InputError, match="describes 1 of 3 classes; missing: red fox, violin"):
        find_descriptions(source, "dtd", ["wild cat", "red_fox", "violin"])


def test_unequal_numbers_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "mine.json", {**SENTENCES, "violin": ["It sings."]})
    with pytest.raises(
        InputError, match="has 1 sentence for 'violin' but 2 for 'wild cat'; every class needs"
    ):
        find_descriptions(source, "dtd", ["wild cat", "violin"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        (["a"], "must contain one JSON object"),
        ({"a": "b"}, "must contain one JSON object"),
    ],
)
def test_another_format_is_refused(content: object, message: str, tmp_path: Path) -> None:
    source = write(tmp_path / "mine.json", content)
    with pytest.raises(InputError, match=message):
        find_descriptions(source, "dtd", ["a"])


def test_without_descriptions_the_templates_stand_in_and_it_says_so() -> None:
    warn_of_missing.cache_clear()
    with pytest.warns(
        DescriptionsMissingWarning, match="no descriptions for dtd: handcrafted prompts stand in"
    ):
        rows = find_descriptions("", "dtd", ["polka-dotted", "wild_cat"])
    assert rows == template_descriptions("dtd", ["polka-dotted", "wild_cat"])
    assert rows[1][0] == "itap of a wild cat."
    assert rows[1][-1] == "a photo of a wild cat, a type of texture."
    assert [len(row) for row in rows] == [8, 8]


def test_many_runs_say_it_once() -> None:
    warn_of_missing.cache_clear()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for _ in range(3):
            find_descriptions("", "dtd", ["wild cat"])
        find_descriptions("", "eurosat", ["forest"])
    assert [str(warning.message).split(":")[0] for warning in shown] == [
        "CoPrompt has no descriptions for dtd",
        "CoPrompt has no descriptions for eurosat",
    ]


def test_the_bank_holds_unit_rows_of_each_sentence_and_class(build: Build, tmp_path: Path) -> None:
    sentences = {name.replace("_", " "): [f"{name} one", f"two {name}"] for name in BASE}
    method = build("coprompt", descriptions=write(tmp_path / "mine.json", sentences))
    bank = method.description_bank
    assert bank.shape == (2, len(BASE), 32)
    plain = method.model.encode_text(method.tokenizer([f"two {BASE[3]}"]))[0]
    torch.testing.assert_close(bank[1, 3], plain / plain.norm(), rtol=1e-4, atol=1e-5)


def test_a_method_without_its_file_is_refused_at_the_first_step(
    build: Build, views: list[Tensor], labels: Tensor, tmp_path: Path
) -> None:
    method = build("coprompt", descriptions=str(tmp_path / "none.json"))
    with torch.no_grad():
        assert method(views[0]).shape == (5, len(BASE)), "evaluation needs no descriptions"
    with pytest.raises(InputError, match=r"none\.json does not exist"):
        method.step(views, labels)


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
