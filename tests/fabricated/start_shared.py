"""One of several processes of a run on the fabricated bench: `python -m tests.fabricated.start_shared OUT`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from examples.coop.method import CoOp
from examples.protocol.distributed import Ranks
from examples.protocol.runs.config import Cell
from examples.protocol.runs.experiment import Bench
from examples.protocol.runs.run import Run
from tests.fabricated.runs import install
from tests.protocol.conftest import RECIPE, SOURCE


def main(out: str) -> None:
    """Join the group that the environment describes and do the run with it."""
    install()
    recipe = replace(RECIPE, epochs=5)
    bench = Bench(SOURCE, recipe, torch.device("cpu"))
    ranks = Ranks.join(bench.device)
    Run(CoOp, Cell("CoOp", SOURCE, recipe, seed=1, sar=True), bench, Path(out)).start(ranks=ranks)
    ranks.leave()


if __name__ == "__main__":
    main(sys.argv[1])
