"""Joint accuracy: base and new classes in one list, as in practice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import normalize

from examples.protocol.evaluation import harmonic_mean, percent_equal, predict
from examples.protocol.method import PromptMethod
from sar_reg.shapes import Float, Int, Tensor


class ImageSet(NamedTuple):
    """Image features of a test set, their labels, which count from 0 in it, and its class names."""

    features: Float[Tensor, "images width"]
    labels: Int[Tensor, " images"]
    classnames: Sequence[str]


class Rows(NamedTuple):
    """Text features of the base classes and of the new ones; any length."""

    base: Float[Tensor, "base width"]
    new: Float[Tensor, "new width"]


def joint_accuracy(method: PromptMethod, base: ImageSet, new: ImageSet, rows: Rows) -> dict[str, float]:
    """Percent of base and of new images whose class wins among all classes, and H of the two."""
    together = torch.cat([normalize(part.float(), dim=1) for part in rows])
    names = [*base.classnames, *new.classnames]
    results: dict[str, float] = {}
    for name, images, first in (("base", base, 0), ("new", new, len(rows.base))):
        predicted = predict(method.classify(images.features, together), names)
        results[name] = percent_equal(predicted, images.labels + first)
    return results | {"h": harmonic_mean(results["base"], results["new"])}


def joint_results(
    method: PromptMethod, base: ImageSet, new: ImageSet, learned: Rows, handcrafted: Rows
) -> dict[str, dict[str, float]]:
    """Joint accuracies of three classifiers that can be built from a finished run.

    `learned`: learned prompts for all classes; `handcrafted_new`: handcrafted prompts for the new ones;
    `blended`: for each class the mean of its two unit rows.
    """
    blended = Rows(*(_blend(mine, theirs) for mine, theirs in zip(learned, handcrafted, strict=True)))
    classifiers: Mapping[str, Rows] = {
        "learned": learned,
        "handcrafted_new": Rows(learned.base, handcrafted.new),
        "blended": blended,
    }
    return {name: joint_accuracy(method, base, new, rows) for name, rows in classifiers.items()}


def _blend(learned: Tensor, handcrafted: Tensor) -> Tensor:
    return (normalize(learned.float(), dim=1) + normalize(handcrafted.float(), dim=1)) / 2
