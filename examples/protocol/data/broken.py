"""Images that cannot be read, all of them at once and before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from examples.protocol.data.file_dataset import FileDataset
from examples.protocol.data.reading import ImageError, read_image
from sar_reg.errors import InputError, counted

SHOWN = 5


def find_broken(root: Path, sources: Iterable[str]) -> dict[str, str]:
    """Read every image once; the reason for each that cannot be read, by its path below `root`."""
    ordered = list(dict.fromkeys(sources))
    with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
        reasons = pool.map(lambda source: _reason(root / source), ordered)
        return {source: reason for source, reason in zip(ordered, reasons, strict=True) if reason}


def _reason(path: Path) -> str:
    try:
        read_image(path, quick=True)
    except (ImageError, OSError) as error:
        return str(error)
    return ""


def without_broken(dataset: FileDataset) -> FileDataset:
    """The data set without images that cannot be read; its notes list those that were left out.

    Raises:
        InputError: if that leaves a class without the training or the test images it had.
    """
    lists = (dataset.train, dataset.val, dataset.test)
    broken = find_broken(dataset.folder, (example.source for part in lists for example in part))
    if not broken:
        return dataset
    train, val, test = (tuple(e for e in part if e.source not in broken) for part in lists)
    for before, after, part in ((dataset.train, train, "training"), (dataset.test, test, "test")):
        lost = {e.label for e in before} - {e.label for e in after}
        if lost:
            names = ", ".join(dataset.classnames[label] for label in sorted(lost)[:SHOWN])
            raise InputError(
                f"no {part} image of {counted(len(lost), 'class')} can be read: {names} ({listed(broken)}); "
                "replace the images or take the classes out"
            )
    note = f"left out: {counted(len(broken), 'image')} that cannot be read: {listed(broken)}"
    return replace(dataset, train=train, val=val, test=test, notes=(*dataset.notes, note))


def listed(broken: Mapping[str, str]) -> str:
    """The first few images with their reasons."""
    shown = [f"{source} ({reason})" for source, reason in list(broken.items())[:SHOWN]]
    return ", ".join(shown) + (", …" if len(broken) > SHOWN else "")
