"""Wrong calls of the command line end in one line that says what to do; any terminal and any file can be written to."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import sar_reg
from sar_reg.cli import main
from sar_reg.progress import ProgressLine
from tests import ROOT

BASE = "tabby cat,beagle"
LONG = "x" * 300


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with good and bad files, as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("lynx\npuma\nocelot\nserval\n")
    (tmp_path / "base.txt").write_text("tabby cat\nbeagle\n")
    (tmp_path / "old.safetensors").write_bytes(b"")
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    (tmp_path / "broken.json").write_text('{"names": [1,')
    (tmp_path / "numbers.json").write_text("[1, 2]")
    (tmp_path / "table.csv").write_text("id,name\n1,cat\n2,dog\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "zip.pt").write_bytes(b"PK\x03\x04" + b"\0" * 40)
    sar_reg.AnchorBank(("cat", "dog"), 1, torch.eye(2), 0.01).save(tmp_path / "bank.safetensors")
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def run(*arguments: str) -> int:
    try:
        return main(list(arguments))
    except SystemExit as ended:
        return int(str(ended.code))


NOVEL = ("novel", "--base", BASE, "--novel", "words.txt", "--n-novel", "2")
BANK = ("bank", "--base", BASE, "--novel", "words.txt", "--n-novel", "2", "-o", "b.safetensors")
LLM = ("novel", "--base", BASE, "--novel", "llm", "--n-novel", "2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["bnk"], "did you mean bank?"),
        (["novel", "--base", "folder"], "folder is a folder; pass a file with one name a line"),
        (["novel", "--base", "."], ". is a folder; pass a file with one name a line"),
        (["novel", "--base", "/nowhere/classes.txt"], "there is no file /nowhere/classes.txt"),
        (["novel", "--base", LONG + ".txt"], "there is no file xxx"),
        (["novel", "--base", "/" + LONG], "there is no file /xxx"),
        (["novel", "--base", "none.yaml"], "there is no file none.yaml; pass a file with one name a line"),
        (["novel", "--base", "my classes.names"], "there is no file my classes.names"),
        (["novel", "--base", "lists/classes"], "there is no file lists/classes"),
        (["novel", "--base", "classes"], "there is no file classes; pass a file with one name a line"),
        (
            ["novel", "--base", "numbers"],
            "there is no file numbers; did you mean numbers.json? To use the word as",
        ),
        (
            ["report", "bank.safetensors", "--new", "words"],
            "did you mean words.txt? To use the word as a name, write",
        ),
        ([*NOVEL, "--exclude", "new.tsv"], "there is no file new.tsv"),
        (
            ["novel", "--base", BASE, "--llm", "tiny"],
            "--llm has no effect with --novel related; leave it out, or pass",
        ),
        (
            ["novel", "--base", BASE, "--temperature", "0.5"],
            "--temperature has no effect with --novel related",
        ),
        ([*NOVEL, "--timeout", "60"], "--timeout has no effect with --novel words.txt"),
        ([*NOVEL, "--max-requests", "0"], "--max-requests has no effect with --novel words.txt"),
        ([*NOVEL, "--base-url", "http://host/v1"], "--base-url has no effect with --novel words.txt"),
        ([*NOVEL, "--domain", "cats"], "leave it out, or pass --novel related or --novel llm"),
        ([*LLM, "--wordnet-root", "folder"], "--wordnet-root has no effect with --novel llm"),
        ([*NOVEL, "--cache", "folder"], "--cache has no effect with --novel words.txt"),
        ([*BANK, "--temperature", "0"], "--temperature has no effect with --novel words.txt"),
        (
            [*BANK, "--base", "missile,Missile"],
            "or pass --allow-repeated if they are two classes of one name",
        ),
        ([*BANK, "--templates", "a photo"], "--templates takes one of "),
        (["report", "none.safetensors"], "; make one with `python -m sar_reg bank`"),
        (["novel", "--base", ""], "no class names: pass a file"),
        (["novel", "--base=--"], "argument --base: expected a value, not '--'"),
        (
            ["novel", "--base", BASE, "--wordnet-root=--"],
            "argument --wordnet-root: expected a value, not '--'",
        ),
        ([*BANK, "--output=--"], "argument -o/--output: expected a value, not '--'"),
        (["novel", "--base", ",,"], "no class names: pass a file"),
        (["novel", "--base", "empty.txt"], "empty.txt holds no class name"),
        (["novel", "--base", "binary.txt"], "cannot read class names from binary.txt"),
        (["novel", "--base", "broken.json"], "broken.json starts like JSON but cannot be read as JSON"),
        (["novel", "--base", "numbers.json"], "numbers.json must hold a JSON list of strings"),
        (["novel", "--base", "table.csv"], "table.csv is a table with the columns id, name"),
        (["novel", "--base", BASE, "--novel", "folder"], "cannot read class names from folder"),
        (
            ["novel", "--base", BASE, "--novel", "none.txt"],
            "or a file with names; there is no file 'none.txt'",
        ),
        (["novel", "--base", BASE, "--novel", LONG], "there is no file 'xxx"),
        (["novel", "--base", BASE, "--exclude", "folder"], "folder is a folder"),
        ([*NOVEL, "--n-novel", "nan"], "expected a whole number in 0..1000000000, not 'nan'"),
        ([*NOVEL, "--n-novel", "1e3"], "expected a whole number in 0..1000000000, not '1e3'"),
        ([*NOVEL, "--n-novel", "9" * 5000], "expected a whole number in 0..1000000000, not '999"),
        ([*NOVEL, "--seed", "1.5"], "argument --seed: invalid int value: '1.5'"),
        ([*NOVEL, "--seed", "9" * 5000], "argument --seed: invalid int value: '999"),
        ([*NOVEL, "--filtering", "stric"], "did you mean strict?"),
        ([*NOVEL, "--filtering", ""], "invalid choice: ''"),
        ([*NOVEL, "--novel", ""], "there is no file ''"),
        ([*NOVEL, "-o", "words.txt"], "words.txt is read here and would be overwritten; name another file"),
        (
            [*NOVEL, "--base", "base.txt", "-o", "./base.txt"],
            "base.txt is read here and would be overwritten",
        ),
        ([*BANK, "--pretrained", "old.safetensors", "-o", "old.safetensors"], "old.safetensors is read here"),
        ([*NOVEL, "-o", "novel.csv"], "expected a file that ends in .json or .txt, not 'novel.csv'"),
        (
            [*NOVEL, "-o", "-"],
            "not '-': leave -o out for standard output (with --json as JSON), or name a file",
        ),
        ([*BANK, "-o", "-"], "argument -o/--output: expected a file, not '-': name a file"),
        ([*BANK, "-o", "bank.pt"], "expected a file that ends in .safetensors, not 'bank.pt'"),
        ([*NOVEL, "--dry-run", "--json"], "--json has no effect with --dry-run; leave one of them out"),
        ([*BANK, "--dry-run", "--json"], "--json has no effect with --dry-run"),
        (
            ["novel", "--base", "cat;dog"],
            "'cat;dog' contains ';'; pass a file with one name a line, or names",
        ),
        (["novel", "--base", "cat\ndog"], r"'cat\ndog' contains '\n'"),
        ([*NOVEL, "--exclude", "cat|dog"], "'cat|dog' contains '|'"),
        (["doctor", "--only", "dtd"], "--only has no effect without --data ROOT; pass the folder"),
        (["doctor", "--decode", "5"], "--decode has no effect without --data ROOT"),
        (["doctor", "--data", "folder", "--decode", "-7"], "--decode must be -1 or more, not -7"),
        ([*NOVEL, "-o", "folder"], "expected a file, but 'folder' is a folder"),
        ([*NOVEL, "-o", ""], "expected a file, but '' is a folder"),
        ([*NOVEL, "-o", "new/"], "expected a file, but 'new/' is a folder"),
        ([*NOVEL, "-o", "words.txt/novel.json"], "cannot write 'words.txt/novel.json'"),
        ([*NOVEL, "-o", LONG], "File name too long"),
        ([*NOVEL, "-o", "/proc/nothing/novel.json"], "cannot write '/proc/nothing/novel.json'"),
        ([*NOVEL, "-o", "/dev/full"], "cannot write '/dev/full': [Errno 28] No space left on device"),
        ([*LLM, "--timeout", "nan"], "--timeout must be a finite number of 0.001 or more seconds, not nan"),
        ([*LLM, "--timeout", "soon"], "argument --timeout: invalid float value: 'soon'"),
        (
            [*LLM, "--temperature", "inf"],
            "--temperature must be a finite number of 0 or more, or None, not inf",
        ),
        ([*LLM, "--max-requests", "-1"], "--max-requests must be an int of 1 or more, not -1"),
        (
            [*LLM, "--base-url", "localhost:8000"],
            "--base-url must be an address like http://localhost:8000/v1",
        ),
        ([*LLM, "--base-url", "http://[::1"], "--base-url must be an address like http://localhost:8000/v1"),
        (
            [*LLM, "--base-url", "ftp://host/v1"],
            "--base-url must be an address like http://localhost:8000/v1",
        ),
        (
            [*LLM, "--base-url", "http://host:port/"],
            "--base-url must be an address like http://localhost:8000/v1",
        ),
        (["bank", "--base", BASE], "the following arguments are required: -o/--output"),
        ([*BANK, "--device", "gpu"], "device must be one that PyTorch has here"),
        ([*BANK, "--device", "cuda:77"], "device must be one that PyTorch has here"),
        ([*BANK, "--templates", "image"], "did you mean imagenet?"),
        ([*BANK, "--templates", "{} or {}"], "must contain '{}' exactly once"),
        ([*BANK, "--model", "ViT-B-16-quickgel"], "did you mean ViT-B-16-quickgelu?"),
        (
            [*BANK, "--model", "RN50", "--pretrained", "zip.pt"],
            "open_clip cannot load RN50 with weights 'zip.pt'",
        ),
        ([*BANK, "--model", "RN50", "--pretrained", "folder"], "open_clip cannot load RN50"),
        (
            [*BANK, "--model", "RN50", "--pretrained", " "],
            "the weights are not named; pass a tag of open_clip",
        ),
        (["report", "folder"], "there is no anchor bank at folder"),
        (["report", LONG], "there is no anchor bank at xxx"),
        (["report", ""], "expected the path of a file"),
        (["report", "empty.safetensors"], "is damaged or not an anchor bank"),
        (["report", "words.txt"], "is damaged or not an anchor bank"),
        (["report", "bank.safetensors", "--new", "folder"], "folder is a folder"),
        (["report", "bank.safetensors", "--sample", "nan"], "expected a whole number"),
        (["doctor", "--decode", "nan"], "argument --decode: invalid int value: 'nan'"),
        (["completion", "fishy"], "invalid choice: 'fishy'"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(*arguments)
    shown = capsys.readouterr()
    assert message in shown.err
    assert (code in (1, 2), shown.out) == (True, "")
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert len(shown.err) < 900


def test_one_name_ends_with_a_comma_where_it_could_be_a_file() -> None:
    for name in ("words,", "lynx"):
        assert run("novel", "--base", name, "--novel", "words.txt", "--n-novel", "2") == 0


def test_no_novel_classes_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*NOVEL, "--n-novel", "0") == 0
    assert capsys.readouterr().out == ""
    assert run(*NOVEL, "--n-novel", "0", "-o", "novel.txt") == 0
    assert Path("novel.txt").read_text() == ""


def test_an_ending_in_capitals_means_the_same() -> None:
    for name in ("novel.txt", "NOVEL.TXT", "novel.JSON"):
        assert run(*NOVEL, "--n-novel", "2", "-o", name) == 0
    assert Path("NOVEL.TXT").read_text() == Path("novel.txt").read_text()
    assert Path("novel.JSON").read_text().startswith("{")


def test_base_classes_from_a_pipe_and_a_table_of_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    Path("one.csv").write_text("tabby cat\nbeagle\n")
    assert run("novel", "--base", "one.csv", "--novel", "words.txt", "--n-novel", "2") == 0
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_text("tabby cat\nbeagle\n"))
    writer.start()
    assert run("novel", "--base", "pipe", "--novel", "words.txt", "--n-novel", "2", "--json") == 0
    writer.join()
    assert '"base": [\n  "tabby cat",\n  "beagle"\n ]' in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["novel", "--help"],
        ["bank", "--help"],
        ["doctor", "--help"],
        ["doctor", "--pretrained", "none"],
        ["report", "bank.safetensors"],
        [*LLM, "--dry-run"],
        ["novel", "--base", "crème brûlée,日本", "--novel", "unicode.txt", "--n-novel", "3"],
        ["novel", "--base", "crème brûlée,日本", "--novel", "unicode.txt", "--n-novel", "3", "--json"],
    ],
)
def test_any_terminal(arguments: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("unicode.txt").write_text("gâteau\n寿司\nœuf €\n", encoding="utf-8")
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    assert run(*arguments) in (0, 1)
    texts = []
    for stream in streams:
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))
    assert texts[0]
    if "--json" in arguments:
        assert json.loads(texts[0])["names"] == ["gâteau", "寿司", "œuf €"]
    elif "unicode.txt" not in arguments:
        assert texts[0].isascii()  # our own words need no escapes


def test_closed_streams(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        assert run(*NOVEL) == 2
        assert "standard output is closed; write to a file with -o FILE" in capsys.readouterr().err
        assert run(*NOVEL, "-o", "novel.txt") == 0
        assert len(Path("novel.txt").read_text().splitlines()) == 2
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stderr", None)
        assert run(*NOVEL) == 0
        assert run("novel", "--base", "none.txt") == 2
        assert run("doctor", "--pretrained", "none") == 1
        ProgressLine("names")(1, 2)


def test_a_full_standard_output() -> None:
    command = [sys.executable, "-m", "sar_reg", *NOVEL]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "error: [Errno 28] No space left on device")


def test_output_through_what_is_not_a_regular_file(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*NOVEL, "-o", "/dev/null") == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    os.mkfifo("out.txt")
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(Path("out.txt").read_text()))
    reader.start()
    assert run(*NOVEL, "-o", "out.txt") == 0
    reader.join()
    assert (len(received[0].splitlines()), Path("out.txt").is_fifo()) == (2, True)
    Path("real.txt").write_text("old")
    Path("link.txt").symlink_to("real.txt")
    Path("later.txt").symlink_to("not-yet.txt")
    for link, target in (("link.txt", "real.txt"), ("later.txt", "not-yet.txt")):
        assert run(*NOVEL, "-o", link) == 0
        assert Path(link).is_symlink()
        assert len(Path(target).read_text().splitlines()) == 2
    assert sorted(path.name for path in workplace.iterdir() if path.name.endswith(".tmp")) == []


def test_permissions() -> None:
    os.umask(0o077)
    assert run(*NOVEL, "-o", "private.txt") == 0
    assert stat.S_IMODE(os.stat("private.txt").st_mode) == 0o600
    os.umask(0o002)
    assert run(*NOVEL, "-o", "shared.txt") == 0
    assert stat.S_IMODE(os.stat("shared.txt").st_mode) == 0o664
    os.chmod("shared.txt", 0o640)
    assert run(*NOVEL, "-o", "shared.txt") == 0
    assert stat.S_IMODE(os.stat("shared.txt").st_mode) == 0o640
    os.chmod("shared.txt", 0o440)
    assert run(*NOVEL, "-o", "shared.txt") == 2
    assert len(Path("shared.txt").read_text().splitlines()) == 2


def test_as_long_a_name_as_a_file_may_have() -> None:
    name = "n" * 251 + ".txt"
    assert run(*NOVEL, "-o", name) == 0
    assert len(Path(name).read_text().splitlines()) == 2
