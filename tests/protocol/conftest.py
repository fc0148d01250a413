"""The fabricated bench of these tests, and runs on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from examples.coop.method import CoOp
from examples.protocol.recipe import Recipe
from examples.protocol.runs.config import Cell, Source
from examples.protocol.runs.experiment import Bench
from examples.protocol.runs.run import Run
from tests.fabricated.runs import install

RECIPE = Recipe(
    epochs=3, batch_size=5, lr=0.02, shots=4, augmentation="none", lam=1.0, sample_size=4, n_novel=6
)
SOURCE = Source(dataset="squares")

MakeRun = Callable[..., Run]


@pytest.fixture(autouse=True)
def fabricated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random CLIP and coloured squares in the place of the testbed."""
    install(monkeypatch.setattr)


@pytest.fixture
def bench() -> Bench:
    return Bench(SOURCE, RECIPE, torch.device("cpu"))


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """`make_run(sar=…, seed=…, out=…, **changed settings)` gives a run on a bench of its own."""

    def make(
        *, sar: bool = True, seed: int = 1, out: Path = tmp_path, save_every: int = 1, **changed: object
    ) -> Run:
        recipe = Recipe(**{**RECIPE.__dict__, **changed})
        bench = Bench(SOURCE, recipe, torch.device("cpu"))
        return Run(CoOp, Cell("CoOp", SOURCE, recipe, seed, sar), bench, out, save_every=save_every)

    return make
