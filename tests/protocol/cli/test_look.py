"""The look into a finished run: which classes moved, by how much, and who their neighbours are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from examples.coop.method import CoOp
from examples.protocol.cli import command, look
from examples.protocol.runs import experiment
from tests.fabricated.runs import NAMES, RECIPE, install


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of CoOp without and with SAR on coloured squares."""
    folder = tmp_path_factory.mktemp("finished")
    short = ("--epochs", "1", "--seeds", "1", "--shots", "2", "--n-novel", "5", "--dataset", "squares")
    with pytest.MonkeyPatch.context() as patch:
        install(patch.setattr)
        command.main(CoOp, RECIPE, [*short, "--out", str(folder)])
    return folder


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may change."""
    return shutil.copytree(finished, tmp_path, dirs_exist_ok=True)


def test_a_run_is_compared_with_handcrafted_prompts(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for record in sorted(runs.glob("*seed1*.json")):
        look.main([str(record), "--json"])
        report = json.loads(capsys.readouterr().out)
        classes = report["classes"]
        assert {row["name"] for row in classes} == set(NAMES)
        assert sum(row["side"] == "base" for row in classes) == 4
        assert [row["kl"] for row in classes] == sorted((row["kl"] for row in classes), reverse=True)
        assert Path(report["picture"]).read_bytes().startswith(b"\x89PNG")


def test_the_report_fits_a_terminal(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = next(runs.glob("*seed1*.json"))
    look.main([str(record), "--most", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[0].startswith("base  mean KL")
    assert len(lines) == 2 + 1 + 1 + 3 + 1 + 1


@pytest.mark.parametrize("changed", [{"targets": ["food"]}, {"final": True, "data": "photos"}])
def test_a_run_on_all_classes_is_refused(
    changed: dict[str, object], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(path for path in runs.glob("*.json") if "zero-shot" not in path.name)
    record = json.loads(path.read_text())
    record["source"] |= changed
    path.write_text(json.dumps(record))
    with pytest.raises(SystemExit):
        look.main([str(path)])
    assert "was trained on all classes: there are no new ones to compare" in capsys.readouterr().err


def test_a_zero_shot_record_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        look.main([str(next(runs.glob("*zero-shot*.json")))])
    assert "is a zero-shot record: nothing was learned" in capsys.readouterr().err


def test_a_negative_number_of_classes_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        look.main([str(next(runs.glob("*seed1*.json"))), "--most", "-1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: --most must be 0 or more, not -1\n"


def test_the_class_that_moved_most_comes_first() -> None:
    handcrafted = torch.eye(4) + 0.1
    learned = handcrafted.clone()
    learned[2] = learned[0]
    first, *_ = look.moved_classes(("a", "b", "c", "d"), 2, handcrafted, learned, temperature=0.1)
    assert first.name in ("a", "c")
    assert {first.nearest_learned, first.name} == {"a", "c"}
    same = look.moved_classes(("a", "b", "c", "d"), 2, handcrafted, 2 * handcrafted, temperature=0.1)
    assert all(row.kl == pytest.approx(0, abs=1e-6) for row in same)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "is not a run record"), (None, "there is no file ")],
)
def test_other_files_are_refused(
    tmp_path: Path, content: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit):
        look.main([str(path)])
    assert message in capsys.readouterr().err


def test_a_record_without_its_tensors_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = next(runs.glob("*seed1*.json"))
    record.with_suffix(".safetensors").unlink()
    with pytest.raises(SystemExit):
        look.main([str(record)])
    error = capsys.readouterr().err
    assert "the learned tensors of" in error
    assert "keep both files together" in error


def test_a_record_beside_the_tensors_of_another_run_is_refused(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = sorted(runs.glob("*seed1*.json"))
    one.with_suffix(".safetensors").write_bytes(other.with_suffix(".safetensors").read_bytes())
    with pytest.raises(SystemExit):
        look.main([str(one)])
    assert "holds the learned tensors of another run than" in capsys.readouterr().err


def test_images_are_not_needed(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(*_: object) -> None:
        raise AssertionError("the data set was opened")

    monkeypatch.setattr(experiment, "open_source", absent)
    look.main([str(next(runs.glob("*seed1*.json")))])
    assert "mean KL" in capsys.readouterr().out
