"""Which images lie in a folder of photos, in which class and part; whatever is left out is kept with the reason."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from natsort import natsorted

from examples.protocol.data.reading import is_image
from sar_reg.errors import InputError, counted

PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of folders above the class folders, in any case."""

SYSTEM = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"})
OUR_FILES = frozenset({"names.csv"})

ByClass = dict[str, list[str]]
"""Paths below the root, in natural order, by the name of their class folder on the disk."""


@dataclass
class Photos:
    """What a folder holds.

    Attributes:
        root: where the paths start; or below the folder that was passed, if it contains only one folder.
        parts: images by part (`train`, `val`, `test`) and class folder; under `all` if there are no parts.
        skipped: how many files were left out, by reason.
        notes: what else a user should know.
    """

    root: Path
    parts: dict[str, ByClass] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def folders(self) -> list[str]:
        """Class folders of all parts that hold images, in natural order of their composed (NFC) names."""
        found = {name for images in self.parts.values() for name in images}
        return natsorted(found, key=composed)


def composed(name: str) -> str:
    """The name in Unicode's composed form: macOS hands out accents as characters of their own."""
    return unicodedata.normalize("NFC", name)


def list_photos(folder: Path) -> Photos:
    """Look through a folder; images are listed, not opened.

    The first folder below the root (or below `train`, `val` and `test`) is the class; images may lie deeper.

    Raises:
        InputError: two folders for one part, such as `train` and `Train`.
    """
    photos = Photos(folder)
    while len(below := _folders(photos.root)) == 1 and not _images_in(photos.root) and _folders(below[0]):
        photos.root = below[0]
        photos.notes.append(f"everything lies in {below[0]}: that folder is read")
    parts = _parts(photos.root, below)
    if not parts:
        photos.parts["all"] = _classes(photos, photos.root)
        return photos
    for part, name in parts.items():
        found = _classes(photos, photos.root / name)
        if found:
            photos.parts[part] = found
    for other in below:
        if other.name not in parts.values():
            photos.skipped[f"in {other.name}, which is beside the folders {', '.join(parts.values())}"] += (
                sum(len(files) for _, files in _walk(other))
            )
    _count_loose(photos, photos.root)
    photos.skipped = +photos.skipped
    return photos


def list_images(folder: Path) -> list[Path]:
    """All images below a folder in natural order; what `list_photos` would leave out is left out."""
    found = [place / file for place, files in _walk(folder) for file in files if not _why_not(file)]
    return natsorted(found, key=lambda path: composed(str(path)))


def _parts(root: Path, folders: list[Path]) -> dict[str, str]:
    """The folder of each part, if there is one to train on and another to test on."""
    found: dict[str, str] = {}
    for folder in folders:
        for part, names in PARTS.items():
            if folder.name.casefold() in names:
                if part in found:
                    raise InputError(
                        f"{root} holds {found[part]} and {folder.name}, two folders of {part} images; "
                        "move the images into one of them"
                    )
                found[part] = folder.name
    return (
        {part: found[part] for part in PARTS if part in found} if "train" in found and len(found) > 1 else {}
    )


def _classes(photos: Photos, folder: Path) -> ByClass:
    classes: ByClass = {}
    for class_folder in _folders(folder):
        images: list[str] = []
        deep = 0
        for place, files in _walk(class_folder):
            for file in files:
                reason = _why_not(file)
                if reason:
                    photos.skipped[reason] += 1
                else:
                    images.append((place / file).relative_to(photos.root).as_posix())
                    deep += place != class_folder
        if deep:
            photos.notes.append(f"{class_folder.name} includes {counted(deep, 'image')} in folders below it")
        if images:
            classes[class_folder.name] = natsorted(images, key=composed)
        else:
            photos.notes.append(f"{class_folder} holds no images: it is not a class")
    _count_loose(photos, folder)
    return classes


def _count_loose(photos: Photos, folder: Path) -> None:
    for entry in os.scandir(folder):
        if entry.is_file() and entry.name not in OUR_FILES:
            photos.skipped[_why_not(entry.name) or f"in no class folder, but in {folder.name} itself"] += 1
        elif entry.is_dir() and _is_system(entry.name):
            photos.skipped[_why_not(entry.name)] += sum(
                len(files) for _, files in _walk(Path(entry.path), system=True)
            )


def _why_not(name: str) -> str:
    """Why a file is left out; empty for an image."""
    if _is_system(name):
        return "hidden or made by the system"
    ending = os.path.splitext(name)[1].lower()
    if is_image(name):
        return ""
    if ending in (".heic", ".heif"):
        return f"ending in {ending}, which is not read: export as JPEG"
    return f"ending in {ending}, which is not an image" if ending else "without an ending"


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.casefold() in SYSTEM


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [
        Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not _is_system(entry.name)
    ]
    return natsorted(found, key=lambda path: composed(path.name))


def _images_in(folder: Path) -> bool:
    return any(entry.is_file() and not _why_not(entry.name) for entry in os.scandir(folder))


def _walk(folder: Path, *, system: bool = False) -> list[tuple[Path, list[str]]]:
    """Folders below and their files; links are followed once, hidden folders only on request."""
    seen: set[str] = set()
    places: list[tuple[Path, list[str]]] = []
    for place, names, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = [name for name in sorted(names) if system or not _is_system(name)]
        places.append((Path(place), sorted(files)))
    return places
