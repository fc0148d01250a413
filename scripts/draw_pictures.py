"""Draw the pictures of README and docs from the run records and from learned tensors.

python -m examples.coop --dataset animals          # leaves learned tensors in runs/
python scripts/draw_pictures.py --runs runs
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch.nn.functional import normalize

from examples.protocol.cli.look import open_comparable
from examples.protocol.cli.pictures import COLOURS, INK, pyplot
from examples.protocol.cli.table import ResultRow, of_method, rows_of
from examples.protocol.runs.archive import read_records
from sar_reg.errors import InputError, require
from sar_reg.files import write_atomic
from sar_reg.shapes import Float, Tensor

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "examples" / "paper" / "results" / "methods.jsonl"
SHOWN_SEED, NEAREST = 1, 5
KEPT, LOST = "#2e6f95", "#d1495b"

Features = Float[Tensor, "classes width"]


def main() -> None:
    """Write the three pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs on animals")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="folder for the PNG files")
    options = parser.parse_args()
    draw_new_classes(options.out / "new_classes.png", rows_of(of_method(read_records(RECORDS), "CoOp")))
    names, n_base, texts = learned_texts(options.runs)
    draw_neighbours(options.out / "neighbours.png", names, n_base, texts)
    draw_similarities(options.out / "similarities.png", names, texts)


def draw_new_classes(path: Path, rows: Sequence[ResultRow]) -> None:
    """Bars of the accuracy on new classes, three for each data set."""
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    titles = list(dict.fromkeys(row.title for row in rows))
    values = {(row.dataset, row.title): row.values for row in rows}
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(9.6, 3.6), layout="constrained")
    for number, (title, colour) in enumerate(zip(titles, COLOURS, strict=True)):
        left = [place + (number - 1) * 0.27 for place in range(len(datasets))]
        heights = [values[dataset, title]["new"] for dataset in datasets]
        axis.bar(left, heights, 0.25, color=colour, label=title)
        for x, height in zip(left, heights, strict=True):
            axis.text(x, height + 1, f"{height:.0f}", ha="center", fontsize=9, color=INK)
    axis.set_xticks(range(len(datasets)), datasets, fontsize=11)
    axis.set_yticks([])
    axis.set_ylim(0, 100)
    axis.set_title(
        "Accuracy on classes without training images (percent)", fontsize=12, color=INK, loc="left"
    )
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(length=0)
    axis.legend(frameon=False, fontsize=11, ncols=3, loc="upper right")
    shown = {f"{d}, {title}": round(values[d, title]["new"], 1) for d in datasets for title in titles}
    _save(figure, path, shown)


def learned_texts(folder: Path) -> tuple[tuple[str, ...], int, dict[str, Features]]:
    """Names, number of base classes, and text features: handcrafted, CoOp's, and CoOp's with SAR."""
    texts: dict[str, Features] = {}
    for pattern in (f"animals-coop-seed{SHOWN_SEED}-*.json", f"animals-coop-sar-seed{SHOWN_SEED}-*.json"):
        found = sorted(folder.glob(pattern))
        if not found:
            raise InputError(
                f"{folder} has no {pattern}; make it with: python -m examples.coop --out {folder}"
            )
        run = open_comparable(found[-1], torch.device("cpu"))
        method = run.method(run.classnames)
        with torch.no_grad():
            texts.setdefault("zero-shot CLIP", run.handcrafted_rows(method))
            texts[run.config.title] = method.encode_text()
    return run.classnames, len(run.trained), texts


def draw_neighbours(path: Path, names: Sequence[str], n_base: int, texts: dict[str, Features]) -> None:
    """The nearest classes of one new class by name, for each kind of prompt."""
    nearest = {title: _nearest(text) for title, text in texts.items()}
    before = nearest["zero-shot CLIP"]
    kept = {
        title: mean(len(before[i] & nearest[title][i]) for i in range(n_base, len(names)))
        for title in nearest
    }
    shown = _typical(range(n_base, len(names)), nearest, kept, texts["zero-shot CLIP"])
    figure = pyplot().figure(figsize=(7.0, 3.4), layout="constrained")
    axis = figure.subplots()
    axis.set_axis_off()
    axis.set_xlim(0, 3)
    axis.set_ylim(-1.3, NEAREST + 1.2)
    axis.set_title(
        f"The classes nearest to “{names[shown]}”, a class without training images", loc="left", fontsize=13
    )
    for column, (title, text) in enumerate(texts.items()):
        axis.text(column + 0.05, NEAREST + 0.35, title, fontsize=15, weight="bold", color=INK)
        for line, other in enumerate(_in_order(text, shown)):
            colour = KEPT if other in before[shown] else LOST
            mark = "" if column == 0 else "✓ " if other in before[shown] else "✗ "
            axis.text(
                column + 0.05, NEAREST - 0.55 - line, f"{mark}{names[other]}", fontsize=15, color=colour
            )
        if column:
            axis.text(
                column + 0.05,
                -1.0,
                f"keeps {kept[title]:.1f} of {NEAREST} on average",
                fontsize=11.5,
                color=INK,
            )
    _save(figure, path, {title: round(value, 1) for title, value in kept.items()})


