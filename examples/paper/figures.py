"""Figures 3, 4 and 5: bars and curves over accuracies."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path
from typing import Any

from examples.paper.layouts import LAYOUTS
from examples.paper.results import Accuracies, Runs
from examples.paper.sweep import Sweep
from examples.protocol.cli.pictures import COLOURS, pyplot
from sar_reg.files import write_atomic

NAMES = {"base": "Base", "new": "New", "h": "H"}


def draw_bars(sweep: Sweep, runs: Runs, folder: Path) -> list[Path]:
    """Base, New and H, averaged over the data sets, for each variant (figures 3 and 5); empty if a run is missing."""
    accuracies = Accuracies(runs)
    variants = list(sweep.variants)
    values: dict[tuple[str, str], list[float]] = {}
    for method, variant in product(sweep.methods, variants):
        row = [accuracies.mean("average", method, variant, metric) for metric in NAMES]
        values[method, variant] = [value for value in row if value is not None]
        if len(values[method, variant]) < len(row):
            return []
    plt = pyplot()
    width = max(4.8, 1.2 + 0.75 * len(variants)) * len(sweep.methods)
    figure, axes = plt.subplots(
        1, len(sweep.methods), figsize=(width, 3.6), layout="constrained", squeeze=False
    )
    known = [value for row in values.values() for value in row]
    for axis, method in zip(axes[0], sweep.methods, strict=True):
        step = 0.8 / len(variants)
        for number, variant in enumerate(variants):
            left = [i + (number - (len(variants) - 1) / 2) * step for i in range(len(NAMES))]
            heights = values[method, variant]
            shade = 0.25 + 0.75 * number / max(1, len(variants) - 1)
            label = LAYOUTS[sweep.name].label(method, variant).removeprefix(f"{method}, ")
            axis.bar(left, heights, step * 0.92, label=label, color=COLOURS[2], alpha=shade)
            for x, height in zip(left, heights, strict=True):
                axis.text(x, height + 0.3, f"{height:.1f}", ha="center", fontsize=7)
        axis.set_title(method)
        axis.set_xticks(range(len(NAMES)), NAMES.values())
        axis.set_ylim(max(0.0, min(known) - 8), max(known) + 6)
        axis.set_ylabel("accuracy in percent")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8, ncols=3, loc="upper center")
    return save(figure, folder / sweep.name)


def draw_weights(sweep: Sweep, runs: Runs, folder: Path) -> list[Path]:
    """Accuracy, and the SAR loss over all classes after training, against λ (figure 4)."""
    accuracies = Accuracies(runs)
    method, weights = sweep.methods[0], list(sweep.variants)
    curves = {
        name: [accuracies.mean("average", method, weight, metric) for weight in weights]
        for metric, name in NAMES.items()
    }
    losses = [accuracies.sar_loss("average", method, weight) for weight in weights]
    if any(value is None for values in (*curves.values(), losses) for value in values):
        return []
    plt = pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
    x = [float(weight) for weight in weights]
    for (name, values), colour in zip(curves.items(), COLOURS, strict=True):
        left.plot(x, values, marker="o", label=name, color=colour)
    left.set_ylabel("accuracy in percent")
    left.legend(frameon=False)
    right.plot(x, losses, marker="o", color=COLOURS[2])
    right.set_ylabel("SAR loss after training")
    for axis in (left, right):
        axis.set_xlabel("weight λ")
        axis.spines[["top", "right"]].set_visible(False)
    return save(figure, folder / sweep.name)


def save(figure: Any, stem: Path) -> list[Path]:
    """Write a figure as PNG and PDF and close it."""
    written = []
    for ending in ("png", "pdf"):
        buffer = io.BytesIO()
        # no date in the file, so that the same runs produce the same bytes
        date = {"CreationDate": None} if ending == "pdf" else {"Software": None}
        figure.savefig(buffer, format=ending, dpi=130, metadata=date)
        written.append(write_atomic(stem.with_suffix(f".{ending}"), buffer.getvalue()))
    pyplot().close(figure)
    return written
