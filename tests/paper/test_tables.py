"""Tables say what the run records say, beside the paper's numbers, and *not run* where there is none."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from examples.paper.accuracy_tables import accuracy_table
from examples.paper.cost_table import cost_table
from examples.paper.domain_table import domain_table
from examples.paper.figures import draw_weights
from examples.paper.joint_table import joint_table
from examples.paper.results import find_runs
from examples.paper.sweep import NAMES, PlannedRun, Sweep, load_sweep, plan
from examples.paper.table import NOT_RUN, Table
from examples.protocol.runs.record import write_record
from sar_reg.errors import InputError

# accuracies on base and new classes of the seeds 1, 2, 3
WITHOUT = {"dtd": [(80, 40), (82, 50), (84, 60)], "eurosat": [(90, 60), (90, 60), (90, 60)]}
WITH = {"dtd": [(81, 50), (82, 58), (83, 66)], "eurosat": [(88, 70), (89, 71), (90, 72)]}


def narrowed(name: str) -> Sweep:
    return replace(load_sweep(name), methods=("CoOp",))


def record(folder: Path, run: PlannedRun, **content: object) -> None:
    name = f"{run.config.source.dataset}-{run.variant}-{run.config.seed}.json"
    write_record(folder / name, {**run.config.settings(), **content})


@pytest.fixture
def table3(tmp_path: Path) -> Table:
    sweep = narrowed("table3")
    planned = plan(sweep, "/data", datasets=("dtd", "eurosat"))
    for run in planned:
        base, new = (WITH if run.config.sar else WITHOUT)[run.config.source.dataset][run.config.seed - 1]
        elsewhere = replace(
            run, config=replace(run.config, source=replace(run.config.source, data="/another/folder"))
        )
        record(tmp_path, elsewhere, results={"base": float(base), "new": float(new)})
    return accuracy_table(sweep, find_runs(planned, [tmp_path]), real=True)


def numbers(table: Table) -> dict[tuple[str, str, str], dict[str, str]]:
    rows = csv.DictReader(io.StringIO(table.csv()))
    return {(row["dataset"], row["variant"], row["metric"]): row for row in rows}


def test_means_and_h_of_means(table3: Table) -> None:
    values = numbers(table3)
    assert float(values["dtd", "baseline", "base"]["ours"]) == 82
    assert float(values["dtd", "baseline", "new"]["ours_std"]) == 10
    assert float(values["dtd", "baseline", "h"]["ours"]) == pytest.approx(2 * 82 * 50 / 132)
    assert float(values["average", "sar", "base"]["ours"]) == pytest.approx((82 + 89) / 2)
    assert float(values["average", "sar", "h"]["ours"]) == pytest.approx(2 * 85.5 * 64.5 / 150)


def test_differences_to_the_paper_and_between_paired_seeds(table3: Table) -> None:
    values = numbers(table3)
    assert float(values["dtd", "sar", "new"]["paper"]) == 59.38
    assert float(values["dtd", "sar", "new"]["difference"]) == pytest.approx(58 - 59.38)
    text = table3.markdown()
    line = next(row for row in text.splitlines() if row.startswith("| dtd") and "+ SAR" in row)
    assert "82.00 ± 1.00" in line
    assert "80.75 / 59.38 / 68.44" in line
    assert "+8.00 ± 2.00" in line  # 10, 8 and 6 points, seed by seed


def test_an_average_over_some_of_the_data_sets_is_not_compared_with_the_papers(
    table3: Table, tmp_path: Path
) -> None:
    assert [row[2:4] + row[7:8] for row in table3.rows[:2]] == [["–", "–", "–"]] * 2
    assert numbers(table3)["average", "sar", "new"]["paper"] == ""
    assert any("over 2 of the paper's 11 data sets" in note for note in table3.notes)
    sweep = narrowed("table3")
    planned = plan(sweep, "/data")
    for run in planned:
        record(tmp_path, run, results={"base": 80.0, "new": 70.0})
    whole = accuracy_table(sweep, find_runs(planned, [tmp_path]), real=True)
    assert whole.rows[0][2:4] == ["82.69 / 63.22 / 71.66", "82.35 / 66.61 / 73.65"]
    assert whole.rows[0][7] == "-2.35 / +3.39 / +1.02"
    assert not any("data sets, so it" in note for note in whole.notes)


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    sweep = replace(narrowed("table3"), seeds=(1,))
    planned = plan(sweep, "/data", datasets=("dtd",))
    for run in planned:
        record(tmp_path, run, results={"base": 80.0, "new": 40.0 + 3 * run.config.sar})
    table = accuracy_table(sweep, find_runs(planned, [tmp_path]), real=True)
    assert table.rows[1][8] == "+3.00"
    assert "nan" not in table.markdown() + table.csv()


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("fig3", "sar", "82.79 / 73.75 / 78.01"),
        ("fig4", "1.0", "78.73 / 75.00 / 76.82"),
        ("fig4", "0.5", "–"),
        ("fig5", "none", "82.35 / 66.61 / 73.65"),
        ("fig5", "related", "–"),
    ],
)
def test_figures_stand_beside_the_tables_that_print_their_runs(
    name: str, variant: str, expected: str
) -> None:
    sweep = narrowed(name)
    table = accuracy_table(sweep, find_runs(plan(sweep, "/data"), []), real=True)
    assert table.rows[list(sweep.variants).index(variant)][3] == expected


def test_of_equal_runs_the_one_that_finished_last_counts(tmp_path: Path) -> None:
    run = plan(narrowed("table3"), "/data", datasets=("dtd",))[0]
    times = ("2026-01-02T00:00:00+0000", "2026-01-01T23:30:00-0100", "2026-01-02T00:20:00+0000")
    for number, finished in enumerate(times):
        content = {**run.config.settings(), "results": {"base": number}, "finished": finished}
        write_record(tmp_path / f"{number}.json", content)
    (group,) = find_runs([run], [tmp_path]).values()
    assert group[1]["results"] == {"base": 1}


def test_held_out_names_are_counted_for_each_source(tmp_path: Path) -> None:
    sweep = narrowed("fig5")
    planned = plan(sweep, "testbed", datasets=("food", "travel"))
    for run in planned:
        oracle = run.variant == "oracle"
        bank = {
            "overlap_with_held_out": ["egg", "fig"] if oracle else [],
            "provenance": {"outcome": {"dropped": {} if oracle else {"excluded": 3, "base class": 1}}},
        }
        results = {"base": 80.0, "new": 60.0}
        record(tmp_path, run, results=results, bank=bank if run.config.sar else None)
    table = accuracy_table(sweep, find_runs(planned, [tmp_path]), real=False)
    shown = {(row[0], row[1]): row[-1] for row in table.rows}
    assert shown["food", "CoOp, none"] == ""
    assert shown["food", "CoOp, list"] == "0 (3)"
    assert shown["average", "CoOp, oracle"] == "4 (0)"
    values = numbers(table)
    assert values["travel", "list", "held_out_names_left_out"]["ours"] == "3"


def test_coprompt_without_descriptions_is_told(tmp_path: Path) -> None:
    sweep = replace(load_sweep("table3"), methods=("CoPrompt",))
    for folder, expected in (("", True), ("/sentences", False)):
        planned = plan(sweep, "/data", datasets=("dtd",), descriptions=folder)
        for run in planned:
            record(tmp_path, run, results={"base": 80.0, "new": 60.0})
        table = accuracy_table(sweep, find_runs(planned, [tmp_path]), real=True)
        assert any("handcrafted prompts stand in" in note for note in table.notes) == expected


def test_missing_runs_are_said_to_be_missing(tmp_path: Path) -> None:
    sweep = narrowed("table3")
    planned = plan(sweep, "/data", datasets=("dtd", "eurosat"))
    record(tmp_path, planned[0], results={"base": 80.0, "new": 40.0})
    table = accuracy_table(sweep, find_runs(planned, [tmp_path]), real=True)
    rows = {(row[0], row[1]): row for row in table.rows}
    assert rows["dtd", "CoOp"][4:7] == ["80.00", "40.00", "53.33"]
    assert rows["eurosat", "CoOp"][4:7] == [NOT_RUN] * 3
    assert rows["average", "CoOp"][4:7] == [NOT_RUN] * 3


def test_a_run_with_other_settings_does_not_count(tmp_path: Path) -> None:
    sweep = narrowed("table3")
    record(
        tmp_path, plan(sweep, "/data", datasets=("dtd",), epochs=1)[0], results={"base": 80.0, "new": 40.0}
    )
    runs = find_runs(plan(sweep, "/data", datasets=("dtd",)), [tmp_path])
    assert not any(runs.values())


def test_costs_stand_beside_the_papers(tmp_path: Path) -> None:
    sweep = narrowed("table2")
    planned = plan(sweep, "/data")
    for run in planned:
        content = {
            "results": {"base": 76.0, "new": 68.0},
            "training": {"learned_numbers": 2048},
            "seconds": {"training": 100.0 * run.config.seed, "evaluation": 50.0},
            "data": {"tests": {"base": {"images": 20_000}, "new": {"images": 5_000}}},
            "peak_memory_mib": 4096.0,
        }
        record(tmp_path, run, **content)
    table = cost_table(sweep, find_runs(planned, [tmp_path]), real=True)
    assert table.rows[0][2:6] == ["2048 (2048)", "200.0 (2387.0)", "2.00 (5.57)", "4096 (11633)"]
    assert table.rows[2][3] == "200.0 (3924.0)"


def test_the_loss_after_training_stands_beside_each_weight(tmp_path: Path) -> None:
    sweep = narrowed("fig4")
    planned = plan(sweep, "testbed", datasets=("food", "travel"))
    for run in planned:
        higher = run.config.source.dataset == "travel"
        loss = (0.5 if run.variant == "0" else 0.25) + higher
        record(tmp_path, run, results={"base": 80.0, "new": 60.0, "sar_loss": loss})
    runs = find_runs(planned, [tmp_path])
    table = accuracy_table(sweep, runs, real=False)
    assert [row[-1] for row in table.rows[:2]] == ["1.000", "0.750"]  # averages over both data sets
    assert {"metric": "sar_loss", "dataset": "food", "ours": 0.5}.items() <= table.numbers[23].items()
    assert sorted(path.name for path in draw_weights(sweep, runs, tmp_path)) == ["fig4.pdf", "fig4.png"]
    record(tmp_path, planned[0], results={"base": 80.0, "new": 60.0})  # of a command with --no-sar
    table = accuracy_table(sweep, find_runs(planned, [tmp_path]), real=False)
    assert [row[-1] for row in table.rows[:2]] == ["*not run*", "0.750"]


def test_domains_have_a_mean_of_targets(tmp_path: Path) -> None:
    sweep = narrowed("table5")
    planned = plan(sweep, "/data")
    kinds = ("imagenet_sketch", "imagenet_r", "imagenet_a", "imagenetv2")
    for run in planned:
        record(
            tmp_path,
            run,
            results={"source": 70.0 + run.config.seed, **dict.fromkeys(kinds, 50.0 + run.config.sar)},
        )
    table = domain_table(sweep, find_runs(planned, [tmp_path]), real=True)
    without, with_sar = table.rows
    assert without[2] == "72.00 ± 1.00 (71.49)"
    assert without[7:9] == ["50.00 (59.36)", "-9.36"]
    assert with_sar[7:9] == ["51.00 (60.02)", "-9.02"]
    assert with_sar[9] == " / ".join(["+1.00 ± 0.00"] * 4)


@pytest.mark.parametrize("name", NAMES)
def test_every_sweep_lists_its_runs(name: str) -> None:
    sweep = load_sweep(name).on("/data")
    planned = plan(sweep, "/data")
    expected = len(sweep.datasets) * len(sweep.methods) * len(sweep.variants) * len(sweep.seeds)
    assert len(planned) == len({(p.config, p.variant) for p in planned}) == expected


def test_the_papers_settings_reach_the_runs() -> None:
    cells = {
        (p.config.source.dataset, p.config.method): p.config
        for p in plan(load_sweep("table3"), "/data")
        if p.config.sar
    }
    assert len(cells) == 55
    assert cells["eurosat", "CoOp"].recipe.lam == 0.5
    assert cells["fgvc_aircraft", "CoPrompt"].recipe.lam == 0.8
    assert cells["food101", "CoOp"].recipe.epochs == 100
    assert {config.recipe.sampling for config in cells.values()} == {"independent"}
    four = {
        p.config.recipe.lam
        for p in plan(load_sweep("table4"), "/data")
        if p.config.sar and p.config.method == "CoOp"
    }
    assert four == {1.0}


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(InputError, match="there is no table or figure 'table9'; there are: table1, table2"):
        load_sweep("table9")


def test_joint_accuracy_of_every_method_with_h_of_means(tmp_path: Path) -> None:
    sweep = replace(load_sweep("joint"), seeds=(1, 2))
    planned = plan(sweep, "/data", datasets=("dtd", "eurosat"))
    assert {run.config.method for run in planned} == {"CoOp", "KgCoOp", "TCP", "MaPLe", "CoPrompt"}
    for run in planned:
        if run.config.method == "TCP" and run.config.seed == 2:
            continue
        base = 60.0 + 2 * run.config.seed + 10 * run.config.sar
        joint = {kind: {"base": base, "new": 40.0} for kind in ("learned", "blended", "handcrafted_new")}
        joint["blended"] = {"base": 50.0, "new": 70.0}
        record(tmp_path / run.config.method, run, joint=joint if run.config.method != "MaPLe" else None)
    runs = find_runs(planned, list(tmp_path.iterdir()))
    zero_shot = {"joint": {"handcrafted": {"base": 55.0, "new": 45.0}}}
    sources = ({"dataset": "dtd", "split": "scene"}, {"dataset": "eurosat", "split": "style"})
    table = joint_table(sweep, runs, [{**zero_shot, "source": source} for source in sources], real=True)
    rows = {tuple(row[:2]): row[2:] for row in table.rows}
    assert len(rows) == len(table.rows) == 3 * 11
    assert rows["average", "CoOp"][:2] == ["63.00 ± 1.41", "40.00 ± 0.00"]
    assert rows["average", "CoOp + SAR"][2].startswith(f"{2 * 73 * 40 / 113:.2f} ± ")
    assert rows["dtd", "KgCoOp"][3] == f"50.00 / 70.00 / {2 * 50 * 70 / 120:.2f}"
    assert rows["average", "TCP"][0] == "62.00"
    assert rows["average", "MaPLe"] == [NOT_RUN] * 5
    assert rows["dtd", "handcrafted prompts"][:2] + rows["dtd", "handcrafted prompts"][3:] == [
        "55.00",
        "45.00",
        "",
        "",
    ]
    assert rows["average", "handcrafted prompts"][0] == NOT_RUN  # eurosat's record is of another style
    assert any("--descriptions FOLDER" in note for note in table.notes)
    numbers = {
        (r["dataset"], r["classifier"], r["metric"]): r for r in csv.DictReader(io.StringIO(table.csv()))
    }
    assert float(numbers["average", "CoOp, blended with handcrafted", "new"]["ours"]) == 70
    assert float(numbers["average", "CoOp", "base"]["ours_std"]) == pytest.approx(2**0.5)
    assert numbers["dtd", "MaPLe", "h"]["ours"] == ""
