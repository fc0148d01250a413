"""`python -m examples.protocol.cli.look RECORD`: what a finished run did to the similarities between classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch.nn.functional import normalize

from examples.protocol.cli.errors import one_line_errors, read_options
from examples.protocol.cli.pictures import draw_comparison
from examples.protocol.cli.table import rows_of
from examples.protocol.runs.finished import FinishedRun, open_finished
from sar_reg import similarity_alignment_loss
from sar_reg.checks import existing_device
from sar_reg.errors import InputError, counted
from sar_reg.shapes import Float, Tensor


@dataclass(frozen=True)
class LookOptions:
    """Compare the learned similarities of a finished run with the handcrafted ones."""

    record: Annotated[Path, tyro.conf.Positional]
    """The run's record, OUT/*.json; its learned tensors lie beside it."""
    most: int = 10
    """How many classes to list."""
    picture: Path | None = None
    """Where the picture goes; beside the record by default."""
    device: str = "cpu"
    """Where to compute."""
    json: bool = False
    """Print all classes as JSON."""


@dataclass(frozen=True)
class Moved:
    """One class: how far its similarities are from the handcrafted ones, and its neighbours before and after."""

    name: str
    side: str
    kl: float
    nearest_handcrafted: str
    nearest_learned: str


def open_comparable(path: Path, device: torch.device) -> FinishedRun:
    """The finished run of a record that has base and new classes.

    Raises:
        InputError: if it cannot be opened, or was trained on all classes.
    """
    run = open_finished(path, device)
    if run.config.source.targets or run.config.source.final:
        raise InputError(
            f"{path} was trained on all classes: there are no new ones to compare; pass another record"
        )
    return run


def moved_classes(
    names: Sequence[str],
    n_base: int,
    handcrafted: Float[Tensor, "classes width"],
    learned: Float[Tensor, "classes width"],
    temperature: float,
) -> list[Moved]:
    """KL of each class's similarities to all others, largest first: the SAR loss class by class."""
    kl = similarity_alignment_loss(learned, handcrafted, temperature=temperature, reduction="none")
    before, after = _nearest(handcrafted), _nearest(learned)
    rows = [
        Moved(name, "base" if i < n_base else "new", gap, names[before[i]], names[after[i]])
        for i, (name, gap) in enumerate(zip(names, kl.tolist(), strict=True))
    ]
    return sorted(rows, key=lambda row: -row.kl)


def _nearest(features: Tensor) -> list[int]:
    rows = normalize(features.float(), dim=1)
    return (rows @ rows.T).fill_diagonal_(-2).argmax(dim=1).tolist()


def as_text(rows: Sequence[Moved], most: int) -> str:
    """The loss's health in one line a side, then the classes that moved most; at most 80 columns."""
    lines = []
    for side in ("base", "new"):
        kl = [row.kl for row in rows if row.side == side]
        kept = sum(r.nearest_handcrafted == r.nearest_learned for r in rows if r.side == side)
        lines.append(f"{side:4}  mean KL {sum(kl) / len(kl):.3f}, largest {max(kl):.3f}; "
                     f"nearest class kept: {kept} of {counted(len(kl), 'class')}")  # fmt: skip
    lines += ["", f"{'class':22} {'':4} {'KL':>7}  {'nearest, handcrafted':20}  {'learned':20}"]
    for row in rows[:most]:
        cells = [text[:width] for text, width in ((row.nearest_handcrafted, 20), (row.nearest_learned, 20))]
        lines.append(f"{row.name[:22]:22} {row.side:4} {row.kl:7.3f}  {cells[0]:20}  {cells[1]:20}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line; mistakes of the user end in one line."""
    with one_line_errors():
        options: LookOptions = read_options(
            LookOptions, argv, prog="python -m examples.protocol.cli.look", description=LookOptions.__doc__
        )
        print(look(options))


def look(options: LookOptions) -> str:
    """Draw the picture and return the report."""
    if options.most < 0:
        raise InputError(f"--most must be 0 or more, not {options.most}")
    run = open_comparable(options.record, existing_device(options.device))
    method = run.method(run.classnames)
    with torch.no_grad():
        handcrafted, learned = run.handcrafted_rows(method), method.encode_text()
    n_base, temperature = len(run.trained), method.tower.temperature
    rows = moved_classes(run.classnames, n_base, handcrafted, learned, temperature)
    picture = options.picture or options.record.with_suffix(".png")
    maps = [("handcrafted prompts", handcrafted), (run.config.title, learned)]
    draw_comparison(picture, maps, n_base, rows_of([run.record]), temperature=temperature)
    if options.json:
        entries = [vars(row) for row in rows]
        return json.dumps({"picture": str(picture), "classes": entries}, ensure_ascii=False)
    return f"{as_text(rows, options.most)}\n\npicture: {picture}"


if __name__ == "__main__":
    main()
