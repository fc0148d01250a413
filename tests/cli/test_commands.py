"""`python -m sar_reg`: results on one stream, talk on the other, exit codes that a script can use."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import open_clip
import pytest
import torch

import sar_reg
from sar_reg.cli import main
from sar_reg.progress import ProgressLine
from tests.novel.llm import chat_server as chat
from tests.novel.llm.chat_server import ChatServer

BASE = "tabby cat,beagle"
KEY = "planted-key-123456789"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    served = ChatServer()
    running = chat.start(served)
    yield served
    served.released.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("lynx\npuma\nocelot\nBeagles\nserval\n")
    return path


@pytest.fixture
def tiny_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Arguments that name a small model of open_clip's kind, and its weights in a file."""
    vision = {"layers": 1, "width": 32, "head_width": 32, "patch_size": 16, "image_size": 32}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": {"width": 32, "heads": 2, "layers": 1}}
    (tmp_path / "tiny-test.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-test.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny-test").state_dict(), tmp_path / "tiny.pt")
    return ["--model", "tiny-test", "--pretrained", str(tmp_path / "tiny.pt")]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(sar_reg.__file__).parent.parent)}


def novel_llm(server: ChatServer, *more: str) -> list[str]:
    return ["novel", "--base", BASE, "--novel", "llm", "--llm", "tiny", "--base-url", server.url, *more]


