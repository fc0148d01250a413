"""A folder of one's own images, from the command line to the record, and what is said of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.coop.method import CoOp
from examples.protocol.cli.command import main
from examples.protocol.runs import experiment
from examples.protocol.runs import loading as opening
from tests.fabricated.runs import RECIPE
from tests.protocol.data.test_own_data import write_classes


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three birds; the model is the fabricated one, images and words are the real ways."""
    monkeypatch.setattr(experiment, "open_source", opening.open_source)
    write_classes(tmp_path / "photos" / "birds", {"blue_tit": 6, "robin": 6, "wren": 6})
    return tmp_path / "photos"


def coop(photos: Path, *arguments: str) -> None:
    settings = ("--epochs", "1", "--n-novel", "5", "--sample-size", "3", "--seeds", "1", "--json")
    place = ("--data", str(photos), "--out", str(photos.parent / "runs"))
    main(CoOp, RECIPE, [*place, *settings, *arguments])


def test_named_base_classes(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = photos.parent / "base.txt"
    base.write_text("wren\nblue tit\n")
    coop(photos, "--dataset", "birds", "--base-classes", str(base))
    printed = capsys.readouterr()
    record = json.loads(printed.out)["records"][2]
    assert record["title"] == "CoOp + SAR"
    assert record["source"]["base_classes"] == str(base)
    assert record["training"]["classes"] == 2
    assert record["data"]["tests"] == {
        "base": {"classes": 2, "images": 4},
        "new": {"classes": 1, "images": 2},
    }
    assert record["results"]["new"] == 100.0, "one class alone cannot be mistaken"
    assert "memory: a step needs about" in printed.err


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("blue tit\neagle\n", "base classes that birds has no training images of: eagle"),
        ("blue tit\nrobin\nwren\n", "birds cannot be split into 3 base and 0 new classes"),
        ("", "holds no class name; write one name a line"),
        (None, "cannot read class names from"),
    ],
)
def test_wrong_lists_end_in_one_line(
    names: str | None, message: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = photos.parent / "base.txt"
    if names is not None:
        base.write_text(names)
    with pytest.raises(SystemExit) as ended:
        coop(photos, "--dataset", "birds", "--base-classes", str(base))
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_a_folder_that_is_not_there(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        coop(photos, "--dataset", "bird")
    error = capsys.readouterr().err
    assert (
        f"there is no folder {photos / 'bird'} with images of yours, and no data set of the benchmark"
        in error
    )
