"""The comparison of runs without and with the feature store does both sides alike and finds a difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import feature_store
from benchmarks.feature_store import LARGE, TESTBED, compare, main, read_record, table
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


def test_parts_measured_later_join_the_record(
    planned: list[PlannedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_store, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(feature_store, "testbed_runs", lambda part: planned)
    main(["fig4"])
    before = read_record()["fig4"]
    main(["table1"])
    parts = read_record()
    assert list(parts) == ["table1", "fig4"]
    assert parts["fig4"] == before
    assert "torch" in before.machine
    assert (tmp_path / "record.md").read_text("utf-8") == table(parts)
    with pytest.raises(SystemExit):
        main(["fig9"])


def test_figures_have_all_their_settings_on_the_testbed() -> None:
    variants = {
        name: {run.variant for run in feature_store.testbed_runs(name)} for name in ("fig3", "fig4", "fig5")
    }
    assert variants["fig3"] == {"baseline", "sar_novel50", "sar"}
    assert variants["fig4"] == {"0", "0.1", "0.5", "1.0", "1.5"}
    assert variants["fig5"] == {"none", "random", "related", "list", "oracle"}
    assert {run.config.method for run in feature_store.testbed_runs("fig5")} == {"CoOp"}
    assert {run.config.method for run in feature_store.testbed_runs("table4")} == {"CoOp", "TCP", "CoPrompt"}


def test_the_table_in_the_docs_is_that_of_the_record() -> None:
    parts = read_record()
    assert list(parts) == [*TESTBED, LARGE]
    assert all(list(parts[name].datasets) == list(datasets) for name, datasets in TESTBED.items())
    assert RECORD.with_suffix(".md").read_text("utf-8") == table(parts)
    assert '--8<-- "benchmarks/results/feature_store.md"' in (ROOT / "docs" / "reproduce.md").read_text(
        "utf-8"
    )