def test_names_go_to_the_output_and_talk_goes_elsewhere(
    words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["novel", "--base", BASE, "--novel", str(words), "--exclude", "pumas", "--n-novel", "3"]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert shown.out == "lynx\nocelot\nserval\n"
    assert shown.err == "3 novel classes (dropped: 1 excluded, 1 near a base class)\n"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["names"] == ["lynx", "ocelot", "serval"]


def test_wordnet_is_the_source_without_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["novel", "--base", BASE, "--n-novel", "5"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert len(set(names)) == 5
    assert main(["novel", "--base", BASE, "--n-novel", "5", "--novel", "random", "--seed", "3"]) == 0
    assert set(capsys.readouterr().out.splitlines()).isdisjoint(names)


def test_files_hold_names_and_their_origin(words: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.txt"
    base.write_text("tabby cat\nbeagle\n")
    command = ["novel", "--base", str(base), "--novel", str(words), "--n-novel", "2", "--seed", "4"]
    assert main([*command, "-o", str(tmp_path / "new" / "novel.json")]) == 0
    entry = json.loads((tmp_path / "new" / "novel.json").read_text())
    assert (entry["base"], entry["seed"]) == (["tabby cat", "beagle"], 4)
    assert entry["made_by"] == f"sar_reg {sar_reg.__version__}"
    assert entry["source"]["outcome"]["kept"] == 2
    assert main([*command, "-o", str(tmp_path / "novel.txt")]) == 0
    assert (tmp_path / "novel.txt").read_text().splitlines() == entry["names"]


def test_a_language_models_answers_stay_beside_the_names(
    server: ChatServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = [chat.fresh(), chat.status(401, f"bad {KEY}"), chat.fresh()]
    command = novel_llm(server, "--n-novel", "60", "--domain", "pets", "-o", str(tmp_path / "novel.json"))
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: tiny returned 50 of 60 novel classes (dropped: none): ")
    assert "set OPENAI_API_KEY to a valid one. Its message: bad [key]; what was received is kept in" in error
    assert "the same call again asks only for the rest" in error
    assert len(list((tmp_path / "novel.answers").glob("answers-*/*.json"))) == 1
    assert main(command) == 0
    assert len(json.loads((tmp_path / "novel.json").read_text())["names"]) == 60
    assert "Name 10 further" in server.prompts[-1]
    assert "It shows: pets" in server.prompts[-1]
    assert KEY not in "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert main([*command, "--offline"]) == 0
    assert len(server.requests) == 3


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    assert main(novel_llm(server)) == 1
    assert 'Install it with: pip install ".[llm]" in a clone' in capsys.readouterr().err


def test_dry_run_asks_nobody(server: ChatServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "novel.json")
    assert main(novel_llm(server, "--dry-run", "--n-novel", "120", "-o", output)) == 0
    shown = capsys.readouterr().out
    assert "- tabby cat\n- beagle\n" in shown
    assert "requests:  3 if every answer is good; nothing was sent" in shown
    assert main(["bank", "--base", BASE, "--dry-run", "-o", "x.safetensors"]) == 0
    assert "filtering='strict', allow_fewer=False) sends no requests\n" in capsys.readouterr().out
    assert (server.requests, list(tmp_path.iterdir())) == ([], [])


def test_bank_and_report(
    tiny_model: list[str], words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bank.safetensors"
    command = [
        "bank",
        "--base",
        BASE,
        "--novel",
        str(words),
        "--n-novel",
        "3",
        "--exclude",
        "puma",
        "--offline",
    ]
    assert main([*command, *tiny_model, "--templates", "a {}.", "-o", str(path)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("2 base and 3 novel classes\nNovel classes from: word list words.txt\n")
    assert "Overlap with 1 new class: 0 the same, 0 in another spelling" in shown.out
    assert f"in {path}" in shown.err
    bank = sar_reg.AnchorBank.load(path)
    assert bank.classnames == ("tabby cat", "beagle", "lynx", "ocelot", "serval")
    assert bank.templates == ("a {}.",)
    assert sorted(file.suffix for file in (tmp_path / "bank.cache").iterdir()) == [".json", ".safetensors"]
    assert main(["report", str(path), "--new", "Lynxes,jaguar", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["overlap"]["other_spelling"] == [["lynx", "Lynxes"]]
    assert main(["report", str(path), "--sample", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    twice = [*command, *tiny_model, "--base", "missile,beagle,missile", "--allow-repeated", "-o", str(path)]
    assert main(twice) == 0
    bank = sar_reg.AnchorBank.load(path)
    assert bank.classnames[:3] == ("missile", "beagle", "missile")
    assert (bank.n_base, bank.allow_repeated) == (3, True)
    spellings = "hot dog,Missile,hot_dog,missile,HOT  DOG"
    command_of = [*command, *tiny_model, "--base", spellings, "-o", str(path)]
    assert main(command_of) == 2
    assert "'hot dog' and 'hot_dog' are the same" in capsys.readouterr().err
    assert main([*command_of, "--allow-repeated"]) == 0
    assert sar_reg.AnchorBank.load(path).base_classes == tuple(spellings.split(","))


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["novel", "--base", "none.txt"], 2, "there is no file none.txt; pass a file with one name a line"),
        (["novel", "--base", " , "], 2, "no class names: pass a file with one name a line"),
        (
            ["novel", "--base", BASE, "--novel", "lm"],
            2,
            "--novel takes related, random, llm or a file with names; there is no file 'lm'; did you mean llm?",
        ),
        (
            ["novel", "--base", BASE, "--novel", "llm", "--timeout", "-1"],
            2,
            "timeout must be a finite number of 0.001 or more seconds",
        ),
        (["novel", "--base", BASE, "--novel", "{words}"], 1, "has 4 usable of 5 words"),
        (["report", "none.safetensors"], 2, "there is no anchor bank at none.safetensors"),
        (["report", "{words}"], 2, "is damaged or not an anchor bank"),
        (
            ["bank", "--base", BASE, "--model", "none", "-o", "x"],
            2,
            "open_clip has no model 'none'; see python -c",
        ),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    command: list[str], code: int, message: str, words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([part.format(words=words) for part in command]) == code
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert message in shown.err
    assert (shown.out, shown.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("nove", "did you mean novel? (options: python -m sar_reg --help)"),
        ("novel", "the following arguments are required: --base (options: python -m sar_reg novel --help)"),
        ("novel --base a,b --nvel llm", "unknown: --nvel llm; did you mean --novel? (options:"),
        ("novel --base a,b --filtering stric", "did you mean strict?"),
        ("novel --base a,b --n-novel -3", "expected a whole number in 0..1000000000, not '-3'"),
        ("report b --sample two", "expected a whole number in 0..1000000000, not 'two'"),
        ("doctor --date x", "unknown: --date x; did you mean --data? (options: python -m sar_reg doctor"),
    ],
)
def test_typing_mistakes_are_one_line_that_knows_what_was_meant(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    shown = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in shown
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\n".join(f"word {chat.letters(i)}" for i in range(9000)))
    script = f'"{sys.executable}" -m sar_reg novel --base cat --novel words.txt --n-novel 9000 | head -n 1'
    ended = subprocess.run(
        script, shell=True, cwd=tmp_path, env=_environment(), capture_output=True, text=True
    )
    assert (ended.stdout.count("\n"), ended.stderr) == (1, "")


def test_help_and_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (
        ["--version"],
        ["--help"],
        ["novel", "--help"],
        ["bank", "--help"],
        ["report", "--help"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"sar_reg {sar_reg.__version__}\n")
    assert max(map(len, shown.splitlines())) <= 80
    for word in ("examples:", "exit codes:", "--exclude FILE|a,b", "OPENAI_API_KEY", "--new FILE|a,b"):
        assert word in shown
    with pytest.raises(SystemExit) as ended:
        main(["novel"])
    assert ended.value.code == 2


def test_doctor_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--help"])
    assert ended.value.code == 0
    assert "usage: python -m sar_reg doctor" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["novel", "--base-url", "--zero-shot", "--new"])
def test_bash_completes_commands_and_options(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion"]) == 0
    script = capsys.readouterr().out
    assert option in script
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    ask = "complete -p sar-reg; COMP_WORDS=(sar-reg novel --bas); COMP_CWORD=2; _shtab_sar_reg; echo ${COMPREPLY[@]}"
    offered = subprocess.check_output(["bash", "-c", f"{script}\n{ask}"], text=True)
    assert offered.splitlines()[-1] == "--base --base-url"


def test_progress_is_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProgressLine("names") as line:
        line(50, 200)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ProgressLine("names") as line:
        line(50, 200)
    shown = capsys.readouterr().err
    assert shown.startswith("\rnames [#####...............] 50/200  ")
    assert shown.endswith("/s \n")


def test_interruption_keeps_what_was_received(
    server: ChatServer, tmp_path: Path, popen: Callable[..., subprocess.Popen[str]]
) -> None:
    server.script = [chat.fresh(), chat.silent, chat.fresh()]
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "sar_reg",
        *novel_llm(server, "--n-novel", "60", "-o", "novel.json"),
    ]
    process = popen(
        command,
        cwd=tmp_path,
        env=_environment(),
        stderr=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in the background makes its children ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 100
    while len(server.requests) < 2 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert (
        "interrupted; nothing was written; what was received is kept in novel.answers, "
        "and the same command continues from there" in error
    )
    assert "Traceback" not in error
    assert process.returncode == 130
    again = main([*novel_llm(server, "--n-novel", "60", "-o", str(tmp_path / "novel.json"))])
    assert again == 0
    assert len(server.requests) == 3
    assert "Name 10 further" in server.prompts[-1]
