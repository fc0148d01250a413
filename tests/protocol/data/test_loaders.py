"""Every loader on a small folder in the official layout, whole and damaged."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from examples.protocol import data
from examples.protocol.data import (
    SHIFTED,
    TABLE_3,
    Example,
    FileDataset,
    base_new_split,
    few_shot,
    fingerprint,
    open_dataset,
)
from examples.protocol.data.catalogue import CatalogueEntry, entry_of
from examples.protocol.data.fabricate import fabricate, names_of, write_image
from sar_reg.errors import InputError


@pytest.mark.parametrize("key", TABLE_3)
def test_the_eleven(key: str, tmp_path: Path) -> None:
    fabricate(tmp_path, key)
    dataset = open_dataset(key, tmp_path, verify=False)
    assert dataset.classnames == tuple(names_of(key, 4))
    assert Counter(example.label for example in dataset.train) == dict.fromkeys(range(4), 6)
    assert Counter(example.label for example in dataset.test) == dict.fromkeys(range(4), 3)
    assert len(dataset.val) == (12 if key == "imagenet" else 8)
    for example in (*dataset.train, *dataset.test):
        red = dataset.image(example).getpixel((5, 5))[0]
        assert abs(red - 60 * example.label) < 6
    base, new = base_new_split(few_shot(dataset, 2, seed=1))
    assert (len(base.train), len(new.train)) == (4, 4)
    assert base.image(base.train[0]).mode == "RGB"


@pytest.mark.parametrize("key", SHIFTED)
def test_shifted_test_sets(key: str, tmp_path: Path) -> None:
    fabricate(tmp_path, key)
    dataset = open_dataset(key, tmp_path, verify=False)
    assert dataset.classnames == tuple(names_of(key, 4))
    assert dataset.train == ()
    assert [example.label for example in dataset.test] == [label for label in range(4) for _ in range(3)]
    assert [abs(dataset.image(e).getpixel((5, 5))[0] - 60 * e.label) < 6 for e in dataset.test] == [True] * 12


def test_imagenet_a_counts_labels_over_the_folders_that_are_there(tmp_path: Path) -> None:
    home = fabricate(tmp_path, "imagenet_a", classes=5)
    shutil.rmtree(home / "imagenet-a" / "n01440771")
    (home / "imagenet-a" / "README.txt").write_text("not a class")
    dataset = open_dataset("imagenet_a", tmp_path, verify=False)
    names = names_of("imagenet_a", 5)
    assert dataset.classnames == (names[0], *names[2:])
    assert {example.source[:9]: example.label for example in dataset.test}["n01440778"] == 1


def test_shifted_sets_take_the_names_beside_imagenet(tmp_path: Path) -> None:
    home = fabricate(tmp_path, "imagenet_r")
    (tmp_path / "imagenet").mkdir()
    (home / "classnames.txt").rename(tmp_path / "imagenet" / "classnames.txt")
    assert len(open_dataset("imagenet_r", tmp_path, verify=False).classnames) == 4


def test_imagenet_files_are_sorted_and_val_is_test(tmp_path: Path) -> None:
    home = fabricate(tmp_path, "imagenet")
    write_image(home / "images" / "train" / "n01440764" / "0005.JPEG", 0, 0)
    dataset = open_dataset("imagenet", tmp_path, verify=False)
    assert dataset.train[1].source == "train/n01440764/0005.JPEG"
    assert few_shot(dataset, 1, 1).val == dataset.test


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("dtd", "dtd", "dtd/dtd"),
        ("eurosat", "eurosat/2750", "eurosat/EuroSAT_RGB"),
        ("oxford_flowers", "oxford_flowers/jpg", "flowers-102/jpg"),
        ("fgvc_aircraft", "fgvc_aircraft", "fgvc-aircraft-2013b/data"),
        ("caltech101", "caltech-101/101_ObjectCategories", "caltech101/101_ObjectCategories"),
        ("oxford_pets", "oxford_pets/images", "oxford-iiit-pet/images"),
    ],
)
def test_torchvision_layouts_serve_too(key: str, old: str, new: str, tmp_path: Path) -> None:
    fabricate(tmp_path, key)
    before = fingerprint(open_dataset(key, tmp_path, verify=False))
    moved = (tmp_path / old).rename(tmp_path / "moved")
    (tmp_path / new).parent.mkdir(parents=True, exist_ok=True)
    moved.rename(tmp_path / new)
    dataset = open_dataset(key, tmp_path, verify=False)
    assert fingerprint(dataset) == before
    assert dataset.image(dataset.test[0]).size == (24, 20)


@pytest.mark.parametrize("key", [*TABLE_3, *SHIFTED])
def test_a_missing_split_is_refused_and_none_is_written(key: str, tmp_path: Path) -> None:
    home = fabricate(tmp_path, key)
    (home / entry_of(key).split).unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"is missing, and no split is ever made up.*prepare " + key):
        open_dataset(key, tmp_path, verify=False)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("key", [*TABLE_3, *SHIFTED])
def test_missing_images_and_wrong_numbers(key: str, tmp_path: Path) -> None:
    home = fabricate(tmp_path, key)
    with pytest.raises(InputError, match=rf"{key}: expected \d+ classes, .* images, found 4 classes"):
        open_dataset(key, tmp_path)
    name = next(name for name in (*entry_of(key).needs, *entry_of(key).images) if name != ".")
    shutil.rmtree(home / name)
    with pytest.raises(InputError, match="is missing"):
        open_dataset(key, tmp_path, verify=False)


def small_source(key: str) -> CatalogueEntry:
    """The data set's facts, with the numbers of the fabricated one as the published ones."""
    counts = (0, 0, 12) if key in SHIFTED else (24, 0 if key == "imagenet" else 8, 12)
    return replace(entry_of(key), classes=4, counts=counts)


