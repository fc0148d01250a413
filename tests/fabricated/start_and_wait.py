"""Does one run of the fabricated experiment, slowly: `python -m tests.fabricated.start_and_wait OUT EPOCHS`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from examples.coop.method import CoOp
from examples.protocol.runs.config import RunConfig
from examples.protocol.runs.experiment import Experiment, Setup
from examples.protocol.runs.run import Run
from tests.fabricated.runs import install
from tests.protocol.conftest import RECIPE, SOURCE


def main(out: str, epochs: str) -> None:
    """Run with a pause after each epoch, so that there is time to be killed."""
    install()
    recipe = replace(RECIPE, epochs=int(epochs))
    experiment = Experiment(SOURCE, Setup.of(recipe), torch.device("cpu"))
    run = Run(CoOp, RunConfig("CoOp", SOURCE, recipe, seed=1, sar=True), experiment, Path(out))
    run.start(on_epoch=lambda epoch, values: time.sleep(0.1))


if __name__ == "__main__":
    main(*sys.argv[1:])
