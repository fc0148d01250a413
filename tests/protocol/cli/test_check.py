"""`python -m examples.check`: everything that is wrong with a folder of photos, at once."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from examples import check
from examples.protocol.data import open_folder
from examples.protocol.data.broken import without_broken
from sar_reg.errors import InputError
from tests.protocol.data.test_own_data import write_classes


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    folder = tmp_path / "birds"
    write_classes(folder, {"blue_tit": 8, "robin": 8, "n01530575": 3})
    return folder


def test_a_sound_folder(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(birds)]) == 0
    printed = capsys.readouterr().out
    assert "blue_tit" in printed
    assert "a photo of a blue tit." in printed
    assert "3 class folders; 10 / 4 / 5 images to train on / val / test" in printed
    assert "1 class name without words, such as 'n01530575'" in printed
    assert "1 class with fewer than 4 images" in printed
    assert f"--write-names writes {birds / 'names.csv'}" in printed
    assert printed.splitlines()[-1] == "ready to train on"


def test_a_check_changes_nothing(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> list[tuple[Path, int, int]]:
        return sorted((path, path.stat().st_mtime_ns, path.stat().st_size) for path in birds.rglob("*"))

    before = state()
    check.main([str(birds)])
    check.main([str(birds), "--json"])
    assert state() == before
    check.main([str(birds), "--write-names"])
    assert f"{birds / 'names.csv'} was written: change the words there" in capsys.readouterr().out
    (birds / "names.csv").write_text("folder,words\nrobin,ruddock\n")
    before = state()
    check.main([str(birds), "--write-names"])
    assert "names.csv is read and was not written again" in capsys.readouterr().out
    assert state() == before


def test_the_words_that_a_user_edits_are_those_of_training(
    birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check.main([str(birds), "--write-names"])
    names = birds / "names.csv"
    names.write_text(names.read_text().replace("n01530575,n01530575", "n01530575,brambling"))
    capsys.readouterr()
    assert check.main([str(birds)]) == 0
    printed = capsys.readouterr().out
    assert "a photo of a brambling." in printed
    assert "without words" not in printed
    assert f"{names} is read" in printed
    assert open_folder(birds).classnames == ("blue tit", "brambling", "robin")


def test_all_broken_images_at_once(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (birds / "robin" / "00.png").write_bytes(b"")
    (birds / "robin" / "01.png").write_bytes(b"<html>")
    cut = birds / "blue_tit" / "00.png"
    cut.write_bytes(cut.read_bytes()[:60])
    (birds / "notes.txt").write_text("x")
    assert check.main([str(birds), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert set(report["broken"]) == {"robin/00.png", "robin/01.png", "blue_tit/00.png"}
    assert report["broken"]["robin/00.png"] == "the file is empty"
    assert "left out: 1 file ending in .txt, which is not an image" in report["notes"]
    check.main([str(birds)])
    printed = capsys.readouterr().out
    assert printed.count("cannot be read: ") == 3
    assert printed.endswith("ready to train on, without 3 images that cannot be read\n")


def test_training_leaves_broken_images_out_and_says_so(birds: Path) -> None:
    (birds / "robin" / "00.png").write_bytes(b"")
    whole = open_folder(birds)
    read = without_broken(whole)
    lists = [[e.source for e in (*d.train, *d.val, *d.test)] for d in (whole, read)]
    assert set(lists[0]) - set(lists[1]) == {"robin/00.png"}
    assert read.notes[-1] == "left out: 1 image that cannot be read: robin/00.png (the file is empty)"
    for image in (birds / "n01530575").iterdir():
        image.write_bytes(b"")
    with pytest.raises(InputError, match=r"no training image of 1 class can be read: n01530575 \("):
        without_broken(whole)


def test_what_keeps_a_folder_from_training(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(birds, {"wren": 1, "Wren ": 1, "lone": 1})
    assert check.main([str(birds)]) == 1
    printed = capsys.readouterr().out
    assert "problem: the folders 'Wren ' and 'wren' become one class name" in printed
    assert "ready to train on" not in printed
    (birds / "Wren ").rename(birds / "sparrow")
    assert check.main([str(birds), "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert "3 classes with a single image: lone, sparrow, wren" in problem


def test_a_folder_with_a_split_file(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[f"robin/0{number}.png", number % 2, ("a", "b")[number % 2]] for number in range(4)]
    (birds / "split.json").write_text(json.dumps({"train": rows[:2], "test": rows[2:]}))
    assert check.main([str(birds)]) == 0
    printed = capsys.readouterr().out
    assert "a photo of a b." in printed
    assert "2 class folders; 2 / 0 / 2 images to train on / val / test" in printed
    with pytest.raises(
        InputError, match=r"--write-names has no effect, since .*split.json names the classes"
    ):
        check.main([str(birds), "--write-names"])
    (birds / "split.json").write_text(json.dumps({"train": rows, "test": rows[1:2]}))
    with pytest.raises(
        InputError, match=r"the image robin/01.png is in train and in test, so an accuracy would"
    ):
        check.main([str(birds)])
    (birds / "split.json").write_text("{")
    with pytest.raises(InputError, match="is not a split file"):
        check.main([str(birds)])


def test_a_folder_that_cannot_be_written_to(birds: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(check, "write_words", refuse)
    assert check.main([str(birds)]) == 0
    with pytest.raises(PermissionError):  # a line of the command's, as of any OSError
        check.main([str(birds), "--write-names"])


def test_the_command_ends_in_one_line_for_a_folder_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["check", "/nowhere/birds"])
    monkeypatch.delitem(sys.modules, "examples.check")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("examples.check", run_name="__main__")
    assert ended.value.code == 2
    assert (
        capsys.readouterr().err
        == "error: there is no folder /nowhere/birds; pass the folder that holds the class folders\n"
    )
