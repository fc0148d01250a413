"""One run of the fabricated experiment in a process of its own.

`python -m tests.fabricated.start slowly OUT EPOCHS` pauses after each epoch, so that there is time to kill it.
`python -m tests.fabricated.start shared OUT` is one of the processes of a run that several share.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from examples.coop.method import CoOp
from examples.protocol.distributed import ProcessGroup
from examples.protocol.runs.config import RunConfig
from examples.protocol.runs.experiment import Experiment, ExperimentSettings
from examples.protocol.runs.run import Run
from tests.fabricated.runs import install
from tests.protocol.conftest import RECIPE, SOURCE


def coop_with_sar(out: str, epochs: int) -> Run:
    """A run of CoOp with SAR on the fabricated data set."""
    install()
    recipe = replace(RECIPE, epochs=epochs)
    experiment = Experiment(SOURCE, ExperimentSettings.of(recipe), torch.device("cpu"))
    return Run(CoOp, RunConfig("CoOp", SOURCE, recipe, seed=1, sar=True), experiment, Path(out))


def slowly(out: str, epochs: str) -> None:
    """Run with a pause after each epoch."""
    coop_with_sar(out, int(epochs)).start(on_epoch=lambda epoch, values: time.sleep(0.2))


def shared(out: str) -> None:
    """Join the group that the environment describes and do the run with it."""
    group = ProcessGroup.join(torch.device("cpu"))
    coop_with_sar(out, 5).start(group=group)
    group.leave()


if __name__ == "__main__":
    {"slowly": slowly, "shared": shared}[sys.argv[1]](*sys.argv[2:])
