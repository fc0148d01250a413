"""Finished runs go to the archive of the table they belong to, once, and tables find them there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from examples.paper import pack as packing
from examples.paper.pack import archives_of, pack
from examples.paper.results import find_runs
from examples.paper.sweep import PlannedRun, load_sweep, plan
from examples.protocol.runs.archive import read_records
from examples.protocol.runs.record import write_record


def planned(name: str) -> list[PlannedRun]:
    return plan(replace(load_sweep(name), methods=("CoOp",)), "testbed", datasets=("animals",))


def finish(folder: Path, run: PlannedRun, base: float, when: str = "2026-01-01T00:00:00+0000") -> None:
    config = run.config
    content = {
        "identity": run.name,
        "title": config.title,
        "results": {"base": base, "new": 50.0},
        "finished": when,
    }
    write_record(folder / f"{run.name}-{base}.json", {**config.settings(), **content})


def test_runs_go_where_the_tables_find_them(tmp_path: Path) -> None:
    out, into = tmp_path / "out", tmp_path / "into"
    for name in ("table1", "fig3"):  # which share their first and last variant with table 3
        for run in planned(name):
            finish(out, run, 60.0)
    for run in planned("table2"):
        finish(out / "table2", run, 70.0)
    counts, unknown = pack(out, into)
    assert unknown == 0
    assert {name: count for name, count in counts.items() if count} == {
        "methods": 6,  # shared by both
        "table1": 6,
        "fig3": 3,
        "table2": 9,
    }
    assert len(read_records(into / "methods.jsonl")) == 6
    for name in ("table1", "fig3", "table3", "fig5"):
        runs = find_runs(planned(name), archives_of(name, into))
        found = {group[2]: len(seeds) for group, seeds in runs.items()}
        assert found["baseline" if name != "fig5" else "none"] == 3
        assert all(record["results"]["base"] == 60.0 for seeds in runs.values() for record in seeds.values())
    (costs,) = {
        r["results"]["base"]
        for s in find_runs(planned("table2"), archives_of("table2", into)).values()
        for r in s.values()
    }
    assert costs == 70.0


def test_a_later_run_replaces_an_earlier_one(tmp_path: Path) -> None:
    run, other = planned("table3")[:2]
    finish(tmp_path / "first", run, 60.0)
    finish(tmp_path / "first", other, 60.0)
    finish(tmp_path / "second", run, 62.0, "2026-01-02T00:00:00+0000")
    finish(tmp_path / "second", run, 61.0, "2026-01-01T12:00:00+0000")
    for name in ("first", "second"):
        pack(tmp_path / name, tmp_path / "into")
    records = read_records(tmp_path / "into" / "methods.jsonl")
    assert {record["identity"]: record["results"]["base"] for record in records} == {
        run.name: 62.0,
        other.name: 60.0,
    }


def test_runs_of_no_table_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = planned("table3")[0]
    changed = replace(run, config=replace(run.config, recipe=replace(run.config.recipe, epochs=3)))
    finish(tmp_path / "out", changed, 60.0)
    with pytest.raises(SystemExit) as ended:
        packing.main([str(tmp_path / "out"), "--into", str(tmp_path / "into")])
    assert ended.value.code == 2
    assert "there are no finished runs of a table or figure in" in capsys.readouterr().err
    finish(tmp_path / "out", run, 61.0)
    packing.main([str(tmp_path / "out"), "--into", str(tmp_path / "into")])
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"{tmp_path / 'into' / 'methods.jsonl'}: 1 run",
        "left out: 1 run with settings of no table",
    ]
