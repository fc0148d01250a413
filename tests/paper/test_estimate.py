"""An estimate counts steps and image views exactly, and what runs share once with the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from examples.paper import command, engine, estimate, options, reproduce
from examples.paper.engine import Execution, open_run
from examples.paper.estimate import Speed, Work, estimate_plan, measure, total
from examples.paper.sweep import PlannedRun, load_sweep, plan
from tests.fabricated.runs import WORDS, install

SMALL = {"epochs": 3, "batch_size": 5, "shots": 4, "n_novel": len(WORDS), "augmentation": "crop-flip"}
TRAIN, TEST = 4 * 4, 7 * 4  # squares: four of seven classes are base, four images each in both lists
SPEED = Speed(0, step=1.0, once=10.0, decode=0.1, encode=0.01)


@pytest.fixture(autouse=True)
def fabricated(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch.setattr)
    engine.shared_experiment.cache_clear()


def planned_runs(*methods: str, seeds: tuple[int, ...] = (1,), **changes: object) -> list[PlannedRun]:
    sweep = replace(load_sweep("table3"), methods=methods, seeds=seeds)
    return plan(sweep, "testbed", datasets=("squares",), **{**SMALL, **changes})


def test_counts_and_what_the_store_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "measure", lambda run: SPEED)
    planned = planned_runs("CoOp", "KgCoOp", seeds=(1, 2))
    coop, kgcoop = estimate_plan(planned, Execution(tmp_path))
    steps = 4 * 3 * (TRAIN // 5)
    views, shared = 4 * (3 * TRAIN + TEST), 2 * 3 * TRAIN + TEST
    seconds = steps * 1.0 + 4 * 10.0
    assert coop == Work(
        "CoOp",
        runs=4,
        steps=steps,
        views=views,
        shared_views=shared,  # with and without SAR the same, once per seed; test images once
        stored=shared * coop.stored // shared,
        seconds=pytest.approx(seconds + views * 0.11),
        shared_seconds=pytest.approx(seconds + shared * 0.11),
    )
    assert coop.stored % shared == 0
    assert (kgcoop.views, kgcoop.shared_views, kgcoop.stored) == (views, 0, 0)  # all of it is there already
    assert total([coop, kgcoop]).views == 2 * views


def test_the_stored_bytes_are_those_of_the_files(tmp_path: Path) -> None:
    # features of another batch size have files of their own
    planned = [*planned_runs("CoOp"), *planned_runs("KgCoOp", test_batch_size=7)]
    stored = total(estimate_plan(planned, Execution(tmp_path))).stored
    store = tmp_path / "features"
    assert list(engine.run_inline(planned, Execution(tmp_path, store=store), lambda *_: None)) == [None] * 4
    headers = 400 * len(list(store.iterdir()))
    written = sum(path.stat().st_size for path in store.iterdir())
    assert stored < written < stored + 3 * headers


def test_a_trained_image_tower_shares_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "measure", lambda run: SPEED)
    (work,) = estimate_plan(planned_runs("CoPrompt", depth=2), Execution(tmp_path, workers=2))
    assert work.views == work.shared_views == 2 * (2 * 3 * TRAIN + TEST)  # two views of each image
    assert work.stored == 0
    # training images are encoded in the measured step; two processes decode
    expected = work.steps + 2 * 10.0 + work.views * 0.05 + 2 * TEST * 0.01
    assert work.seconds == work.shared_seconds == pytest.approx(expected)


def test_speeds_lie_on_a_line_between_few_and_many_classes() -> None:
    ends = [Speed(10, 1.0, 2.0, 0.1, 0.1), Speed(30, 2.0, 6.0, 0.1, 0.3)]
    middle = estimate._between(ends, 20)
    assert (middle.step, middle.once, middle.decode, middle.encode) == pytest.approx((1.5, 4.0, 0.1, 0.2))


@pytest.mark.parametrize("method", ["CoOp", "MaPLe"])
def test_every_part_is_measured(method: str, tmp_path: Path) -> None:
    for planned in planned_runs(method, depth=2, ctx_init="a photo", n_ctx=2):
        speed = measure(open_run(planned.config, Execution(tmp_path)))
        assert speed.names == 4 + len(WORDS) * planned.config.sar
        assert min(speed.step, speed.once, speed.decode, speed.encode) > 0


def test_the_command_says_it_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(options, "plan", lambda *_, **__: planned_runs("CoOp"))
    with pytest.raises(SystemExit) as ended:
        command.main(("fig1", "--out", str(tmp_path), "--estimate"))
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("### Estimate of fig1\n")
    assert "| all " in printed
    assert list(tmp_path.iterdir()) == []


def test_a_long_plan_is_estimated_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(estimate, "measure", lambda run: SPEED)
    for epochs, said in ((2, False), (700, True)):
        planned = planned_runs("CoOp", epochs=epochs)
        sweep = load_sweep("table3")
        job = reproduce.Job(sweep, planned, Execution(tmp_path), options.PaperOptions("table3"))
        reproduce.announce(job)
        assert ("Estimate of table3" in capsys.readouterr().err) == said
