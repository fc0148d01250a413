"""The facts about each data set, read from catalogue.toml, and where its files lie under a root."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sar_reg.errors import InputError, did_you_mean

Form = Literal["json", "aircraft", "imagenet", "imagenetv2", "wordnet_ids"]

TABLE_3 = (
    *("imagenet", "caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101"),
    *("fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101"),
)
SHIFTED = ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")


@dataclass(frozen=True)
class CatalogueEntry:
    """One table of catalogue.toml; the fields are explained at its top."""

    key: str
    title: str
    form: Form
    folders: tuple[str, ...]
    images: tuple[str, ...]
    split: str
    classes: int
    counts: tuple[int, int, int]
    origin: str
    gigabytes: float = 0.0
    licence: str = ""
    needs: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)
    torchvision: str = ""
    drive: str = ""
    mirror: str = ""
    mirror_sha256: str = ""
    zero_shot: tuple[float, float] | None = None

    def find_images(self, root: Path) -> Path | None:
        """The folder that the paths of the split start from, or None."""
        for folder in self._folders(root):
            if all((folder / name).is_dir() for name in (*self.needs, ".")):
                for name in self.images:
                    if (folder / name).is_dir():
                        return folder / name
        return None

    def find_split(self, root: Path) -> Path | None:
        """The split file (for aircraft and ImageNet: the list of class names), or None."""
        places = [*self._folders(root), *([root / "imagenet"] if self.key in SHIFTED else [])]
        return next((place / self.split for place in places if (place / self.split).is_file()), None)

    def home(self, root: Path) -> Path:
        """The data set's folder in the benchmark's own layout, whether it exists or not."""
        return root / self.folders[0]

    def _folders(self, root: Path) -> Iterator[Path]:
        return (root / folder for folder in self.folders)


@cache
def catalogue() -> Mapping[str, CatalogueEntry]:
    """All data sets by key, in the catalogue's order."""
    tables = tomllib.loads((Path(__file__).parent / "catalogue.toml").read_text("utf-8"))
    return {key: CatalogueEntry(key=key, **_fields(table)) for key, table in tables.items()}


def _fields(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}


def entry_of(key: str) -> CatalogueEntry:
    """The data set called `key`.

    Raises:
        InputError: no such data set; the message lists them.
    """
    if key not in catalogue():
        raise InputError(
            f'no data set is called "{key}"; known are {", ".join(catalogue())}{did_you_mean(key, catalogue())}'
        )
    return catalogue()[key]
