"""The comparison of runs without and with the feature store does both sides alike and finds a difference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import feature_store
from benchmarks.feature_store import Compared, compare, table
from examples.paper.sweep import PlannedRun, load_sweep, plan
from tests import ROOT
from tests.fabricated.runs import WORDS, install

RECORD = feature_store.RECORD


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[PlannedRun]:
    install(monkeypatch.setattr)
    sweep = replace(load_sweep("table3"), methods=("CoOp",), seeds=(1,))
    changes = {"epochs": 2, "batch_size": 5, "shots": 4, "n_novel": len(WORDS), "augmentation": "crop-flip"}
    return plan(sweep, "testbed", datasets=("squares",), **changes)


def test_both_sides_do_all_runs_and_one_keeps_features(planned: list[PlannedRun], tmp_path: Path) -> None:
    found = compare(planned, tmp_path)
    assert found.runs == 2
    assert min(found.without, found.with_store) > 0
    assert len(list((tmp_path / "with" / "features").iterdir())) == 2 + 2  # two epochs, base and new images
    assert not (tmp_path / "without" / "features").exists()


def test_results_that_differ_are_an_error(
    planned: list[PlannedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "_results", lambda folder: [folder.name])
    with pytest.raises(RuntimeError, match="differ with the store"):
        compare(planned, tmp_path)


def test_a_failed_run_is_an_error(planned: list[PlannedRun], tmp_path: Path) -> None:
    absent = replace(planned[1].config.source, novel=str(tmp_path / "absent.txt"))
    broken = replace(planned[1], config=replace(planned[1].config, source=absent))
    with pytest.raises(RuntimeError, match=r"absent\.txt"):
        compare([planned[0], broken], tmp_path)


def test_the_table_in_the_docs_is_that_of_the_record() -> None:
    parts = {name: Compared(**part) for name, part in json.loads(RECORD.read_text("utf-8"))["parts"].items()}
    assert RECORD.with_suffix(".md").read_text("utf-8") == table(parts)
    assert '--8<-- "benchmarks/results/feature_store.md"' in (ROOT / "docs" / "reproduce.md").read_text(
        "utf-8"
    )
