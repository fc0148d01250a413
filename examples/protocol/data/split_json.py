"""The benchmark's split files: `{"train" | "val" | "test": [[path, label, class name], ...]}`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from examples.protocol.data.dataset import Example
from examples.protocol.data.file_dataset import FileDataset
from sar_reg.errors import InputError, counted

PARTS = ("train", "val", "test")


def read(key: str, split: Path, folder: Path) -> FileDataset:
    """Read a split file as it is: order, labels and class names are the file's; labels may start at 0 or 1.

    Args:
        key: the data set's key.
        split: the JSON file.
        folder: the images' folder, which the file's paths start from.

    Raises:
        InputError: not JSON of that form, labels with gaps, a label with two names, or a path out of the folder.
    """
    try:
        content = json.loads(split.read_text("utf-8-sig"))
        lists = {part: content[part] for part in ("train", "test")} | {"val": content.get("val", [])}
        rows = {
            part: [(str(path), int(label), str(name)) for path, label, name in lists[part]] for part in PARTS
        }
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{split} is not a split file ({type(error).__name__}: {error}). Expected an object with the lists "
            "train, test and (if you like) val of [path, label, class name]; fetch the file again"
        ) from error
    everything = [row for part in PARTS for row in rows[part]]
    _check_paths(split, everything)
    first = 1 if min((label for _, label, _ in everything), default=0) == 1 else 0
    classnames = _classnames(split, [(path, label - first, name) for path, label, name in everything])
    train, val, test = (
        tuple(Example(path, label - first) for path, label, _ in rows[part]) for part in PARTS
    )
    return FileDataset(key, folder, classnames, train, val, test)


def _check_paths(split: Path, rows: Iterable[tuple[str, int, str]]) -> None:
    for path, _, _ in rows:
        parts = path.replace("\\", "/").split("/")
        if ".." in parts or parts[0] in ("", "~") or ":" in parts[0]:
            raise InputError(
                f"{split}: the path {path!r} leads out of the images' folder; write paths below the folder"
            )


def _classnames(split: Path, rows: Iterable[tuple[str, int, str]]) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for path, label, name in rows:
        if names.setdefault(label, name) != name:
            raise InputError(
                f'{split}: label {label} is called "{names[label]}" and, at {path}, "{name}". '
                "The file is damaged or edited; fetch it again"
            )
    if sorted(names) != list(range(len(names))):
        raise InputError(
            f"{split}: the labels of {counted(len(names), 'class')} are not 0 to {len(names) - 1}. "
            "The file is damaged or edited; fetch it again"
        )
    return tuple(names[label] for label in range(len(names)))
