"""The time that a command will take is counted from its runs, and a long one says what is quicker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from examples.maple.method import MaPLe
from examples.protocol.runs import duration
from examples.protocol.runs.config import RunConfig
from examples.protocol.runs.duration import Speed, TimeEstimate, estimate_time
from examples.protocol.runs.run import Run
from tests.protocol.conftest import RECIPE, SOURCE, MakeRun

TRAIN, TEST = 4 * 4, 7 * 4  # squares: four of seven classes are base, four images each in both lists
STEPS = RECIPE.epochs * (TRAIN // RECIPE.batch_size)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Fixed speeds: a step with SAR takes 2 s, one without 1 s; gives which of the two were measured."""
    seen: list[bool] = []

    def measure(run: Run) -> Speed:
        seen.append(run.config.sar)
        return Speed(0, step=1.0 + run.config.sar, once=10.0, decode=0.1, encode=0.4)

    monkeypatch.setattr(duration, "measure", measure)
    return seen


def runs_of(make_run: MakeRun, **changed: object) -> list[Run]:
    return [make_run(sar=sar, seed=seed, **changed) for sar in (False, True) for seed in (1, 2)]


@pytest.mark.parametrize(
    ("changed", "lists"),
    [
        ({"augmentation": "crop-flip"}, 4 * RECIPE.epochs),
        ({"augmentation": "crop-flip", "views": 2}, 2 * 2),
        ({"augmentation": "crop-flip", "views": 9}, 2 * RECIPE.epochs),
        ({"augmentation": "none"}, 2),
    ],
)
def test_steps_and_views_are_counted(
    changed: dict[str, object], lists: int, make_run: MakeRun, measured: list[bool]
) -> None:
    found = estimate_time(runs_of(make_run, **changed))
    fixed = 2 * STEPS * (1.0 + 2.0) + 4 * 10.0 + TEST * 0.5
    assert found.seconds == pytest.approx(fixed + lists * TRAIN * 0.5)
    assert measured == [False, True]
    if changed == {"augmentation": "crop-flip"}:
        assert found.once == pytest.approx(fixed + 2 * TRAIN * 0.5)
        assert found.kept == pytest.approx(fixed + 2 * RECIPE.epochs * TRAIN * 0.5)  # of 3 epochs, 4 views
    else:
        assert found.once is None
        assert found.kept is None


def test_a_trained_image_side_is_encoded_in_the_step(
    make_run: MakeRun, measured: list[bool], tmp_path: Path
) -> None:
    recipe = replace(RECIPE, ctx_init="a photo", n_ctx=2, depth=2)
    run = Run(MaPLe, RunConfig("MaPLe", SOURCE, recipe, 1, True), make_run().experiment, tmp_path)
    found = estimate_time([run])
    # the test images once for zero-shot and once for the run
    expected = STEPS * 2.0 + 10.0 + RECIPE.epochs * TRAIN * 0.1 + 2 * TEST * 0.5
    assert found.seconds == pytest.approx(expected)
    assert found.every_step


def test_the_speeds_are_measured_here(make_run: MakeRun) -> None:
    found = estimate_time(runs_of(make_run, augmentation="crop-flip"))
    assert found.kept is not None
    assert 0 < found.kept <= found.seconds < 600


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (TimeEstimate("CoOp", 0.2, 0.1, 0.1, False), "time: about 1 s on the CPU, from a short measurement"),
        (TimeEstimate("CoOp", 599, 9, 9, False), "time: about 10 min on the CPU, from a short measurement"),
        (
            TimeEstimate("CoOp", 36000, 400, 1000, False),
            "time: about 10.0 h on the CPU, from a short measurement. With --augmentation none each image is encoded "
            "once: about 7 min; with --views 4 (4 random views of each): about 17 min. "
            "Fewer --epochs or a lower --n-novel shorten it, too",
        ),
        (
            TimeEstimate("CoOp", 1200, None, None, False),
            "time: about 20 min on the CPU, from a short measurement. Fewer --epochs or a lower --n-novel shorten it",
        ),
    ],
)
def test_a_long_run_says_what_is_quicker(found: TimeEstimate, words: str) -> None:
    assert str(found) == words


def test_a_long_run_of_a_trained_image_side_names_the_text_only_methods() -> None:
    said = str(TimeEstimate("MaPLe", 7200, None, None, True))
    assert "MaPLe encodes each image in every step. The text-only methods CoOp, KgCoOp and TCP" in said
    assert "--augmentation none or --views 4" in said
