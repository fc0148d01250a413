"""A user's own folders."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from examples.protocol.data import base_new_split, fingerprint, open_folder
from examples.protocol.data.fabricate import write_image
from sar_reg.errors import InputError


def write_classes(folder: Path, sizes: dict[str, int]) -> None:
    for label, (name, size) in enumerate(sizes.items()):
        for number in range(size):
            write_image(folder / name / f"{number:02}.png", label, number)


def test_a_folder_per_class_is_cut_the_same_way_anywhere(tmp_path: Path) -> None:
    for place in ("a/birds", "b/birds"):
        write_classes(tmp_path / place, {"blue_tit": 10, "Robin": 2, "wren": 5})
    (tmp_path / "a" / "birds" / "wren" / "notes.txt").write_text("no image")
    dataset = open_folder(tmp_path / "a" / "birds")
    assert dataset.key == "birds"
    assert dataset.classnames == ("Robin", "blue_tit", "wren")
    assert Counter(example.label for example in dataset.train) == {0: 1, 1: 5, 2: 2}
    assert Counter(example.label for example in dataset.val) == {1: 2, 2: 1}
    assert Counter(example.label for example in dataset.test) == {0: 1, 1: 3, 2: 2}
    everything = [example.source for example in (*dataset.train, *dataset.val, *dataset.test)]
    assert len(set(everything)) == len(everything) == 17
    assert fingerprint(open_folder(tmp_path / "b" / "birds")) == fingerprint(dataset)
    assert dataset.image(dataset.test[0]).size == (24, 20)


def test_train_and_test_folders_with_new_classes(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"blue_tit": 3, "robin": 3})
    write_classes(tmp_path / "test", {"blue_tit": 2, "robin": 2, "wren": 2})
    dataset = open_folder(tmp_path)
    assert dataset.classnames == ("blue_tit", "robin", "wren")
    assert dataset.train[0].source == "train/blue_tit/00.png"
    base, new = base_new_split(dataset, ["blue tit", "robin"])
    assert (base.classnames, new.classnames) == (("blue_tit", "robin"), ("wren",))
    assert [(example.source, example.label) for example in new.test] == [
        ("test/wren/00.png", 0),
        ("test/wren/01.png", 0),
    ]
    with pytest.raises(InputError, match="no training images of: wren"):
        base_new_split(dataset, ["wren"])
    with pytest.raises(InputError, match=r"1 class without training images, such as wren.*--base-classes"):
        base_new_split(dataset)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"there is no folder .*nowhere; pass the folder that holds the class"
    ):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds 0 classes, 0 training images and 0 test images"):
        open_folder(tmp_path)
    write_classes(tmp_path / "cut" / "train", {"robin": 2, "wren": 2})
    write_classes(tmp_path / "cut" / "test", {"robin": 2})
    with pytest.raises(InputError, match=r"test has no images of 1 class, such as wren: add some"):
        open_folder(tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut")
    write_classes(tmp_path, {"robin": 3, "wren": 1})
    with pytest.raises(InputError, match=r"has 1 class with a single image: wren\. A class needs one"):
        open_folder(tmp_path)
