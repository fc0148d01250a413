"""The look into a finished run: which classes moved, by how much, and who their neighbours are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from examples.coop.method import CoOp
from examples.protocol.cli import command, look
from tests.fabricated.runs import NAMES, RECIPE, install


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Records of CoOp without and with SAR on coloured squares."""
    install(monkeypatch.setattr)
    arguments = [
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--shots",
        "2",
        "--n-novel",
        "5",
        "--dataset",
        "squares",
        "--out",
    ]
    command.main(CoOp, RECIPE, [*arguments, str(tmp_path)])
    capsys.readouterr()
    return tmp_path


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


def test_a_run_on_all_classes_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(
        next(path for path in runs.glob("*.json") if "zero-shot" not in path.name).read_text()
    )
    record["source"]["targets"] = ["food"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(SystemExit):
        look.main([str(tmp_path / "run.json")])
    assert "was trained on all classes: there are no new ones to compare" in capsys.readouterr().err


def test_a_zero_shot_record_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        look.main([str(next(runs.glob("*zero-shot*.json")))])
    assert "is a zero-shot record: nothing was learned" in capsys.readouterr().err


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
    assert "run the same command again with --fresh" in capsys.readouterr().err
