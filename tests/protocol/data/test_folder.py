"""Odd folders of photos: which images are found, under which names, and what is said of the rest."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from examples.protocol.data import FileDataset, open_folder
from examples.protocol.data.class_words import read_words, write_words
from examples.protocol.data.fabricate import write_image
from examples.protocol.data.folder import list_photos
from sar_reg.errors import InputError


def write_images(folder: Path, count: int, ending: str = "png") -> None:
    for number in range(count):
        write_image(folder / f"{number}.{ending}", 1, number)


def images(dataset: FileDataset) -> list[str]:
    return sorted(example.source for example in (*dataset.train, *dataset.val, *dataset.test))


def test_nested_folders_belong_to_their_class(tmp_path: Path) -> None:
    write_images(tmp_path / "robin" / "2023" / "may", 3)
    write_images(tmp_path / "robin", 1)
    write_images(tmp_path / "wren", 2)
    dataset = open_folder(tmp_path)
    assert dataset.classnames == ("robin", "wren")
    assert "robin/2023/may/2.png" in images(dataset)
    assert len(images(dataset)) == 6
    assert "robin includes 3 images in folders below it" in dataset.notes


def test_a_folder_around_everything(tmp_path: Path) -> None:
    write_images(tmp_path / "birds" / "birds-v1" / "robin", 2)
    write_images(tmp_path / "birds" / "birds-v1" / "wren", 2)
    (tmp_path / "birds" / "__MACOSX" / "birds-v1").mkdir(parents=True)
    (tmp_path / "birds" / "__MACOSX" / "birds-v1" / "._0.png").write_bytes(b"x")
    dataset = open_folder(tmp_path / "birds")
    assert (dataset.key, dataset.classnames) == ("birds", ("robin", "wren"))
    assert dataset.image(dataset.train[0]).size == (24, 20)


@pytest.mark.parametrize(
    "parts", [("Train", "Test", "Val"), ("TRAIN", "TEST", "VAL"), ("training", "testing", "Validation")]
)
def test_parts_in_any_case(parts: tuple[str, str, str], tmp_path: Path) -> None:
    for part, size in zip(parts, (4, 3, 2), strict=True):
        for name in ("robin", "wren"):
            write_images(tmp_path / part / name, size)
    dataset = open_folder(tmp_path)
    assert dataset.classnames == ("robin", "wren")
    assert [len(dataset.train), len(dataset.test), len(dataset.val)] == [8, 6, 4]


def test_two_folders_for_one_part_are_refused(tmp_path: Path) -> None:
    for part in ("train", "Training", "test"):
        write_images(tmp_path / part / "robin", 1)
    with pytest.raises(InputError, match=r"two folders of train images; move the images into one of them"):
        open_folder(tmp_path)


def test_val_stands_in_for_a_missing_test(tmp_path: Path) -> None:
    for part, size in (("train", 4), ("Val", 3)):
        for name in ("robin", "wren"):
            write_images(tmp_path / part / name, size)
    dataset = open_folder(tmp_path)
    assert [len(dataset.train), len(dataset.val), len(dataset.test)] == [8, 0, 6]
    assert "there are no test images by class: the val images are tested on" in dataset.notes


def test_a_test_folder_without_class_folders(tmp_path: Path) -> None:
    for name in ("robin", "wren"):
        write_images(tmp_path / "train" / name, 10)
    write_images(tmp_path / "test", 5)
    dataset = open_folder(tmp_path)
    assert Counter(example.label for example in dataset.test) == {0: 3, 1: 3}
    assert "there are no test images by class: the training images are cut into parts" in dataset.notes
    assert "left out: 5 files in no class folder, but in test itself" in dataset.notes


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    for name in ("train", "bus", "car"):
        write_images(tmp_path / name, 2)
    assert open_folder(tmp_path).classnames == ("bus", "car", "train")


def test_what_is_left_out_is_counted_with_the_reason(tmp_path: Path) -> None:
    for name in ("robin", "wren"):
        write_images(tmp_path / name, 2)
    Image.new("RGB", (24, 20)).save(tmp_path / "robin" / "a.jfif", format="JPEG")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".cache").mkdir()
    for place in (".DS_Store", "robin/.DS_Store", "robin/Thumbs.db", "robin/._0.png", "robin/notes.txt"):
        (tmp_path / place).write_text("x")
    (tmp_path / "__MACOSX").mkdir()
    for place in ("robin/a.HEIC", "robin/b.heic", "robin/README", "loose.png", "__MACOSX/._a.png"):
        (tmp_path / place).write_text("x")
    photos = list_photos(tmp_path)
    assert photos.parts["all"] == {
        "robin": ["robin/0.png", "robin/1.png", "robin/a.jfif"],
        "wren": ["wren/0.png", "wren/1.png"],
    }
    assert photos.skipped == {
        "hidden or made by the system": 5,
        "ending in .txt, which is not an image": 1,
        "ending in .heic, which is not read: export as JPEG": 2,
        "without an ending": 1,
        f"in no class folder, but in {tmp_path.name} itself": 1,
    }
    assert f"{tmp_path / 'empty'} holds no images: it is not a class" in photos.notes
    assert (
        "left out: 2 files ending in .heic, which is not read: export as JPEG" in open_folder(tmp_path).notes
    )


def test_folders_beside_train_and_test_are_said(tmp_path: Path) -> None:
    for place in ("train/robin", "test/robin", "raw/robin"):
        write_images(tmp_path / place, 2)
    notes = open_folder(tmp_path).notes
    assert "left out: 2 files in raw, which is beside the folders train, test" in notes


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    name = "mésange bleue"
    write_images(tmp_path / "train" / unicodedata.normalize("NFC", name), 2)
    write_images(tmp_path / "test" / unicodedata.normalize("NFD", name), 2)
    dataset = open_folder(tmp_path)
    assert dataset.classnames == (unicodedata.normalize("NFC", name),)
    assert len(dataset.train) == len(dataset.test) == 2
    assert dataset.image(dataset.test[0]).size == (24, 20)


@pytest.mark.parametrize(
    ("one", "other"),
    [("blue_tit", "blue tit"), ("Robin", "robin"), ("caf\u00e9", "cafe\u0301")],
)
def test_two_folders_that_become_one_name_are_refused(one: str, other: str, tmp_path: Path) -> None:
    for name in (one, other, "wren"):
        write_images(tmp_path / name, 2)
    with pytest.raises(
        InputError, match=r"become one class name .* write different words for them into names.csv"
    ):
        open_folder(tmp_path)
    rows = "".join(f"{name},{words}\n" for name, words in ((one, "first"), (other, "second")))
    (tmp_path / "names.csv").write_text(f"folder,words\n{rows}")
    if unicodedata.normalize("NFC", one) != unicodedata.normalize("NFC", other):
        assert sorted(open_folder(tmp_path).classnames) == ["first", "second", "wren"]


def test_numbers_are_in_natural_order_and_are_said_to_be_no_words(tmp_path: Path) -> None:
    for name in ("0", "1", "10", "11", "2"):
        write_images(tmp_path / name, 2)
    dataset = open_folder(tmp_path)
    assert dataset.classnames == ("0", "1", "2", "10", "11")
    assert any(note.startswith("5 class names without words, such as '0'") for note in dataset.notes)


@pytest.mark.parametrize("ids", [("n01440764", "n01443537"), ("class_1", "class_2"), ("Label 3", "Label 4")])
def test_ids_are_said_to_be_no_words(ids: tuple[str, str], tmp_path: Path) -> None:
    for name in ids:
        write_images(tmp_path / name, 2)
    assert any("2 class names without words" in note for note in open_folder(tmp_path).notes)
    (tmp_path / "names.csv").write_text(f"folder,words\n{ids[0]},tench\n{ids[1]},goldfish\n")
    dataset = open_folder(tmp_path)
    assert dataset.classnames == ("tench", "goldfish")
    assert not any("numbers" in note for note in dataset.notes)


def test_names_with_a_digit_are_words(tmp_path: Path) -> None:
    for name in ("A310", "boeing 737"):
        write_images(tmp_path / name, 2)
    assert open_folder(tmp_path).notes == ()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_names_csv(separator: str, tmp_path: Path) -> None:
    for name in ("tabby", "siamese", "dog"):
        write_images(tmp_path / name, 2)
    rows = [("folder", "words"), ("tabby", "cat"), ("siamese", "cat"), ("gone", "x"), ("dog", "")]
    text = "\n".join(separator.join(row) for row in rows)
    (tmp_path / "names.csv").write_text(text, encoding="utf-8-sig")
    dataset = open_folder(tmp_path)
    assert dataset.classnames == ("dog", "cat")
    assert Counter(e.label for e in (*dataset.train, *dataset.val, *dataset.test)) == {0: 2, 1: 4}
    assert "the folders 'siamese', 'tabby' are one class, 'cat'" in dataset.notes
    assert "names.csv names 1 folder without images, such as 'gone'" in dataset.notes


def test_the_file_that_is_written_changes_nothing(tmp_path: Path) -> None:
    folders = ["blue_tit", "n01440764", unicodedata.normalize("NFD", "mésange"), "a, b"]
    write_words(tmp_path / "names.csv", folders)
    assert read_words(tmp_path / "names.csv") == {
        "blue_tit": "blue tit",
        "n01440764": "n01440764",
        unicodedata.normalize("NFC", "mésange"): unicodedata.normalize("NFC", "mésange"),
        "a, b": "a, b",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"tabby,cat\n", "must begin with the line folder,words; it begins with 'tabby,cat'"),
        (b"folder,words\ntabby,cat\ntabby,dog\n", "names the folder 'tabby' twice"),
        (b"folder,words\ntabby,\xe9\n", "is not UTF-8"),
    ],
)
def test_wrong_names_csv(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_words(tmp_path / "names.csv")


def test_a_split_file_of_ones_own(tmp_path: Path) -> None:
    write_images(tmp_path / "all", 4)
    rows = [[f"all/{number}.png", 1 + number % 2, ("robin", "wren")[number % 2]] for number in range(4)]
    text = json.dumps({"train": rows[:2], "test": rows[2:]})
    (tmp_path / "split.json").write_text(text, encoding="utf-8-sig")
    dataset = open_folder(tmp_path)
    assert dataset.classnames == ("robin", "wren")
    assert [(e.source, e.label) for e in dataset.test] == [("all/2.png", 0), ("all/3.png", 1)]
    assert dataset.image(dataset.test[0]).size == (24, 20)
    (tmp_path / "split.json").write_text(json.dumps({"train": [["../x.png", 0, "x"]], "test": rows[2:]}))
    with pytest.raises(InputError, match="leads out of the images' folder"):
        open_folder(tmp_path)


def test_a_link_that_leads_back_is_followed_once(tmp_path: Path) -> None:
    write_images(tmp_path / "robin", 2)
    write_images(tmp_path / "wren", 2)
    (tmp_path / "robin" / "again").symlink_to(tmp_path / "robin", target_is_directory=True)
    assert len(images(open_folder(tmp_path))) == 4


def test_the_last_fit_takes_all_images(tmp_path: Path) -> None:
    write_images(tmp_path / "train" / "robin", 3)
    write_images(tmp_path / "val" / "wren", 2)
    write_images(tmp_path / "test" / "wren", 1)
    dataset = open_folder(tmp_path, final=True)
    assert (dataset.classnames, dataset.test) == (("robin", "wren"), ())
    assert Counter(example.label for example in dataset.train) == {0: 3, 1: 3}
