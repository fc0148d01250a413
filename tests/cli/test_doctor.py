"""The doctor's findings on this machine, on weights of a tiny model, and its exit code."""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, PackageNotFoundError
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from examples.protocol.data.checks import findings as findings_of_data_sets
from examples.protocol.data.fabricate import fabricate
from sar_reg.cli import main
from sar_reg.cli.doctor import Finding, doctor_command, environment, show
from sar_reg.cli.doctor.doctor_command import GROUP, check_data
from sar_reg.cli.doctor.environment import check_environment, check_words, free_space
from sar_reg.cli.doctor.weights import check_weights
from tests import ROOT

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file with the weights of `tiny-doctor`, a model that is registered with open_clip."""
    folder = tmp_path_factory.mktemp("weights")
    for name, settings in {"tiny-doctor": TINY, "tiny-narrow": {**TINY, "embed_dim": 8}}.items():
        (folder / f"{name}.json").write_text(json.dumps(settings))
        open_clip.add_model_config(folder / f"{name}.json")
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-doctor")
    save_file(model.state_dict(), folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples' checks are found, whatever is installed."""
    check = EntryPoint("data", "examples.protocol.data.checks:findings", GROUP)
    monkeypatch.setattr(
        "sar_reg.cli.doctor.doctor_command.entry_points", lambda group: [check] if group == GROUP else []
    )


def verdicts(findings: list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.verdict for finding in findings}


def test_environment() -> None:
    found = verdicts(check_environment())
    assert found["python"] == found["packages"] == found["open-clip-torch"] == "ok"
    assert found.keys() >= {"torchvision", "transformers", "nltk", "openai", "triton"}
    assert ("gpu" in found) != torch.cuda.is_available()


def test_a_missing_package_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = [
        "torch>=2",
        "no-such.package[x]<3,>=1; extra == 'dev'",
        "no-such.package[x]>=1; extra == 'open-clip'",
    ]
    monkeypatch.setattr(environment, "requires", lambda name: needed)
    assert environment.optional_packages() == {"no-such.package": "open_clip"}
    finding = next(finding for finding in check_environment() if finding.subject == "no-such.package")
    assert (finding.verdict, finding.fact) == ("note", "not installed; for models of open_clip")
    assert finding.advice == 'pip install ".[open_clip]" in a clone of the sar_reg repository'


def test_without_metadata_the_optional_packages_are_said_to_be_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(environment, "requires", absent)
    packages = next(finding for finding in check_environment() if finding.subject == "packages")
    assert packages.advice == "install sar-reg to see the optional packages: pip install ."


def test_every_extra_of_users_is_looked_for() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras.keys() - environment.EXTRAS.keys() == {"dev", "docs", "rebuild"}
    assert environment.EXTRAS.keys() <= extras.keys()
    # the metadata of this environment, which may be those of an earlier revision
    assert environment.optional_packages().items() >= {"openai": "llm", "torchvision": "open_clip"}.items()
    assert environment.optional_packages()["tyro"] == "examples"


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert f"free at {tmp_path}" in free_space(tmp_path / "a" / "b").fact
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert f"free at {tmp_path}" in free_space(tmp_path / "loop" / "data").fact


def test_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    wordnet, model = check_words()
    assert wordnet.verdict == "ok"
    assert (model.verdict, "OPENAI_API_KEY" in model.advice) == ("note", True)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    model = check_words()[1]
    assert model.verdict == "ok"
    assert "localhost:8000" in model.fact
    assert "secret" not in model.fact


@pytest.mark.parametrize(
    ("address", "fact"),
    [
        ("http://[::1", "the environment variable OPENAI_BASE_URL must be an address like"),
        ("http://host:port", "the environment variable OPENAI_BASE_URL must be an address like"),
        ("http://me:hidden@localhost:8000/v1?key=hidden", "OPENAI_BASE_URL must not hold a user or password"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, address: str, fact: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    model = check_words()[1]
    assert (model.verdict, fact in model.fact, "hidden" in model.fact) == ("warning", True, False)


def test_broken_word_data_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sar_reg.novel.wordnet.wordnet_classes", None)
    monkeypatch.delattr("sar_reg.novel.WordNetClasses", raising=False)
    wordnet = check_words()[0]
    assert wordnet.verdict == "failure"
    assert wordnet.fact.startswith("cannot be used (ImportError: ")


def test_weights_of_a_file(weights: Path) -> None:
    findings, loaded = check_weights("tiny-doctor", str(weights))
    assert [finding.verdict for finding in findings] == ["ok", "ok"]
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in findings[0].fact
    assert "width 32, temperature 0.0700" in findings[1].fact
    assert loaded is not None
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    again, _ = check_weights("tiny-doctor", str(weights))
    assert again == findings


def test_weights_that_do_not_fit(weights: Path) -> None:
    findings, loaded = check_weights("tiny-narrow", str(weights))
    assert loaded is None
    assert findings[-1].verdict == "failure"
    assert "open_clip cannot load tiny-narrow with weights" in findings[-1].fact
    assert "(RuntimeError: Error(s) in loading state_dict" in findings[-1].fact


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04cut", b"\x80\x04.", b"\x00" * 40, "pickle", "folder"]
)
def test_a_file_that_is_no_model(weights: Path, tmp_path: Path, content: bytes | str) -> None:
    file = tmp_path / "model.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "pickle":
        torch.save({"state_dict": 3}, file)
    else:
        file.mkdir()
    findings, loaded = check_weights("tiny-doctor", str(file))
    assert loaded is None
    assert findings[-1].verdict == "failure"


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="needs a file that cannot be read")
def test_weights_that_cannot_be_read() -> None:
    findings, loaded = check_weights("tiny-doctor", "/proc/self/mem")
    assert loaded is None
    assert (findings[-1].verdict, "Input/output error" in findings[-1].fact) == ("failure", True)


def test_weights_that_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    findings, loaded = check_weights("ViT-B-16-quickgelu", "openai")
    assert loaded is None
    assert (findings[0].verdict, findings[0].fact) == ("note", "not on this machine")
    assert "open_clip.create_model('ViT-B-16-quickgelu', pretrained='openai')" in findings[0].advice
    findings, _ = check_weights("ViT-B-16-quickgelu", "no-such-tag")
    assert findings[0].verdict == "failure"
    assert "openai" in findings[0].advice


def test_a_damaged_download_and_the_wrong_activation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    cached = tmp_path / ".cache" / "clip" / "ViT-B-16.pt"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"cut off")
    monkeypatch.setattr("open_clip.create_model", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("cut")))
    damaged, activation, load = check_weights("ViT-B-16", "openai")[0]
    assert damaged.verdict == "failure"
    assert "expected 5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f" in damaged.fact
    assert activation.verdict == "warning"
    assert activation.advice == "use the model ViT-B-16-quickgelu"
    assert load.verdict == "failure"
    assert len(check_weights("ViT-B-16-quickgelu", "openai")[0]) == 2


