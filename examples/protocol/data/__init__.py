"""The benchmark's data sets by key, read from a folder in the benchmark's layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from examples.protocol.data import aircraft, imagenet, split_json
from examples.protocol.data.catalogue import SHIFTED, TABLE_3, CatalogueEntry, Form, entry_of
from examples.protocol.data.dataset import Dataset, Example, Subset, base_new_split, few_shot, fingerprint
from examples.protocol.data.file_dataset import FileDataset
from examples.protocol.data.own_data import open_folder
from sar_reg.errors import InputError, counted

__all__ = [
    "SHIFTED",
    "TABLE_3",
    "Dataset",
    "Example",
    "FileDataset",
    "Subset",
    "base_new_split",
    "few_shot",
    "fingerprint",
    "open_dataset",
    "open_folder",
]

Numbers = tuple[int, int, int, int]
"""Classes, and images of train, val and test."""
DECLARED = "fabricated.json"
"""File with the numbers of made-up data sets, beside them."""
Reader = Callable[[str, Path, Path], FileDataset]

READERS: Mapping[Form, Reader] = {
    "json": split_json.read,
    "aircraft": aircraft.read,
    "imagenet": imagenet.read_imagenet,
    "imagenetv2": imagenet.read_imagenetv2,
    "wordnet_ids": imagenet.read_wordnet_ids,
}


def open_dataset(key: str, root: str | Path, *, verify: bool = True) -> FileDataset:
    """Open one of the benchmark's data sets.

    Args:
        key: as in the catalogue, such as "dtd" or "imagenet_r".
        root: the folder that holds all data sets, in the benchmark's layout or torchvision's.
        verify: compare the numbers of classes and images with the published ones, or with those in
            ROOT/fabricated.json, which a rehearsal writes beside its own data; without it, any split in the right
            form is taken, and results are not the benchmark's.

    Raises:
        InputError: unknown key; images or split file missing (a split is never made up); wrong numbers.
    """
    source, root = entry_of(key), Path(root)
    dataset = _read(source, root)
    if verify:
        found, expected = numbers_of(dataset), _declared(root).get(key) or numbers_expected(source)
        if found != expected:
            raise InputError(
                f"{key}: expected {describe(expected)}, found {describe(found)}. "
                f"See what is wrong with: python -m examples.protocol.data check {key} --data {root}"
            )
    return dataset


def _read(source: CatalogueEntry, root: Path) -> FileDataset:
    folder, split = source.find_images(root), source.find_split(root)
    if folder is None or split is None:
        missing = source.home(root) / (source.images[0] if folder is None else source.split)
        raise InputError(
            f"{source.key}: {missing} is missing, and no split is ever made up. "
            f"See what to fetch with: python -m examples.protocol.data prepare {source.key} --data {root}"
        )
    return READERS[source.form](source.key, split, folder)


def _declared(root: Path) -> dict[str, Numbers]:
    file = root / DECLARED
    declared = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {key: tuple(numbers) for key, numbers in declared.items()}


def numbers_of(dataset: Dataset) -> Numbers:
    """Classes, and images of train, val and test."""
    return len(dataset.classnames), len(dataset.train), len(dataset.val), len(dataset.test)


def numbers_expected(source: CatalogueEntry) -> Numbers:
    """The published numbers; ImageNet's val is its test list."""
    train, val, test = source.counts
    return source.classes, train, test if source.form == "imagenet" else val, test


def describe(numbers: Numbers) -> str:
    """The numbers in words."""
    classes, *images = numbers
    return f"{counted(classes, 'class')}, {' / '.join(str(n) for n in images)} train / val / test images"
