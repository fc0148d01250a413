"""A user's own images: a folder per class, with or without train and test folders above them."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from examples.protocol.data.dataset import Example
from examples.protocol.data.file_dataset import FileDataset
from sar_reg.errors import InputError

SHARES = (0.5, 0.2)  # of each class for train and val; the rest is test, as in the benchmark's own splits


def open_folder(folder: str | Path) -> FileDataset:
    """Open `folder/CLASS/image.jpg`, or `folder/{train,test}/CLASS/image.jpg` (and `val`, if it is there).

    Class names are the folder names, sorted; "_" is read as a space in prompts. With train and test folders a
    class may lack training images: it is then new. Without them every class is cut 50 / 20 / 30 after a
    shuffle with a fixed seed: the same files give the same split anywhere.

    Raises:
        InputError: no classes, a class without test images, or one too small to be cut.
    """
    folder = Path(folder)
    key = folder.resolve().name
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        parts = {part: _images(folder / part, part) for part in ("train", "val", "test")}
        names = sorted({name for images in parts.values() for name in images})
        train, val, test = (_label(names, images) for images in parts.values())
    else:
        images = _images(folder, "")
        names = sorted(images)
        train, val, test = (_label(names, part) for part in _cut(folder, images))
    if not names or not train or not test:
        raise InputError(
            f"{folder} holds {len(names)} classes, {len(train)} training and {len(test)} test images. "
            f"Expected {folder}/CLASS/image.jpg, or {folder}/train/CLASS/image.jpg and the same in test"
        )
    untested = set(range(len(names))) - {example.label for example in test}
    if untested:
        listed = ", ".join(names[label] for label in sorted(untested)[:5])
        raise InputError(
            f"{folder / 'test'} has no images of {len(untested)} classes, such as {listed}: add some, or take the "
            "class out of train too"
        )
    return FileDataset(key, folder, tuple(names), train, val, test)


def _images(folder: Path, part: str) -> dict[str, list[str]]:
    """Paths below the data set's root by class, sorted; empty if there is no such folder."""
    if not folder.is_dir():
        return {}
    classes = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")
    )
    return {
        name: [
            "/".join(filter(None, (part, name, file)))
            for file in sorted(os.listdir(folder / name))
            if file.lower().endswith(IMG_EXTENSIONS) and not file.startswith(".")
        ]
        for name in classes
    }


def _label(names: Sequence[str], images: dict[str, list[str]]) -> tuple[Example, ...]:
    return tuple(Example(path, label) for label, name in enumerate(names) for path in images.get(name, ()))


def _cut(folder: Path, images: dict[str, list[str]]) -> tuple[dict[str, list[str]], ...]:
    train, val, test = {}, {}, {}
    for name, paths in images.items():
        if len(paths) < 2:
            raise InputError(
                f"{folder / name} holds {len(paths)} images; a class needs one to train and one to test. "
                "Add images, or make train and test folders yourself"
            )
        shuffled = random.Random(0).sample(paths, len(paths))
        end_train = max(1, round(len(paths) * SHARES[0]))
        end_val = min(len(paths) - 1, end_train + round(len(paths) * SHARES[1]))
        train[name], val[name], test[name] = (
            shuffled[:end_train],
            shuffled[end_train:end_val],
            shuffled[end_val:],
        )
    return train, val, test
