"""What a data set is here, the base/new rule and the few-shot draw of the CoOp benchmark."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from sar_reg.class_names import spoken
from sar_reg.errors import InputError, counted

VAL_SHOTS = 4


@dataclass(frozen=True, slots=True)
class Example:
    """One image and its label.

    `source` is a path relative to the data set's root, or an icon's id; `scene` seeds the testbed's pictures.
    """

    source: str
    label: int
    scene: int = 0


class Dataset(Protocol):
    """Class names in label order, three lists of examples, and a way to open one of them."""

    @property
    def key(self) -> str: ...
    @property
    def classnames(self) -> tuple[str, ...]: ...
    @property
    def train(self) -> tuple[Example, ...]: ...
    @property
    def val(self) -> tuple[Example, ...]: ...
    @property
    def test(self) -> tuple[Example, ...]: ...

    def image(self, example: Example) -> Image.Image:
        """Open the example's picture in RGB, at its own size."""
        ...


@dataclass(frozen=True)
class Subset:
    """Some examples or classes of `parent`, which still opens the images."""

    parent: Dataset
    classnames: tuple[str, ...]
    train: tuple[Example, ...]
    val: tuple[Example, ...]
    test: tuple[Example, ...]

    @property
    def key(self) -> str:
        """The parent's key."""
        return self.parent.key

    def image(self, example: Example) -> Image.Image:
        """Open the example's picture; its label plays no part, so relabelled examples are fine."""
        return self.parent.image(example)


def few_shot(dataset: Dataset, shots: int, seed: int) -> Subset:
    """Draw `shots` training and min(shots, 4) validation examples of every class, as the benchmark does.

    Python's generator is seeded with `seed`; classes come in order of their first appearance in the list; a
    class with fewer examples keeps them all without a draw; train is drawn before val. A data set whose val is its
    test list (ImageNet) keeps it whole. Draw from **all** classes, then call `base_new_split`.

    Args:
        dataset: the complete data set; test is left as it is.
        shots: examples a class, at least 1.
        seed: the run's seed, 1, 2 or 3 in the paper's tables.

    Raises:
        InputError: `shots` below 1.
    """
    if shots < 1:
        raise InputError(
            f"few_shot needs shots of at least 1, got {shots}; use the data set itself for all of it"
        )
    rng = random.Random(seed)
    train = _draw(dataset.train, shots, rng)
    val = dataset.val if dataset.val == dataset.test else _draw(dataset.val, min(shots, VAL_SHOTS), rng)
    return Subset(dataset, dataset.classnames, train, val, dataset.test)


def _draw(examples: Iterable[Example], shots: int, rng: random.Random) -> tuple[Example, ...]:
    by_label: dict[int, list[Example]] = {}
    for example in examples:
        by_label.setdefault(example.label, []).append(example)
    drawn: list[Example] = []
    for items in by_label.values():
        drawn += rng.sample(items, shots) if len(items) >= shots else items
    return tuple(drawn)


def base_new_split(dataset: Dataset, base_classes: Collection[str] | None = None) -> tuple[Subset, Subset]:
    """Split a data set into base and new classes, labels counted from 0 in each.

    The benchmark's rule: of the n labels of the training list, sorted, the first ceil(n / 2) are base.

    Args:
        dataset: all classes.
        base_classes: names that are base instead of the first half (a user's own data); label order is kept,
            "_" equals a space, and classes without training images are new.

    Raises:
        InputError: a name of `base_classes` that the data set lacks, classes with test images alone where no
            `base_classes` are given, or nothing left on one of the two sides.
    """
    trained = sorted({example.label for example in dataset.train})
    if base_classes is None:
        _check_all_trained(dataset, trained)
        labels = trained
        base = trained[: math.ceil(len(trained) / 2)]
    else:
        labels = list(range(len(dataset.classnames)))
        base = _labels_of(dataset, trained, base_classes)
    new = [label for label in labels if label not in set(base)]
    if not base or not new:
        raise InputError(
            f"{dataset.key} cannot be split into {len(base)} base and {counted(len(new), 'new class')}: "
            "each side needs at least one"
        )
    return _only(dataset, base), _only(dataset, new)


def _check_all_trained(dataset: Dataset, trained: Sequence[int]) -> None:
    untrained = {example.label for example in dataset.test} - set(trained)
    if trained and untrained:
        names = ", ".join(dataset.classnames[label] for label in sorted(untrained)[:5])
        raise InputError(
            f"{dataset.key} has {counted(len(untrained), 'class')} without training images, such as {names}. Classes "
            "without them are new, so the first half of the others is not all that is base. Name the base classes: "
            "--base-classes FILE"
        )


def _labels_of(dataset: Dataset, trained: Sequence[int], names: Collection[str]) -> list[int]:
    labels_of: dict[str, list[int]] = {}
    for label in trained:
        labels_of.setdefault(spoken(dataset.classnames[label]), []).append(label)
    unknown = [name for name in names if spoken(name) not in labels_of]
    if unknown:
        raise InputError(
            f"base classes that {dataset.key} has no training images of: {', '.join(unknown)}. "
            f"Its classes are written like {', '.join(sorted(labels_of)[:3])}; correct the list"
        )
    return sorted({label for name in names for label in labels_of[spoken(name)]})


def _only(dataset: Dataset, labels: Sequence[int]) -> Subset:
    new_label = {label: number for number, label in enumerate(labels)}

    def keep(examples: Iterable[Example]) -> tuple[Example, ...]:
        return tuple(
            Example(example.source, new_label[example.label], example.scene)
            for example in examples
            if example.label in new_label
        )

    names = tuple(dataset.classnames[label] for label in labels)
    return Subset(dataset, names, keep(dataset.train), keep(dataset.val), keep(dataset.test))


def fingerprint(dataset: Dataset) -> str:
    """Sha256 over key, class names and the three lists (not the pixels): equal for equal experiments."""
    lists = [
        [(e.source, e.label, e.scene) for e in part] for part in (dataset.train, dataset.val, dataset.test)
    ]
    content = json.dumps([dataset.key, dataset.classnames, *lists], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()
