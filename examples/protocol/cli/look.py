"""`python -m examples.protocol.cli.look RECORD`: what a finished run did to the similarities between classes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch.nn.functional import normalize

from examples.protocol.cli.errors import one_line_errors
from examples.protocol.cli.pictures import draw_comparison
from examples.protocol.cli.table import rows_of
from examples.protocol.distributed import usable
from examples.protocol.recipe import Recipe
from examples.protocol.runs.config import RunConfig, Source
from examples.protocol.runs.experiment import Experiment, Setup
from examples.protocol.runs.record import Record, read_record
from examples.protocol.runs.run import Run, features_of
from sar_reg import similarity_alignment_loss
from sar_reg.errors import InputError
from sar_reg.shapes import Float, Tensor


@dataclass(frozen=True)
class Options:
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


def open_record(path: Path, device: torch.device) -> tuple[Run, Record]:
    """The finished run of a record.

    Raises:
        InputError: if it is not a record, or the learned tensors are not beside it.
    """
    record = read_record(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}; give one of the *.json files in a run's --out folder")
    if record is None:
        raise InputError(f"{path} is not a run record; give one of the *.json files in a run's --out folder")
    if record["method"] == "zero-shot":
        raise InputError(
            f"{path} is a zero-shot record: nothing was learned; give the record of a trained run"
        )
    if record["source"]["targets"]:
        raise InputError(
            f"{path} was trained on all classes: there are no new ones to compare; give another record"
        )
    source = Source(**{**record["source"], "targets": tuple(record["source"]["targets"])})
    config = RunConfig(record["method"], source, Recipe(**record["recipe"]), record["seed"], record["sar"])
    method = getattr(importlib.import_module(f"examples.{config.method.lower()}.method"), config.method)
    run = Run(method, config, Experiment(source, Setup.of(config.recipe), device), path.parent)
    if run.finished() is None:
        raise InputError(
            f"the learned tensors of {path} are not at {run.files.weights}, or model or data have changed since; "
            "run the same command again with --fresh"
        )
    return run, record


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
                     f"{kept} of {len(kl)} classes keep their nearest class")  # fmt: skip
    lines += ["", f"{'class':22} {'':4} {'KL':>7}  {'nearest, handcrafted':20}  {'learned':20}"]
    for row in rows[:most]:
        cells = [text[:width] for text, width in ((row.nearest_handcrafted, 20), (row.nearest_learned, 20))]
        lines.append(f"{row.name[:22]:22} {row.side:4} {row.kl:7.3f}  {cells[0]:20}  {cells[1]:20}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line; mistakes of the user end in one line."""
    with one_line_errors():
        options = tyro.cli(
            Options, args=argv, prog="python -m examples.protocol.cli.look", description=Options.__doc__
        )
        print(look(options))


def look(options: Options) -> str:
    """Draw the picture and return the report."""
    run, record = open_record(options.record, usable(options.device))
    experiment = run.experiment
    names = tuple(name for test in experiment.tests.values() for name in test.classnames)
    handcrafted = torch.cat([experiment.zero_shot_rows(test) for test in experiment.tests.values()])
    method = run.load()
    learned = features_of(method, names)
    n_base = len(experiment.classnames)
    rows = moved_classes(names, n_base, handcrafted, learned, method.tower.temperature)
    picture = options.picture or options.record.with_suffix(".png")
    maps = [("handcrafted prompts", handcrafted), (run.config.title, learned)]
    draw_comparison(picture, maps, n_base, rows_of([record]), temperature=method.tower.temperature)
    if options.json:
        entries: list[dict[str, Any]] = [vars(row) for row in rows]
        return json.dumps({"picture": str(picture), "classes": entries}, ensure_ascii=False)
    return f"{as_text(rows, options.most)}\n\npicture: {picture}"


if __name__ == "__main__":
    main()
