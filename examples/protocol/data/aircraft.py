"""FGVC Aircraft, which comes with its split: variants.txt and images_variant_{train,val,test}.txt."""

from __future__ import annotations

from pathlib import Path

from examples.protocol.data.dataset import Example
from examples.protocol.data.file_dataset import FileDataset
from sar_reg.errors import InputError


def read(key: str, variants: Path, folder: Path) -> FileDataset:
    """Read the variant lists beside `variants`; labels are line numbers of variants.txt.

    Raises:
        InputError: a list is missing, or names a variant that variants.txt lacks.
    """
    classnames = tuple(line.strip() for line in variants.read_text("utf-8").splitlines() if line.strip())
    label_of = {name: label for label, name in enumerate(classnames)}
    train, val, test = (
        _examples(variants.parent / f"images_variant_{part}.txt", label_of)
        for part in ("train", "val", "test")
    )
    return FileDataset(key, folder, classnames, train, val, test)


def _examples(listed: Path, label_of: dict[str, int]) -> tuple[Example, ...]:
    if not listed.is_file():
        raise InputError(
            f"{listed} is missing; it belongs to the archive fgvc-aircraft-2013b, folder data. "
            "Copy all its .txt files"
        )
    rows = [line.strip().partition(" ") for line in listed.read_text("utf-8").splitlines() if line.strip()]
    unknown = sorted({name for _, _, name in rows} - set(label_of))
    if unknown:
        raise InputError(f"{listed} names variants that variants.txt lacks: {', '.join(unknown[:3])}")
    return tuple(Example(f"{number}.jpg", label_of[name]) for number, _, name in rows)