def test_without_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    findings, loaded = check_weights("ViT-B-16", "openai")
    assert loaded is None
    assert 'pip install ".[open_clip]" in a clone' in findings[0].advice


def test_without_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sar_reg.cli.doctor.doctor_command.entry_points", lambda group: [])
    (finding,) = check_data(tmp_path, ["dtd"], decode=1, zero_shot=(), loaded=None)
    assert (finding.verdict, "part of the repository's examples" in finding.fact) == ("failure", True)
    assert finding.advice == (
        'clone the repository, pip install -e ".[examples]" in it, and run this command from its root folder'
    )


def test_examples_that_are_registered_but_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = EntryPoint("data", "no_such_examples.checks:findings", GROUP)
    monkeypatch.setattr("sar_reg.cli.doctor.doctor_command.entry_points", lambda group: [absent])
    (finding,) = check_data(tmp_path, ["dtd"], decode=1, zero_shot=(), loaded=None)
    assert "cannot be used (No module named 'no_such_examples')" in finding.fact
    assert finding.advice.startswith("clone the repository")


def test_the_project_registers_the_examples_checks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (value,) = project["entry-points"][GROUP].values()
    assert EntryPoint("data", value, GROUP).load() is findings_of_data_sets


@pytest.mark.usefixtures("registered")
def test_command(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--model", "tiny-doctor", "--pretrained", str(weights)]
    assert main(["doctor", *model]) == 0
    assert "note    data: not looked at" in capsys.readouterr().out
    fabricate(tmp_path, "dtd")
    assert main(["doctor", *model, "--data", str(tmp_path), "--only", "dtd", "--json"]) == 1
    findings = {finding["subject"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert findings["dtd: images"]["verdict"] == "ok"
    assert findings["dtd: numbers"]["verdict"] == "failure"
    assert findings["zero-shot"]["advice"].startswith("--zero-shot dtd")


@pytest.mark.usefixtures("registered")
def test_command_with_zero_shot(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(tmp_path), "--only", "dtd", "--zero-shot", "dtd", "--pretrained"]
    assert main(["doctor", *arguments, str(weights), "--model", "tiny-doctor"]) == 1
    assert "failure dtd: zero-shot: dtd: " in capsys.readouterr().out
    assert main(["doctor", *arguments, "no-such-tag"]) == 1
    assert "failure zero-shot: needs the weights" in capsys.readouterr().out
    assert main(["doctor", "--zero-shot", "dtd"]) == 1
    assert "failure zero-shot: needs the images" in capsys.readouterr().out


def test_show_counts_and_indents() -> None:
    lines = show([Finding("a", "ok", "b"), Finding("c", "failure", "d", "first\nsecond")]).splitlines()
    assert lines == [
        "ok      a: b",
        "failure c: d",
        "        -> first",
        "        -> second",
        "1 ok, 0 note, 0 warning, 1 failure",
    ]


def test_lines_fit_a_terminal_and_commands_stay_whole() -> None:
    command = 'python -c "' + 30 * "print(); " + '"'
    lines = show([Finding("a", "note", "b", f"{40 * 'word '}:\n{command}")]).splitlines()
    assert f"        -> {command}" in lines
    assert all(len(line) <= 80 for line in lines if command not in line)
    assert " ".join(" ".join(lines).split()).count("word") == 40


def test_what_it_looks_at_is_shown_on_terminals_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_command, "check_words", list)
    monkeypatch.setattr(doctor_command, "check_weights", lambda *_: ([], None))
    main(["doctor"])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    main(["doctor"])
    shown = capsys.readouterr().err.split("\r")
    assert [text.strip() for text in shown if text.strip()] == [
        "looking at packages ...",
        "looking at sources of words ...",
        "looking at weights ...",
    ]
    assert max(map(len, shown)) < 80
