"""ImageNet and its shifted test sets: a folder per class, names from classnames.txt.

The benchmark lists ImageNet's files in the order of the file system, so its few-shot draws differ between
machines; here file names are sorted. Its caches `preprocessed.pkl` and `split_fewshot/*.pkl` are not read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from examples.protocol.data.dataset import Example
from examples.protocol.data.file_dataset import FileDataset
from sar_reg.errors import InputError, counted


def read_imagenet(key: str, names: Path, folder: Path) -> FileDataset:
    """Train and val folders of WordNet ids; val serves as test **and** as val, as in the benchmark."""
    name_of = read_classnames(names)
    ids = _class_folders(folder / "train")
    train = _examples(folder, "train", ids)
    test = _examples(folder, "val", _class_folders(folder / "val", expected=ids))
    return FileDataset(key, folder, _names(ids, name_of, names), train, test, test)


def read_wordnet_ids(key: str, names: Path, folder: Path) -> FileDataset:
    """A test set with a folder per WordNet id; labels count the folders that are there, sorted.

    So ImageNet-A and -R have 200 classes and a classifier of 200 names, not 1,000.
    """
    ids = _class_folders(folder)
    test = _examples(folder, "", ids)
    return FileDataset(key, folder, _names(ids, read_classnames(names), names), (), (), test)


def read_imagenetv2(key: str, names: Path, folder: Path) -> FileDataset:
    """Folders "0", "1", …: the number is the line of classnames.txt."""
    name_of = read_classnames(names)
    folders = [str(label) for label in range(len(name_of))]
    missing = [name for name in folders if not (folder / name).is_dir()]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of the class folders 0 to {len(folders) - 1} "
            f"(first: {missing[0]}); extract imagenetv2-matched-frequency again"
        )
    return FileDataset(key, folder, tuple(name_of.values()), (), (), _examples(folder, "", folders))


def read_classnames(path: Path) -> Mapping[str, str]:
    """Lines "n01440764 tench" to a mapping in the file's order.

    Raises:
        InputError: a line without a name, or an id twice.
    """
    pairs = [line.strip().partition(" ") for line in path.read_text("utf-8").splitlines() if line.strip()]
    name_of = {wordnet_id: name.strip() for wordnet_id, _, name in pairs}
    if len(name_of) != len(pairs) or not all(name_of.values()):
        raise InputError(
            f"{path}: expected one line for each class, a WordNet id, a space and the name, "
            "like 'n01440764 tench'; fetch the file again"
        )
    return name_of


def _class_folders(folder: Path, expected: Sequence[str] | None = None) -> list[str]:
    ids = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")
    )
    if expected is not None and ids != list(expected):
        different = sorted(set(ids) ^ set(expected))
        raise InputError(
            f"{folder} and its neighbour train differ in {counted(len(different), 'class')} (first: {different[0]}). "
            "The validation images must be sorted into one folder a class"
        )
    return ids


def _examples(folder: Path, part: str, class_folders: Sequence[str]) -> tuple[Example, ...]:
    return tuple(
        Example("/".join(filter(None, (part, name, file))), label)
        for label, name in enumerate(class_folders)
        for file in sorted(os.listdir(folder / part / name))
        if not file.startswith(".")
    )


def _names(ids: Sequence[str], name_of: Mapping[str, str], source: Path) -> tuple[str, ...]:
    unknown = [wordnet_id for wordnet_id in ids if wordnet_id not in name_of]
    if unknown:
        raise InputError(
            f"{source} has no name for {counted(len(unknown), 'class folder')} (first: {unknown[0]})"
        )
    return tuple(name_of[wordnet_id] for wordnet_id in ids)
