"""Small stand-ins for the benchmark's data sets: tiny JPEGs and true class names in the official layout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from PIL import Image

from examples.protocol.data import DECLARED, Numbers
from examples.protocol.data.catalogue import CatalogueEntry, entry_of
from sar_reg.files import write_atomic

CLASSNAMES = Path(__file__).parent / "classnames"
PARTS = ("train", "val", "test")
PATHS = {
    "oxford_pets": "{name}_{number}.jpg",
    "stanford_cars": "cars_{side}/{number:05}.jpg",
    "oxford_flowers": "image_{number:05}.jpg",
    "sun397": "a/{name}/sun_{number}.jpg",
}


def names_of(key: str, classes: int) -> list[str]:
    """The first class names of a data set; ImageNet-V2 and ImageNet-Sketch have ImageNet's."""
    file = CLASSNAMES / f"{'imagenet' if key in ('imagenetv2', 'imagenet_sketch') else key}.txt"
    return file.read_text("utf-8").splitlines()[:classes]


def fabricate(
    root: Path,
    key: str,
    *,
    classes: int = 4,
    images: tuple[int, int, int] = (6, 2, 3),
    names: Sequence[str] = (),
) -> Path:
    """Write a data set with a few images per class; returns its folder.

    Open it with `open_dataset(key, root, verify=False)`, or call `declare` first: its numbers are not the published
    ones. ImageNet's WordNet ids are made up.

    Args:
        root: the folder that holds all data sets.
        key: as in the catalogue.
        classes: how many of the true class names to use, from the first.
        images: train, val and test images per class.
        names: class names to use instead.
    """
    source, names = entry_of(key), list(names) or names_of(key, classes)
    home = source.home(root)
    if source.form == "json":
        _write_json(source, home, names, images)
    elif source.form == "aircraft":
        _write_aircraft(home, names, images)
    else:
        _write_imagenet(source, home, names, images)
    return home


def declare(root: Path, numbers: Mapping[str, Numbers]) -> None:
    """Write down the numbers of classes and images under `root`, so that `open_dataset` checks these.

    Args:
        root: the folder that holds the data sets.
        numbers: key → classes, train, val and test images.
    """
    write_atomic(root / DECLARED, json.dumps(numbers, indent=1) + "\n")


def write_image(path: Path, label: int, number: int) -> None:
    """Write a 24 x 20 picture: one colour per class, one shade per image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 20), (60 * label % 256, 9 * number % 256, 120)).save(path)


def _write_json(source: CatalogueEntry, home: Path, names: list[str], images: tuple[int, int, int]) -> None:
    split: dict[str, list[list[object]]] = {part: [] for part in PARTS}
    pattern, numbers = PATHS.get(source.key, "{folder}/{number:04}.jpg"), count(1)
    for part, many in zip(PARTS, images, strict=True):
        for label, name in enumerate(names):
            for number in (next(numbers) for _ in range(many)):
                side = "test" if part == "test" else "train"
                path = pattern.format(name=name, folder=name.replace(" ", ""), number=number, side=side)
                write_image(home / source.images[0] / path, label, number)
                split[part].append([path, label, name])
    for folder in source.needs:
        (home / folder).mkdir(exist_ok=True)
    (home / source.split).write_text(json.dumps(split, indent=4))


def _write_aircraft(home: Path, names: list[str], images: tuple[int, int, int]) -> None:
    numbers = count(1)
    for part, many in zip(PARTS, images, strict=True):
        lines = [(f"{next(numbers):07}", label) for label in range(len(names)) for _ in range(many)]
        for number, label in lines:
            write_image(home / "images" / f"{number}.jpg", label, int(number))
        text = "".join(f"{number} {names[label]}\n" for number, label in lines)
        (home / f"images_variant_{part}.txt").write_text(text)
    (home / "variants.txt").write_text("\n".join(names) + "\n")


def _write_imagenet(
    source: CatalogueEntry, home: Path, names: list[str], images: tuple[int, int, int]
) -> None:
    ids = [f"n{1440764 + 7 * label:08}" for label in range(len(names))]
    parts = {"train/": images[0], "val/": images[2]} if source.key == "imagenet" else {"": images[2]}
    for part, many in parts.items():
        for label, wordnet_id in enumerate(ids):
            folder = str(label) if source.form == "imagenetv2" else wordnet_id
            for number in range(many):
                write_image(home / source.images[0] / f"{part}{folder}" / f"{number:03}.JPEG", label, number)
    lines = (f"{wordnet_id} {name}\n" for wordnet_id, name in zip(ids, names, strict=True))
    (home / "classnames.txt").write_text("".join(lines))
