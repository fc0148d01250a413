"""The downstream data sets: held-out drawings, each in many seeded scenes."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from examples.protocol.data.dataset import Example
from examples.testbed.model import DATA, normalised
from examples.testbed.scenes import Scenes, render
from sar_reg.errors import InputError

Split = Literal["scene", "style"]
DATASETS = ("animals", "food", "travel", "objects", "activities", "smileys")
DEVELOPMENT = "food"  # settings are chosen on this data set only
SCENES = {"train": 16, "val": 2, "test": 8}  # scenes per drawing in each split
DRAWING_SIZE = 48
DIFFICULTY = 0.5  # of the scenes, from 0 (plain) to 1 (hardest)
_BATCH = 256


@dataclass(frozen=True)
class IconDataset:
    """One group of concepts; each picture shows a drawing in one of its scenes.

    In the `scene` split, training and test pictures show the same drawings in different scenes. In the `style`
    split they show drawings of different styles.
    """

    key: str
    classnames: tuple[str, ...]
    train: tuple[Example, ...]
    val: tuple[Example, ...]
    test: tuple[Example, ...]
    drawings: dict[str, Tensor]  # source → (4, 48, 48) uint8, straight alpha
    novel: tuple[str, ...]

    def image(self, example: Example) -> Image.Image:
        """The example's picture, 40 by 40 in RGB."""
        return Image.fromarray(self._pixels([example])[0].permute(1, 2, 0).numpy())

    def images(self, examples: Sequence[Example]) -> Tensor:
        """Pictures of many examples at once, `(n, 3, 40, 40)` float32, normalised for the image tower.

        Equal to normalising `image` of each; about 0.3 ms a picture.
        """
        batches = [examples[start : start + _BATCH] for start in range(0, len(examples), _BATCH)]
        return torch.cat([normalised(self._pixels(batch).float() / 255) for batch in batches])

    def novel_words(self) -> list[str]:
        """Common nouns of the same kinds, nearest to the base names first; class names are excluded."""
        return list(self.novel)

    def _pixels(self, examples: Sequence[Example]) -> Tensor:
        drawings = torch.stack([self.drawings[example.source] for example in examples]).float() / 255
        pictures = render(drawings, Scenes.seeded([example.scene for example in examples], DIFFICULTY))
        return (pictures * 255).round().to(torch.uint8)


def open_dataset(name: str, *, split: Split = "scene") -> IconDataset:
    """Open one of `DATASETS`; classes sorted, so that the first half are the base classes.

    Args:
        name: the data set.
        split: `scene` tests other scenes of the training drawings, `style` drawings of other styles.

    Raises:
        InputError: for an unknown data set or split.
    """
    if name not in DATASETS:
        raise InputError(f"unknown testbed data set {name!r}: expected one of {', '.join(DATASETS)}")
    if split not in ("scene", "style"):
        raise InputError(f"unknown split {split!r}: expected 'scene' or 'style'")
    entry = _index()[name]
    labels: list[int] = entry["labels"]
    sources: list[str] = entry["sources"]
    first = {label: i for i, label in reversed(list(enumerate(labels)))}
    lists: dict[str, list[Example]] = {part: [] for part in SCENES}
    for i, (source, label) in enumerate(zip(sources, labels, strict=True)):
        for part in SCENES:
            if split == "style" and (part == "test") == (first[label] == i):
                continue
            lists[part] += [Example(source, label, scene) for scene in _scenes(name, i, part)]
    return IconDataset(
        key=name,
        classnames=tuple(entry["classnames"]),
        train=tuple(lists["train"]),
        val=tuple(lists["val"]),
        test=tuple(lists["test"]),
        drawings=dict(zip(sources, _drawings(name, len(sources)), strict=True)),
        novel=tuple(entry["novel"]),
    )


def words() -> list[str]:
    """Common nouns for things, animals, places, food and activities, in alphabetical order.

    They include class names of the data sets. Exclude these when you use the nouns as novel names.
    """
    return (DATA / "words.txt").read_text(encoding="utf-8").split("\n")[:-1]


def _scenes(name: str, drawing: int, part: str) -> range:
    """Seeds that are unique to this drawing, split and data set."""
    begin = (DATASETS.index(name) * 10_000 + drawing) * 1_000 + list(SCENES).index(part) * 100
    return range(begin, begin + SCENES[part])


@functools.cache
def _index() -> dict[str, dict[str, list[Any]]]:
    return json.loads((DATA / "datasets.json").read_text(encoding="utf-8"))


def _drawings(name: str, count: int) -> Tensor:
    """The sheet's `count` drawings, row by row: `(count, 4, 48, 48)` uint8."""
    sheet = np.asarray(Image.open(DATA / f"{name}.webp").convert("RGBA"))
    rows, columns = sheet.shape[0] // DRAWING_SIZE, sheet.shape[1] // DRAWING_SIZE
    cells = sheet.reshape(rows, DRAWING_SIZE, columns, DRAWING_SIZE, 4).transpose(0, 2, 4, 1, 3)
    return torch.from_numpy(cells.reshape(rows * columns, 4, DRAWING_SIZE, DRAWING_SIZE)[:count].copy())
