"""One of several processes of a run on the fabricated experiment: `python -m tests.fabricated.start_shared OUT`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from examples.coop.method import CoOp
from examples.protocol.distributed import ProcessGroup
from examples.protocol.runs.config import RunConfig
from examples.protocol.runs.experiment import Experiment, Setup
from examples.protocol.runs.run import Run
from tests.fabricated.runs import install
from tests.protocol.conftest import RECIPE, SOURCE


def main(out: str) -> None:
    """Join the group that the environment describes and do the run with it."""
    install()
    recipe = replace(RECIPE, epochs=5)
    experiment = Experiment(SOURCE, Setup.of(recipe), torch.device("cpu"))
    group = ProcessGroup.join(experiment.device)
    Run(CoOp, RunConfig("CoOp", SOURCE, recipe, seed=1, sar=True), experiment, Path(out)).start(group=group)
    group.leave()


if __name__ == "__main__":
    main(sys.argv[1])
