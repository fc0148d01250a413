"""Sentences about the testbed: rows that "three seeds do not separate" pass a t-test, and numbers are recorded ones."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from itertools import combinations

import pytest

from examples.protocol.runs.archive import read_records
from tests import ROOT

RESULTS = ROOT / "examples" / "paper" / "results"
CRITICAL = 2.776
"""Student's t for p = 0.05, two-sided, with four degrees of freedom: two rows of three seeds each."""
METHODS = ("KgCoOp", "TCP", "MaPLe", "CoPrompt")
ALL = ("base", "new", "h")


def read(page: str) -> str:
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


def table(name: str) -> dict[tuple[str, str], dict[str, tuple[float, float]]]:
    """(method, variant) → metric → mean and standard deviation over seeds, averaged over the data sets."""
    found: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    text = (ROOT / "examples" / "paper" / "rendered" / f"{name}.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(io.StringIO(text)):
        if row["dataset"] == ("food" if name == "calibrate" else "average") and row.get("ours_std"):
            key = (row.get("method", ""), row.get("variant") or row.get("classifier", ""))
            found.setdefault(key, {})[row["metric"]] = (float(row["ours"]), float(row["ours_std"]))
    return found


def separated(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return abs(a[0] - b[0]) > CRITICAL * math.sqrt((a[1] ** 2 + b[1] ** 2) / 3)


NOT_SEPARATED = [
    ("These three are not separated by three seeds.", "table1",
     [[("CoOp", v) for v in ("sar", "sar_prompt_ensembling", "sar_single_template_all_classes")]], ALL),
    ("They are not separated by three seeds.", "fig3", [[("CoOp", "sar"), ("CoOp", "sar_novel50")]], ALL),
    ("63.60, 63.56 and 63.50 for λ = 0.5, 1 and 1.5, which three seeds do not separate", "fig4",
     [[("CoOp", v) for v in ("0.5", "1.0", "1.5")]], ("h",)),
    ("With CoOp, random nouns, related words and the list are not separated by three seeds", "fig5",
     [[("CoOp", v) for v in ("random", "related", "list")]], ALL),
    ("for the other four methods, three seeds do not separate H with and without SAR", "joint",
     [[("", method), ("", f"{method} + SAR")] for method in METHODS], ("h",)),
    ("For TCP and MaPLe, three seeds do not separate New with and without SAR", "table3",
     [[(method, "baseline"), (method, "sar")] for method in ("TCP", "MaPLe")], ("new",)),
    ("CoPrompt's Base and New with and without SAR are not separated by three seeds", "table4",
     [[("CoPrompt", "baseline"), ("CoPrompt", "sar")]], ("base", "new")),
]  # fmt: skip


@pytest.mark.parametrize("case", NOT_SEPARATED, ids=lambda case: case[1])
def test_rows_that_are_called_not_separated(case: tuple) -> None:
    sentence, name, groups, metrics = case
    assert sentence in read("docs/testbed.md")
    found = table(name)
    for group in groups:
        for a, b in combinations(group, 2):
            assert not any(separated(found[a][metric], found[b][metric]) for metric in metrics), (a, b)


def test_what_the_directions_and_reductions_of_the_loss_do() -> None:
    page, found = read("docs/testbed.md"), table("calibrate")
    rows = {variant: row for (_, variant), row in found.items()}
    means = [row for variant, row in rows.items() if "mean" in variant]
    assert len(means) == 4
    assert not any(separated(a[m], b[m]) for a, b in combinations(means, 2) for m in ALL)
    for reduction in ("sum", "elements"):
        both = [row for variant, row in rows.items() if reduction in variant]
        assert len(both) == 2
        assert not any(separated(both[0][m], both[1][m]) for m in ALL)
    assert "on `food`, with 16 shots and the testbed's λ of 0.5" in page
    runs = [run for run in read_records(RESULTS / "calibrate.jsonl") if run["sar"]]
    assert {run["source"]["dataset"] for run in runs} == {"food"}
    lost = rows["baseline"]["base"][0] - max(row["base"][0] for v, row in rows.items() if "sum" in v)
    assert f"lowers Base by {lost:.0f} points" in page


def test_rows_that_are_compared_are_separated() -> None:
    three, weights = table("table3"), table("fig4")
    for metric in ALL:
        assert separated(three["CoOp", "baseline"][metric], three["CoOp", "sar"][metric])
    changes = [three["CoOp", "sar"][m][0] - three["CoOp", "baseline"][m][0] for m in ("new", "base")]
    assert f"New rises by {changes[0]:.1f} points and Base falls by {-changes[1]:.1f}" in read(
        "docs/testbed.md"
    )
    new, base = ({v: row[m] for (_, v), row in weights.items()} for m in ("new", "base"))
    assert separated(new["0.5"], new["1.5"])
    assert all(separated(base["0.5"], base[v]) for v in ("1.0", "1.5"))
    assert (
        f"New accuracy increases with λ over this range ({new['0.1'][0]:.1f}, {new['0.5'][0]:.1f} and "
        f"{new['1.5'][0]:.1f} at λ = 0.1, 0.5 and 1.5); base accuracy is {base['0.5'][0] - base['1.0'][0]:.1f} to "
        f"{base['0.5'][0] - base['1.5'][0]:.1f} points lower above 0.5"
    ) in read("docs/use.md")
    assert (
        f"Base is {base['0'][0]:.2f} without SAR, {base['0.5'][0]:.2f} at λ = 0.5 and {base['1.5'][0]:.2f} at λ = 1.5"
    ) in read("docs/testbed.md")


def test_50_and_200_novel_classes() -> None:
    found = table("fig3")
    few, many = found["CoOp", "sar_novel50"], found["CoOp", "sar"]
    new = [f"{row['new'][0]:.2f} ± {row['new'][1]:.2f}" for row in (few, many)]
    h = [f"{row['h'][0]:.2f}" for row in (few, many)]
    assert f"reach New {new[0]} and 200 reach {new[1]}; H is {h[0]} and {h[1]}" in read("docs/use.md")
    assert f"{new[0]} of New and an H of {h[0]}, and 200 with 64 sampled ones {new[1]} and {h[1]}" in read(
        "docs/testbed.md"
    )


def test_the_training_time_that_sar_adds() -> None:
    text = (ROOT / "examples" / "paper" / "rendered" / "table2.csv").read_text(encoding="utf-8")
    seconds = {
        row["variant"]: float(row["ours"])
        for row in csv.DictReader(io.StringIO(text))
        if row["metric"] == "training s"
    }
    alone, with_sar = seconds["baseline"], seconds["sar"]
    more = round(100 * (with_sar / alone - 1))
    assert f"**{more} % more training time** here ({alone:.1f} s → {with_sar:.1f} s)" in read(
        "docs/testbed.md"
    )


def test_new_against_zero_shot() -> None:
    zero_shot, with_sar = {}, {}
    for run in read_records(RESULTS / "methods.jsonl"):
        if run["source"]["split"] == "scene" and run["title"] in ("zero-shot", "CoOp + SAR"):
            into = zero_shot if run["title"] == "zero-shot" else with_sar
            into.setdefault(run["source"]["dataset"], []).append(run["results"]["new"])
    means = [{d: sum(v) / len(v) for d, v in found.items()} for found in (zero_shot, with_sar)]
    assert len(means[0]) == len(means[1]) == 6
    assert sum(means[1][d] < means[0][d] for d in means[0]) == 5
    averages = [sum(found.values()) / 6 for found in means]
    assert (
        f"New stays below zero-shot CLIP on five of the testbed's six data sets ({averages[1]:.1f} against "
        f"{averages[0]:.1f} on average)"
    ) in read("README.md")


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/testbed.md", "docs/when-not.md"])
def test_every_page_with_the_gain_names_that_of_rebuilt_weights(page: str) -> None:
    source = read("examples/testbed/README.md")
    rebuilt = re.search(
        r"raised New from ([\d.]+) to ([\d.]+) with SAR on the rebuilt model, and from ([\d.]+) to ([\d.]+)",
        source,
    )
    before, after, shipped_before, shipped_after = map(float, rebuilt.groups())
    animals = [
        run["results"]["new"]
        for run in read_records(RESULTS / "methods.jsonl")
        if (run["source"]["dataset"], run["source"]["split"], run["title"])
        == ("animals", "scene", "CoOp + SAR")
    ]
    assert f"{sum(animals) / 3:.1f}" == f"{shipped_after:.1f}"
    text = read(page)
    assert f"{after - before:.1f} points" in text or f"by {after - before:.1f} with" in text
    assert f"{shipped_after - shipped_before:.1f}" in text
    assert "`animals`" in text


def test_the_commit_of_the_records_and_the_test_that_repeats_a_run() -> None:
    commits = {
        run["git"]
        for path in RESULTS.glob("*.jsonl")
        if path.name != "lists.jsonl"
        for run in read_records(path)
    }
    (commit,) = commits
    page = read("docs/testbed.md")
    assert f"made at commit {commit[:7]}" in page
    path, name = "tests/paper/test_committed.py", "test_a_run_done_again_gives_the_committed_numbers"
    assert f"`{name}` in `{path}`" in page
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_how_many_names_the_oracle_has() -> None:
    counts = [
        len(run["bank"]["novel"])
        for run in read_records(RESULTS / "fig5.jsonl")
        if run["bank"] and run["bank"]["provenance"]["source"] == "oracle"
    ]
    assert f"These are {min(counts)} to {max(counts)} names" in read("docs/testbed.md")


@pytest.mark.parametrize("name", ["train_step", "bank", "prompt_attention"])
def test_the_load_of_the_machine_stands_beside_its_measurement(name: str) -> None:
    machine = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))["machine"]
    load = machine["load average"][0]
    assert machine["cores"] == 2
    assert f"| `{name}.json` | {load} |" in read("docs/performance.md")


