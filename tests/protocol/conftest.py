"""The fabricated experiment of these tests, and runs on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from examples.coop.method import CoOp
from examples.protocol.recipe import Recipe
from examples.protocol.runs.config import RunConfig, RunSource
from examples.protocol.runs.experiment import Experiment, ExperimentSettings
from examples.protocol.runs.run import Run
from tests.fabricated.runs import install

RECIPE = Recipe(
    epochs=3, batch_size=5, lr=0.02, shots=4, augmentation="none", lam=1.0, sample_size=4, n_novel=6
)
SOURCE = RunSource(dataset="squares")

MakeRun = Callable[..., Run]


@pytest.fixture(autouse=True)
def fabricated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random CLIP and coloured squares in the place of the testbed."""
    install(monkeypatch.setattr)


@pytest.fixture
def experiment() -> Experiment:
    return Experiment(SOURCE, ExperimentSettings.of(RECIPE), torch.device("cpu"))


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """`make_run(sar=…, seed=…, out=…, **changed settings)` gives a run on an experiment of its own."""

    def make(
        *, sar: bool = True, seed: int = 1, out: Path = tmp_path, save_every: int = 1, **changed: object
    ) -> Run:
        recipe = Recipe(**{**RECIPE.__dict__, **changed})
        experiment = Experiment(SOURCE, ExperimentSettings.of(recipe), torch.device("cpu"))
        return Run(CoOp, RunConfig("CoOp", SOURCE, recipe, seed, sar), experiment, out, save_every=save_every)

    return make