def draw_similarities(path: Path, names: Sequence[str], texts: dict[str, Features]) -> None:
    """Similarities of all pairs of classes, and what learning changed; similar classes stand together."""
    hierarchy = require("scipy.cluster.hierarchy", extra="examples")
    cosines = {title: _relative_cosines(text) for title, text in texts.items()}
    before = cosines["zero-shot CLIP"]
    tree = hierarchy.linkage(
        _centred(texts["zero-shot CLIP"]).numpy(), "average", metric="cosine", optimal_ordering=True
    )
    order = torch.from_numpy(hierarchy.leaves_list(tree).copy()).long()
    sizes = {title: round(float((c - before).abs().nanmean()), 2) for title, c in cosines.items()}
    figure = pyplot().figure(figsize=(9.6, 6.2), layout="constrained")
    axes = figure.subplots(2, 3)
    for (title, cosine), top, bottom in zip(cosines.items(), *axes, strict=True):
        shown = _heat(top, cosine, order, "RdBu_r")
        top.set_title(title, fontsize=11)
        if title == "zero-shot CLIP":
            bottom.set_axis_off()
            bottom.text(0.95, 0.5, "what training changed:", ha="right", va="center", fontsize=12)
            continue
        change = _heat(bottom, cosine - before, order, "PuOr_r")
        bottom.set_title(f"by {sizes[title]:.2f} on average", fontsize=11)
    figure.colorbar(shown, ax=axes[0], shrink=0.8, label="cosine minus row mean")
    figure.colorbar(change, ax=axes[1], shrink=0.8, label="change")
    _save(figure, path, sizes)


def _heat(axis: Any, values: Tensor, order: Tensor, colours: str) -> Any:
    axis.set_xticks([])
    axis.set_yticks([])
    return axis.imshow(values[order][:, order].numpy(), cmap=colours, vmin=-0.4, vmax=0.4)


def _centred(features: Features) -> Features:
    rows = normalize(features.float(), dim=1)
    return normalize(rows - rows.mean(dim=0), dim=1)


def _relative_cosines(features: Features) -> Float[Tensor, "classes classes"]:
    """Cosines minus the mean of their row, which a softmax over the row does not see; the diagonal is empty."""
    rows = normalize(features.float(), dim=1)
    cosines = (rows @ rows.T).fill_diagonal_(float("nan"))
    return cosines - cosines.nanmean(dim=1, keepdim=True)


def _in_order(features: Features, row: int) -> list[int]:
    rows = normalize(features.float(), dim=1)
    return (rows @ rows.T).fill_diagonal_(-2)[row].topk(NEAREST).indices.tolist()


def _nearest(features: Features) -> list[set[int]]:
    return [set(_in_order(features, row)) for row in range(len(features))]


def _typical(
    new: Sequence[int], nearest: dict[str, list[set[int]]], kept: dict[str, float], text: Features
) -> int:
    """Of the new classes that keep the average number of neighbours, the one whose neighbours CoOp changes most."""
    before, after = nearest["zero-shot CLIP"], nearest["CoOp"]
    typical = [
        i for i in new if all(len(before[i] & nearest[title][i]) == round(kept[title]) for title in nearest)
    ]
    cosines = _relative_cosines(text)

    def change(i: int) -> float:
        lost, found = sorted(before[i] - after[i]), sorted(after[i] - before[i])
        return float(cosines[i, lost].mean() - cosines[i, found].mean())

    return max(typical, key=change)


def _save(figure: Any, path: Path, shown: dict[str, float]) -> None:
    """Write the picture with the numbers that it shows, so that a test can compare them with the records."""
    buffer = io.BytesIO()
    metadata = {"Software": None, "Comment": json.dumps(shown)}
    figure.savefig(buffer, format="png", dpi=120, metadata=metadata)
    pyplot().close(figure)
    write_atomic(path, buffer.getvalue())


if __name__ == "__main__":
    main()
