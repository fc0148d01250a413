"""From a sweep to a rendered table: runs in this process, failures that stop nothing, commands for others."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from examples.paper import command, engine
from examples.paper.accuracy_tables import accuracy_table
from examples.paper.engine import Execution, in_order_of_images, run_inline, run_isolated
from examples.paper.results import find_runs
from examples.paper.sweep import PlannedRun, load_sweep, plan
from examples.protocol.data import open_dataset
from examples.protocol.data.fabricate import fabricate
from examples.protocol.runs import experiment, novel_names
from examples.protocol.runs.config import RunSource
from examples.protocol.runs.experiment import ExperimentSettings
from examples.protocol.runs.record import write_record
from sar_reg.errors import InputError
from tests.fabricated.runs import WORDS, install

SMALL = {"epochs": 1, "batch_size": 8, "shots": 2, "n_novel": len(WORDS), "augmentation": "none"}


@pytest.fixture(autouse=True)
def fabricated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights and coloured squares in the execution of model and data."""
    install(monkeypatch.setattr)
    engine.shared_experiment.cache_clear()


def planned_runs(name: str, data: str = "testbed", dataset: str = "squares") -> list[PlannedRun]:
    sweep = replace(load_sweep(name), methods=("CoOp",), seeds=(1,))
    return plan(sweep, data, datasets=(dataset,), **SMALL)


def quiet(epoch: int, values: dict[str, float]) -> None:
    """No progress."""


def test_runs_end_in_a_table_and_are_not_repeated(tmp_path: Path) -> None:
    planned, execution = planned_runs("table1"), Execution(tmp_path)
    assert list(run_inline(planned, execution, quiet)) == [None] * 4
    table = accuracy_table(load_sweep("table1"), find_runs(planned, [tmp_path]), real=False)
    assert [row[1] for row in table.rows] == [
        "CoOp",
        "CoOp + SAR, one prompt, all classes",
        "CoOp + SAR, 8 prompts, all classes",
        "CoOp + SAR",
    ]
    assert all(0 <= float(config) <= 100 for row in table.rows for config in row[2:5])
    epochs: list[int] = []
    assert list(run_inline(planned, execution, lambda epoch, _: epochs.append(epoch))) == [None] * 4
    assert epochs == []
    fresh = replace(execution, fresh=True)
    assert list(run_inline(planned[:1], fresh, lambda epoch, _: epochs.append(epoch))) == [None]
    assert epochs == [0]


def test_a_failed_run_leaves_a_log_and_stops_nothing(tmp_path: Path) -> None:
    good, bad = planned_runs("table3")
    bad = replace(bad, config=replace(bad.config, method="Oops"))
    failure, fine = run_inline([bad, good], Execution(tmp_path), quiet)
    assert fine is None
    assert failure is not None
    assert failure.name == "squares-oops-sar-seed1"
    assert "KeyError: 'Oops'" in failure.log.read_text()
    runs = find_runs([good, bad], [tmp_path])
    assert [bool(group) for group in runs.values()] == [True, False]


def test_a_table_on_the_papers_data_from_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fabricate(tmp_path / "data", "dtd")
    monkeypatch.setattr(
        experiment, "open_source", lambda source, key: open_dataset(key, source.data, verify=False)
    )
    planned = planned_runs("table3", str(tmp_path / "data"), "dtd")
    assert list(run_inline(planned, Execution(tmp_path / "runs"), quiet)) == [None] * 2
    table = accuracy_table(load_sweep("table3"), find_runs(planned, [tmp_path / "runs"]), real=True)
    rows = {(row[0], row[1]): row for row in table.rows}
    assert rows["dtd", "CoOp"][3] == "78.74 / 45.65 / 57.79"
    assert 0 <= float(rows["dtd", "CoOp + SAR"][5]) <= 100
    assert rows["dtd", "MaPLe"][4] == "*not run*"


def run_command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    return ended.value.code


