"""The time that the feature store saves: the same runs without and with it,
alternating in one process.

    python -m benchmarks.feature_store               # about fifteen minutes on one core
    python -m benchmarks.feature_store fig3 fig4     # some parts; the record keeps the others

All settings of the testbed's tables 1 and 4 on two data sets and of figures 3
to 5 on one (figure 5 with CoOp only), with one seed, and table 1 on two made-up
data sets in the official layout with a CLIP of random weights as large as
ViT-B/32. Seconds are CPU time of one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import machine
from examples.paper import engine
from examples.paper.engine import Execution, in_order_of_images, run_inline
from examples.paper.options import PaperOptions, narrowed_sweep, planned_runs
from examples.paper.rehearsal import MODEL, write_small_clip
from examples.paper.sweep import PlannedRun
from examples.protocol.data import numbers_of, open_dataset
from examples.protocol.data.fabricate import declare, fabricate, names_of
from examples.protocol.runs.archive import read_records
from sar_reg.files import write_atomic

RECORD = Path(__file__).parent / "results" / "feature_store.json"
TESTBED: Mapping[str, tuple[str, ...]] = {
    "table1": ("activities", "food"),
    "table4": ("activities", "food"),
    "fig3": ("activities",),
    "fig4": ("activities",),
    "fig5": ("activities",),
}
"""Tables and figures that are measured on the testbed → their data sets there."""
METHODS: Mapping[str, tuple[str, ...]] = {"fig5": ("CoOp",)}
"""Where not all methods are measured: CoPrompt trains the image tower, so it keeps nothing in the store."""
LARGE = "ViT-B/32"
"""The part on made-up data with large towers, which is table 1."""
MADE_UP = {"eurosat": (8, 1, 8), "oxford_pets": (2, 1, 2)}
"""Train, val and test images per class."""
EPOCHS = 4
VIT_B_32 = {
    "embed_dim": 512,
    "quick_gelu": True,
    "vision_cfg": {"layers": 12, "width": 768, "image_size": 224, "patch_size": 32},
    "text_cfg": {"layers": 12, "width": 512, "heads": 8, "context_length": 77, "vocab_size": 49408},
}


@dataclass
class Compared:
    """Runs of one table.

    Attributes:
        runs: how many.
        datasets: on which data sets.
        without: seconds without the store.
        with_store: seconds with it.
        machine: where and when they were measured.
    """

    runs: int = 0
    datasets: Sequence[str] = ()
    without: float = 0.0
    with_store: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times faster they are with the store."""
        return self.without / self.with_store


def compare(planned: Sequence[PlannedRun], out: Path) -> Compared:
    """Do the runs of each data set on both sides; the side that comes first takes turns.

    Raises:
        RuntimeError: if a run fails or the sides' results differ.
    """
    datasets = list(dict.fromkeys(run.config.source.dataset for run in planned))
    found = Compared(len(planned), datasets)
    for number, key in enumerate(datasets):
        runs = [run for run in in_order_of_images(planned) if run.config.source.dataset == key]
        for stores in (False, True) if number % 2 == 0 else (True, False):
            folder = out / ("with" if stores else "without")
            seconds = _seconds(runs, Execution(folder, "cpu", store=folder / "features" if stores else None))
            found.with_store += seconds * stores
            found.without += seconds * (not stores)
    if _results(out / "with") != _results(out / "without"):
        raise RuntimeError(f"the runs in {out} differ with the store")
    found.machine = machine()
    return found


def _seconds(runs: Sequence[PlannedRun], execution: Execution) -> float:
    engine.shared_experiment.cache_clear()
    began = time.process_time()
    failures = [failure for failure in run_inline(runs, execution, lambda *_: None) if failure]
    if failures:
        raise RuntimeError(failures[0].log.read_text("utf-8"))
    return time.process_time() - began


def _results(folder: Path) -> list[tuple[Any, ...]]:
    return [(r["identity"], r["results"], r["curves"]) for r in read_records(folder)]


def testbed_runs(table: str) -> list[PlannedRun]:
    """The runs of a table or figure on some of the testbed's data sets, one seed."""
    options = PaperOptions(table, datasets=TESTBED[table], methods=METHODS.get(table, ()), seeds=(1,))
    return planned_runs(narrowed_sweep(table, options), options)


def made_up_runs(table: str, folder: Path) -> list[PlannedRun]:
    """The runs of a table on made-up data with a CLIP as large as ViT-B/32, one seed."""
    data = folder / "data"
    for key, images in MADE_UP.items():
        fabricate(data, key, images=images, names=names_of(key, 1000))
    declare(data, {key: numbers_of(open_dataset(key, data, verify=False)) for key in MADE_UP})
    weights = write_small_clip(folder / "model", VIT_B_32)
    options = PaperOptions(
        table, str(data), datasets=tuple(MADE_UP), seeds=(1,), model=MODEL, pretrained=str(weights)
    )
    return planned_runs(narrowed_sweep(table, options), replace(options, epochs=EPOCHS))


def table(parts: Mapping[str, Compared]) -> str:
    """The comparison in Markdown."""
    lines = [
        "| runs | data sets | number | CPU s without | CPU s with the store | times faster |",
        "|---|---|---|---|---|---|",
    ]
    for name, part in parts.items():
        title = f"{name}, table1" if name == LARGE else f"testbed, {name}"
        seconds = f"{part.without:.0f} | {part.with_store:.0f} | {part.ratio:.2f}"
        lines.append(f"| {title} | {', '.join(part.datasets)} | {part.runs} | {seconds} |")
    return "\n".join(lines) + "\n"


def read_record() -> dict[str, Compared]:
    """The parts that have been measured."""
    return {name: Compared(**part) for name, part in json.loads(RECORD.read_text("utf-8")).items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and put what was measured into the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = (*TESTBED, LARGE)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(names)}; all of them by default"
    )
    chosen = parser.parse_args(argv).parts or names
    if unknown := set(chosen) - set(names):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    torch.set_num_threads(1)
    parts = read_record() if RECORD.is_file() else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in chosen:
            runs = made_up_runs("table1", folder) if part == LARGE else testbed_runs(part)
            parts[part] = compare(runs, folder / "runs" / part.replace("/", "-"))
    parts = {name: parts[name] for name in names if name in parts}
    write_atomic(RECORD, json.dumps({name: asdict(part) for name, part in parts.items()}, indent=1) + "\n")
    write_atomic(RECORD.with_suffix(".md"), table(parts))
    print(table(parts))


if __name__ == "__main__":
    main()
