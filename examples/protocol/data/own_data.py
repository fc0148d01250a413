"""A user's own photos as a data set: a folder per class, with or without train, val and test folders above."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from examples.protocol.data import split_json
from examples.protocol.data.class_words import FILE, ClassWords, name_classes, read_words
from examples.protocol.data.dataset import Example
from examples.protocol.data.file_dataset import FileDataset
from examples.protocol.data.folder import ByClass, Photos, list_photos
from sar_reg.errors import InputError, counted

SHARES = (0.5, 0.2)  # of each class for train and val; the rest is test, as in the benchmark's own splits

Lists = tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]


def open_folder(folder: str | Path, *, final: bool = False) -> FileDataset:
    """Open `folder/CLASS/image.jpg`, `folder/{train,val,test}/CLASS/image.jpg`, or a folder with a split.json.

    Class names are the folder names in natural order, or their words in `folder/names.csv`; "_" is
    read as a space in prompts. With train and test folders a class may lack training images: it is then new.
    Without test images the val folder takes their place. Without parts every class is cut 50 / 20 / 30 after
    a shuffle with a fixed seed: the same files have the same split on any machine. `notes` of the data set state what
    was left out and what else is worth knowing.

    Args:
        folder: the folder.
        final: put all images into train, for a last fit after which nothing is measured.

    Raises:
        InputError: no such folder, no classes, a class without test images, or one too small to be cut.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; pass the folder that holds the class folders")
    key = folder.resolve().name
    split = split_file(folder)
    if split is not None:
        listed = replace(split_json.read(key, split, folder), own=True)
        _check_listed_once(split, listed)
        return _all_for_training(listed) if final else listed
    photos = list_photos(folder)
    words = name_classes(
        photos.folders, read_words(folder / FILE), parts=[list(images) for images in photos.parts.values()]
    )
    train, val, test = _pooled(photos, words) if final else _lists(folder, photos, words)
    if not train or not (test or final):
        raise InputError(
            f"{folder} holds {counted(len(words.classnames), 'class')}, {counted(len(train), 'training image')} and "
            f"{counted(len(test), 'test image')}"
            f"{_said(photos)}. Expected {folder}/CLASS/image.jpg, or {folder}/train/CLASS/image.jpg and "
            "the same in test"
        )
    notes = (*photos.notes, *words.notes, *skipped(photos))
    return FileDataset(key, photos.root, words.classnames, train, val, test, own=True, notes=notes)


def split_file(folder: Path) -> Path | None:
    """The split file of a folder that has exactly one."""
    found = sorted(folder.glob("split*.json"))
    return found[0] if len(found) == 1 else None


def skipped(photos: Photos) -> list[str]:
    """One line a reason for which files were left out."""
    return [
        f"left out: {counted(count, 'file')} {reason}" for reason, count in sorted(photos.skipped.items())
    ]


def _said(photos: Photos) -> str:
    return f" ({'; '.join(skipped(photos))})" if photos.skipped else ""


def _lists(folder: Path, photos: Photos, words: ClassWords) -> Lists:
    parts = dict(photos.parts)
    if "train" in parts and "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
        photos.notes.append("there are no test images by class: the val images are tested on")
    elif "train" in parts and "test" not in parts:
        parts = {"all": parts["train"]}
        photos.notes.append("there are no test images by class: the training images are cut into parts")
    if "all" in parts:
        return _cut(folder, parts["all"], words)
    train, val, test = (_label(parts.get(part, {}), words) for part in ("train", "val", "test"))
    untested = set(range(len(words.classnames))) - {example.label for example in test}
    if untested:
        listed = ", ".join(words.classnames[label] for label in sorted(untested)[:5])
        raise InputError(
            f"{folder / 'test'} has no images of {counted(len(untested), 'class')}, such as {listed}: add some, or "
            "take the class out of train too"
        )
    return train, val, test


def _pooled(photos: Photos, words: ClassWords) -> Lists:
    return tuple(e for images in photos.parts.values() for e in _label(images, words)), (), ()


def _check_listed_once(split: Path, dataset: FileDataset) -> None:
    seen: dict[str, str] = {}
    for part in split_json.PARTS:
        for example in getattr(dataset, part):
            earlier = seen.setdefault(example.source, part)
            if earlier != part:
                raise InputError(
                    f"{split}: the image {example.source} is in {earlier} and in {part}, so an accuracy would be "
                    "measured on an image that was trained on; list each image once"
                )


def _all_for_training(dataset: FileDataset) -> FileDataset:
    return replace(dataset, train=(*dataset.train, *dataset.val, *dataset.test), val=(), test=())


def _label(images: Mapping[str, list[str]], words: ClassWords) -> tuple[Example, ...]:
    labelled = ((words.label_of[folder], path) for folder, paths in images.items() for path in paths)
    ordered = sorted(labelled, key=lambda item: item[0])  # stable: paths keep their order
    return tuple(Example(path, label) for label, path in ordered)


def _cut(folder: Path, images: ByClass, words: ClassWords) -> Lists:
    by_label: dict[int, list[str]] = {}
    for example in _label(images, words):
        by_label.setdefault(example.label, []).append(example.source)
    tiny = [words.classnames[label] for label, paths in by_label.items() if len(paths) < 2]
    if tiny:
        raise InputError(
            f"{folder} has {counted(len(tiny), 'class')} with a single image: {', '.join(tiny[:10])}. A class "
            "needs one image to train on and one to test on: add images, make train and test folders, or train on all "
            "with --final"
        )
    train, val, test = [], [], []
    for label, paths in by_label.items():
        shuffled = random.Random(0).sample(paths, len(paths))
        end_train = max(1, round(len(paths) * SHARES[0]))
        end_val = min(len(paths) - 1, end_train + round(len(paths) * SHARES[1]))
        train += [Example(path, label) for path in shuffled[:end_train]]
        val += [Example(path, label) for path in shuffled[end_train:end_val]]
        test += [Example(path, label) for path in shuffled[end_val:]]
    return tuple(train), tuple(val), tuple(test)