def test_one_command_a_run_for_another_scheduler(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command("table3", "--data", "/data", "--datasets", "dtd", "--print-commands", "--out", "there")
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert len(lines) == 5 * 2 * 3
    assert lines[7].split()[1:] == (
        "-m examples.paper table3 --data /data --out there --only 7 --datasets dtd --workers 0".split()
    )


def test_a_runs_own_command_repeats_it_and_finds_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    extra = ("--fresh", "--descriptions", "/sentences")
    assert run_command("table2", "--data", "/data", "--print-commands", *extra) == 0
    for line in capsys.readouterr().out.splitlines():
        assert "--fresh" in line.split()
        assert "--descriptions /sentences" in line


def test_failed_variants_have_logs_of_their_own(tmp_path: Path) -> None:
    planned = [replace(p, config=replace(p.config, method="Oops")) for p in planned_runs("table1")]
    failures = [failure for failure in run_inline(planned, Execution(tmp_path), quiet) if failure]
    assert len({failure.log for failure in failures}) == len(planned) == 4
    fine = planned_runs("table1")[0]
    log = tmp_path / "failed" / f"{fine.name}.log"
    log.write_text("an earlier failure")
    assert list(run_inline([fine], Execution(tmp_path), quiet)) == [None]
    assert not log.exists()


def test_a_process_that_fails_is_logged_and_stops_nothing(tmp_path: Path) -> None:
    planned = planned_runs("table2")
    ends = [["-c", "print('oh'); raise SystemExit(3)"], ["-c", ""], ["-c", "import no_such_module"]]
    outcomes = list(
        run_isolated(planned, Execution(tmp_path), lambda number: [sys.executable, *ends[number]])
    )
    assert outcomes[1] is None
    assert outcomes[0].log.read_text().startswith("oh")
    assert "no_such_module" in outcomes[2].log.read_text()


def test_a_table_without_runs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--data", "/data", "--datasets", "dtd", "--no-run", "--out", str(tmp_path))
    assert run_command("table3", *arguments) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("table3: 30 of 30 runs not found: *not run* in the table; without --no-run")
    written = Path(printed.out.splitlines()[0])
    assert written == tmp_path / "rendered" / "table3.md"
    assert written.read_text().count("*not run*") >= 30


def test_costs_are_read_off_runs_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that another table needed too shared its process with others."""
    cost = {
        "results": {"base": 50.0, "new": 50.0},
        "training": {"learned_numbers": 512},
        "seconds": {"training": 1234.5, "evaluation": 1.0},
        "data": {"tests": {"base": {"images": 10}}},
        "peak_memory_mib": 1.0,
    }
    for run in plan(load_sweep("table2"), "/data"):
        write_record(tmp_path / f"{run.variant}-{run.config.seed}.json", {**run.config.settings(), **cost})
    arguments = ("table2", "--data", "/data", "--no-run", "--out", str(tmp_path))
    assert run_command(*arguments) == 0
    written = Path(capsys.readouterr().out.splitlines()[0])
    assert "1234.5" not in written.read_text()
    (tmp_path / "table2").mkdir()
    for path in tmp_path.glob("*.json"):
        path.rename(tmp_path / "table2" / path.name)
    assert run_command(*arguments) == 0
    assert written.read_text().count("1234.5") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table3", "--datasets", "fod"), "no data set is called 'fod'; there are: "),
        (("table3", "--datasets", "fod"), "did you mean food?"),
        (("table3", "--data", "/nowhere"), "there is no folder /nowhere; pass --data ROOT"),
        (("table9",), "there is no table or figure 'table9'"),
        (("table1", "--methods", "TCP", "--data", "/data"), "table1 has no method TCP; it has: CoOp"),
        (("table4", "--datasets", "food", "--only", "99"), "--only takes 0 … 17 here"),
        (("table4", "--datasets", "food", "--device", "gpu"), "gpu"),
        (("table4", "--runs-per-gpu", "0"), "--runs-per-gpu must be 1 or more, not 0"),
        (("table1", "--methods", "Cop"), "did you mean CoOp?"),
        (("table1", "--seeds", "-1", "--no-run"), "--seeds takes whole numbers in 0..4294967295"),
        ((), "Missing from python -m examples.paper: STR One of table1 … table5, fig1,"),
        (("table1", "--only", "x"), "--only: invalid"),
        (("table1", "--seeds", "2", "2", "--no-run"), "--seeds names 2 more than once; pass each value once"),
        (("table1", "--methods", "CoOp", "coop", "--no-run"), "--methods names coop more than once"),
        (("fig1", "--datasets", "food", "food"), "--datasets names food more than once"),
        (("table1", "--only", "-5"), "--only takes the number of a run, 0 or more, not -5"),
        (("table1", "--only", "0", "--no-run"), "--only has no effect with --no-run"),
        (("table1", "--fresh", "--no-run"), "--fresh has no effect with --no-run"),
        (("table1", "--no-run", "--out", __file__), "--out must be a folder, and "),
        (("table1", "--estimate", "--fresh"), "--fresh has no effect with --estimate; leave one of them out"),
        (("table1", "--estimate", "--no-run"), "--no-run has no effect with --estimate"),
        (("table1", "--print-commands", "--estimate"), "--estimate has no effect with --print-commands"),
        (("table1", "--print-commands", "--only", "1"), "--only has no effect with --print-commands"),
        (("table1", "--print-commands", "--render", "x"), "--render has no effect with --print-commands"),
        (("table1", "--no-run", "--device", "cpu"), "--device has no effect with --no-run"),
        (("table1", "--no-run", "--no-store"), "--no-store has no effect with --no-run"),
        (("table1", "--only", "0", "--engine", "ray"), "--engine has no effect with --only"),
        (("all", "--only", "0"), "--only takes a run of one table or figure; name it instead of all"),
        (
            ("table1", "--estimate", "--data", "published", "--model", "ViT-L-14"),
            "--model has no effect with --estimate --data published",
        ),
        (("table1", "--data", "published"), "; with --data published, pass --estimate"),
        (("table1", "--records", "/nope.jsonl", "--no-run"), "there are no runs at /nope.jsonl"),
        (("table1", "--epochs", "-1", "--no-run"), "--epochs must be 0 or more, not -1"),
        (("table1", "--runs-per-gpu", "2"), "--runs-per-gpu has no effect without --engine ray"),
        (("fig1", "--no-run"), "fig1 is drawn from the learned tensors of its runs"),
        (("table4", "--workers", "9999"), "--workers must be at most 1024, not 9999"),
        (("table4", "--out", __file__), "test_runs.py is a file"),
        (("table4", "--workers", "-1"), "--workers must be 0 or more, not -1"),
        (
            ("table4", "--datasets", "food", "--novel", "llm"),
            "there is no list of a language model for food at",
        ),
    ],
)
def test_mistakes_end_in_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_sweep_lists_each_run_once() -> None:
    sweep = load_sweep("table3")
    for name in ("methods", "datasets", "seeds", "testbed_targets"):
        with pytest.raises(InputError, match=rf"table3.toml: {name} names \w+ more than once"):
            replace(sweep, **{name: (*getattr(sweep, name), "style", "style")})


def test_methods_are_found_in_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {}
    for name in ("CoOp", "coop"):
        assert run_command("table1", "--methods", name, "--datasets", "food", "--print-commands") == 0
        commands[name] = capsys.readouterr().out
    assert commands["coop"].replace("--methods coop", "--methods CoOp") == commands["CoOp"] != ""


def test_words_of_a_language_model_are_planned_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def variants(data: str) -> set[str]:
        return {
            run.variant
            for run in plan(load_sweep("fig5"), data, datasets=("food101" if data != "testbed" else "food",))
        }

    assert variants("testbed") == {"none", "random", "related", "list", "oracle"}
    assert (
        variants("/data")
        == {"none", "random", "related", "oracle"}
        == set(load_sweep("fig5").on("/data").variants)
    )
    monkeypatch.setattr(novel_names, "LISTS", tmp_path)
    (tmp_path / "food101.llm.json").write_text('{"names": ["ramen", "borscht"]}')
    assert variants("/data") == {"none", "random", "related", "oracle", "llm"}
    source = novel_names.novel_source(RunSource("food101", "/data", novel="llm"), ())
    assert set(source.generate(["pizza"], 2, exclude=(), seed=0)) == {"ramen", "borscht"}
    chosen = plan(load_sweep("table4"), "/data", datasets=("food101",), origin={"novel": "llm"})
    assert {run.config.source.novel for run in chosen} == {"llm"}


def test_runs_that_share_an_experiment_follow_each_other() -> None:
    sweep = replace(load_sweep("fig3"), seeds=(1, 2))
    planned = plan(sweep, "testbed", datasets=("food", "animals"))
    ordered = in_order_of_images(planned)
    assert sorted(map(repr, ordered)) == sorted(map(repr, planned))
    shared = [(run.config.source, ExperimentSettings.of(run.config.recipe)) for run in ordered]
    assert sum(a != b for a, b in pairwise(shared)) + 1 == len(set(shared)) == 4  # 50 and 200 novel classes
    assert [run.config.source.dataset for run in ordered] == ["food"] * 6 + ["animals"] * 6


def test_without_the_store_no_features_are_kept(tmp_path: Path) -> None:
    planned = planned_runs("table3")
    for store in (None, tmp_path / "features"):
        execution = Execution(tmp_path / str(store is None), store=store)
        assert list(run_inline(planned, execution, quiet)) == [None] * 2
        assert (tmp_path / "features").exists() == (store is not None)
