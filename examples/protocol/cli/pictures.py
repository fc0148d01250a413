"""The picture of a comparison: class similarities, handcrafted against learned, and the accuracies."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn.functional import normalize

from examples.protocol.cli.table import ResultRow
from sar_reg import similarity_alignment_loss
from sar_reg.errors import require
from sar_reg.files import write_atomic
from sar_reg.shapes import Float, Tensor

INK, PAPER = "#1b1b1b", "#ffffff"
COLOURS = ("#9a9a9a", "#d1495b", "#2e6f95")


def draw_comparison(
    path: Path,
    maps: Sequence[tuple[str, Float[Tensor, "classes width"]]],
    n_base: int,
    rows: Sequence[ResultRow],
    *,
    temperature: float,
) -> Path:
    """Draw a heat map of class similarities for each set of features, and bars of Base, New and H.

    A heat map shows each cosine minus the mean of its row, since a softmax over a row, and so SAR, does not
    see what all its entries share.

    Args:
        path: PNG to write.
        maps: title and text features of base and new classes; the first is the handcrafted one, with which
            the others are compared.
        n_base: how many of the classes are base; a line marks the border.
        rows: accuracies, one group of bars each.
        temperature: CLIP's τ.
    """
    plt = pyplot()
    figure = plt.figure(figsize=(3.6 * len(maps) + 4.8, 4.2), facecolor=PAPER, layout="constrained")
    axes = figure.subplots(1, len(maps) + 1, width_ratios=[*[1] * len(maps), 1.25])
    handcrafted = maps[0][1]
    limit = float(np.nanquantile(np.abs(_relative_cosines(handcrafted)), 0.98))
    shown = None
    for axis, (title, features) in zip(axes, maps, strict=False):
        shown = axis.imshow(_relative_cosines(features), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.set_title(title, fontsize=11, color=INK)
        _mark_border(axis, n_base, len(features))
        if features is not handcrafted:
            gap = similarity_alignment_loss(features, handcrafted, temperature=temperature)
            axis.set_xlabel(f"KL from the handcrafted rows: {gap.item():.2f}", fontsize=9)
    figure.colorbar(shown, ax=axes[len(maps) - 1], shrink=0.75, label="cosine minus mean of its row")
    _bars(axes[-1], rows)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return write_atomic(path, buffer.getvalue())


def _relative_cosines(features: Float[Tensor, "classes width"]) -> np.ndarray:
    """Cosines of all pairs minus the mean of their row; the diagonal, which SAR leaves out, is empty."""
    rows = normalize(features.detach().float().cpu(), dim=-1)
    cosines = (rows @ rows.T).fill_diagonal_(float("nan"))
    return np.asarray((cosines - cosines.nanmean(dim=1, keepdim=True)).numpy())


def _mark_border(axis: Any, n_base: int, n: int) -> None:
    axis.axhline(n_base - 0.5, color=INK, linewidth=0.8)
    axis.axvline(n_base - 0.5, color=INK, linewidth=0.8)
    middle = [n_base / 2, (n_base + n) / 2]
    axis.set_xticks(middle, ["base", "new"])
    axis.set_yticks(middle, ["base", "new"], rotation=90, va="center")
    axis.tick_params(length=0)


def _bars(axis: Any, rows: Sequence[ResultRow]) -> None:
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


def pyplot() -> Any:
    """Matplotlib's pyplot, drawing without a display."""
    matplotlib = require("matplotlib", extra="examples")
    matplotlib.use("Agg")
    return require("matplotlib.pyplot", extra="examples")
