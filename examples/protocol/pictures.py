"""The picture of a comparison: class similarities, handcrafted against learned, and the accuracies."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from examples.protocol.table import Row
from sar_reg.errors import require
from sar_reg.files import write_atomic
from sar_reg.shapes import Float, Tensor

INK, PAPER = "#1b1b1b", "#ffffff"
COLOURS = ("#9a9a9a", "#d1495b", "#2e6f95")


def draw_comparison(
    path: Path, maps: Sequence[tuple[str, Float[Tensor, "classes width"]]], n_base: int, rows: Sequence[Row]
) -> Path:
    """Draw a heat map of cosines for each set of features, and bars of Base, New and H.

    Args:
        path: PNG to write.
        maps: title and text features of base and new classes; the first is the handcrafted one, with which
            the others are compared.
        n_base: how many of the classes are base; a line marks the border.
        rows: accuracies, one group of bars each.
    """
    plt = pyplot()
    figure = plt.figure(figsize=(4 * len(maps) + 4.6, 4.3), facecolor=PAPER, layout="constrained")
    axes = figure.subplots(1, len(maps) + 1, width_ratios=[*[1] * len(maps), 1.15])
    cosines = [(title, _cosines(features)) for title, features in maps]
    off_diagonal = ~torch.eye(len(cosines[0][1]), dtype=torch.bool)
    scale = cosines[0][1][off_diagonal]
    limits = scale.quantile(0.02).item(), scale.quantile(0.995).item()
    image = None
    for axis, (title, cosine) in zip(axes, cosines, strict=False):
        image = axis.imshow(cosine, cmap="magma", vmin=limits[0], vmax=limits[1], interpolation="nearest")
        axis.set_title(title, fontsize=11, color=INK)
        axis.axhline(n_base - 0.5, color="white", linewidth=0.8)
        axis.axvline(n_base - 0.5, color="white", linewidth=0.8)
        middle = [n_base / 2, (n_base + len(cosine)) / 2]
        axis.set_xticks(middle, ["base", "new"])
        axis.set_yticks(middle, ["base", "new"], rotation=90, va="center")
        axis.tick_params(length=0)
        if cosine is not cosines[0][1]:
            change = (cosine - cosines[0][1])[off_diagonal].abs().mean().item()
            axis.set_xlabel(f"mean change of a cosine: {change:.3f}", fontsize=9)
    figure.colorbar(image, ax=axes[len(maps) - 1], shrink=0.75, label="cosine of two classes")
    _bars(axes[-1], rows)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return write_atomic(path, buffer.getvalue())


def _bars(axis: Any, rows: Sequence[Row]) -> None:
    names = ("base", "new", "h")
    width = 0.8 / len(rows)
    for number, row in enumerate(rows):
        left = [i + (number - (len(rows) - 1) / 2) * width for i in range(len(names))]
        heights = [row.values[name] for name in names]
        spread = [row.values[f"{name}_std"] if row.seeds > 1 else 0.0 for name in names]
        colour = COLOURS[number % len(COLOURS)]
        axis.bar(
            left, heights, width * 0.94, yerr=spread, color=colour, label=row.title, ecolor=INK, capsize=2
        )
        for x, height, error in zip(left, heights, spread, strict=True):
            axis.text(x, height + error + 0.8, f"{height:.1f}", ha="center", fontsize=8, color=INK)
    values = [row.values[name] for row in rows for name in names]
    axis.set_ylim(max(0.0, min(values) - 15), min(105.0, max(values) + 12))
    axis.set_xticks(range(len(names)), ["Base", "New", "H"])
    axis.set_ylabel("accuracy in percent")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9, loc="upper center", ncols=len(rows))


def _cosines(features: Tensor) -> Tensor:
    rows = normalize(features.detach().float().cpu(), dim=-1)
    return rows @ rows.T


def pyplot() -> Any:
    """Matplotlib's pyplot, drawing without a display."""
    matplotlib = require("matplotlib", extra="examples")
    matplotlib.use("Agg")
    return require("matplotlib.pyplot", extra="examples")