def test_the_comparison_with_cropped_encoding() -> None:
    rows = json.loads((ROOT / "benchmarks" / "results" / "train_step.json").read_text("utf-8"))["rows"]

    def times(cropped: int, n_ctx: int) -> float:
        found = (rows[f"coop, {way} classes, M={n_ctx}"] for way in (f"cropped, {cropped}", "ours, 300"))
        theirs, ours = (row["forward_s"] + row["backward_s"] for row in found)
        return theirs / ours

    assert (
        f"ours takes {times(300, 4):.1f} times less time (M = 4), or {times(300, 16):.1f} times (M = 16). CoOp with "
        f"100 base and 200 novel classes takes {times(100, 4):.2f} times less time than cropped CoOp with the 100 base "
        f"classes alone at M = 4, and {times(100, 16):.2f} times less at M = 16."
    ) in read("docs/performance.md")


def test_random_nouns_against_related_words_on_the_page_of_choosing_words() -> None:
    page, found = (
        read("docs/choosing-words.md"),
        {v: row for (m, v), row in table("fig5").items() if m == "CoOp"},
    )
    new = {name: "{:.1f} ± {:.1f}".format(*found[name]["new"]) for name in found}
    assert (
        f"New {new['random']} with random nouns, {new['related']} with related words and {new['list']} with a plain "
        f"word list, against {new['none']} without SAR. Three seeds separate neither New nor Base nor H of these three"
    ) in page
    assert all(separated(found["none"]["new"], found[name]["new"]) for name in ("random", "related", "list"))