@pytest.mark.parametrize("key", [*TABLE_3, *SHIFTED])
def test_the_published_numbers_are_asked_for(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One image or one line of the split too few is refused where `verify` is left on."""
    home = fabricate(tmp_path, key)
    monkeypatch.setattr(data, "entry_of", small_source)
    dataset = open_dataset(key, tmp_path)
    if small_source(key).form == "json":
        file = home / small_source(key).split
        split = json.loads(file.read_text())
        split["test"].pop()
        file.write_text(json.dumps(split))
    elif key == "fgvc_aircraft":
        file = home / "images_variant_test.txt"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    else:
        (dataset.folder / dataset.test[-1].source).unlink()
    with pytest.raises(InputError, match=rf"{key}: expected .* 12 train / val / test images, found .* 11 "):
        open_dataset(key, tmp_path)


@pytest.mark.parametrize("key", [*TABLE_3, *SHIFTED])
def test_missing_and_cut_off_images(key: str, tmp_path: Path) -> None:
    fabricate(tmp_path, key)
    dataset = open_dataset(key, tmp_path, verify=False)
    gone, cut, empty = (dataset.folder / example.source for example in dataset.test[:3])
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-200])
    empty.write_bytes(b"")
    with pytest.raises(InputError, match=rf"{key}: the image .*{gone.name} is missing.*check {key} --data"):
        dataset.image(dataset.test[0])
    for example, path in zip(dataset.test[1:3], (cut, empty), strict=True):
        with pytest.raises(InputError, match=rf"{path.name} cannot be read .*damaged. Delete the file"):
            dataset.image(example)
    assert dataset.image(dataset.test[3]).size == (24, 20)


def test_a_picture_that_claims_to_be_enormous(tmp_path: Path) -> None:
    dataset = FileDataset("mine", tmp_path, ("a",), (), (), ())
    header = b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    header += (60_000).to_bytes(4, "little") * 2 + b"\x01\x00\x18\x00" + bytes(24)
    (tmp_path / "x.bmp").write_bytes(header)
    with pytest.raises(InputError, match=r"x\.bmp cannot be read .*exceeds limit"):
        dataset.image(Example("x.bmp", 0))
    with pytest.raises(InputError, match=r"mine: the image .*y\.bmp is missing$"):
        dataset.image(Example("y.bmp", 0))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda split: split.pop("test"), r"not a split file \(KeyError: 'test'\)"),
        (lambda split: split["test"].append(["x.jpg", 0]), "not a split file"),
        (
            lambda split: split["test"].append(["x.jpg", 1, "other"]),
            'label 1 is called "blotchy" and, at x.jpg',
        ),
        (lambda split: split["test"].append(["x.jpg", 9, "far"]), "the labels of 5 classes are not 0 to 4"),
        (
            lambda split: split["val"].append(["../x.jpg", 0, "banded"]),
            r"'\.\./x.jpg' leads out of the images",
        ),
        (lambda split: split["val"].append(["a/..\\x.jpg", 0, "banded"]), "leads out of the images' folder"),
        (lambda split: split["val"].append(["/etc/x.jpg", 0, "banded"]), "leads out of the images' folder"),
        (lambda split: split["val"].append(["C:/x.jpg", 0, "banded"]), "leads out of the images' folder"),
    ],
)
def test_damaged_split_files(damage, message: str, tmp_path: Path) -> None:
    file = fabricate(tmp_path, "dtd") / "split_zhou_DescribableTextures.json"
    split = json.loads(file.read_text())
    damage(split)
    file.write_text(json.dumps(split))
    with pytest.raises(InputError, match=message):
        open_dataset("dtd", tmp_path, verify=False)


def test_split_files_that_other_tools_write(tmp_path: Path) -> None:
    file = fabricate(tmp_path, "dtd") / "split_zhou_DescribableTextures.json"
    plain = open_dataset("dtd", tmp_path, verify=False)
    split = json.loads(file.read_text())
    split.pop("val")
    counted_from_1 = {
        part: [[path, label + 1, name] for path, label, name in rows] for part, rows in split.items()
    }
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(counted_from_1).encode())
    read = open_dataset("dtd", tmp_path, verify=False)
    assert (read.classnames, read.train, read.test) == (plain.classnames, plain.train, plain.test)
    assert read.val == ()


def test_a_cut_off_split_file(tmp_path: Path) -> None:
    file = fabricate(tmp_path, "dtd") / "split_zhou_DescribableTextures.json"
    file.write_text(file.read_text()[:-30])
    with pytest.raises(InputError, match=r"not a split file .JSONDecodeError"):
        open_dataset("dtd", tmp_path, verify=False)


def test_damaged_aircraft_lists(tmp_path: Path) -> None:
    home = fabricate(tmp_path, "fgvc_aircraft")
    (home / "images_variant_test.txt").write_text("0000001 Zeppelin\n")
    with pytest.raises(InputError, match=r"variants that variants.txt lacks: Zeppelin"):
        open_dataset("fgvc_aircraft", tmp_path, verify=False)
    (home / "images_variant_val.txt").unlink()
    with pytest.raises(InputError, match=r"images_variant_val.txt is missing; it belongs to the archive"):
        open_dataset("fgvc_aircraft", tmp_path, verify=False)


def test_damaged_imagenet_folders(tmp_path: Path) -> None:
    home = fabricate(tmp_path, "imagenet")
    (home / "images" / "val" / "n99999999").mkdir()
    with pytest.raises(InputError, match=r"differ in 1 class \(first: n99999999\)"):
        open_dataset("imagenet", tmp_path, verify=False)
    (home / "images" / "train" / "n99999999").mkdir()
    with pytest.raises(InputError, match=r"no name for 1 class folder \(first: n99999999\)"):
        open_dataset("imagenet", tmp_path, verify=False)
    (home / "classnames.txt").write_text("n01440764 tench\nn01443537\n")
    with pytest.raises(InputError, match="a WordNet id, a space and the name"):
        open_dataset("imagenet", tmp_path, verify=False)


def test_damaged_imagenetv2_folders(tmp_path: Path) -> None:
    home = fabricate(tmp_path, "imagenetv2")
    shutil.rmtree(home / "imagenetv2-matched-frequency-format-val" / "2")
    with pytest.raises(InputError, match=r"lacks 1 of the class folders 0 to 3 \(first: 2\)"):
        open_dataset("imagenetv2", tmp_path, verify=False)


def test_pickles_of_other_tools_are_not_opened(tmp_path: Path) -> None:
    home = fabricate(tmp_path, "dtd")
    before = fingerprint(few_shot(open_dataset("dtd", tmp_path, verify=False), 2, 1))
    (home / "split_fewshot").mkdir()
    (home / "split_fewshot" / "shot_2-seed_1.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert fingerprint(few_shot(open_dataset("dtd", tmp_path, verify=False), 2, 1)) == before


def test_unknown_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='no data set is called "cifar"; known are caltech101, oxford_pets'):
        open_dataset("cifar", tmp_path)
