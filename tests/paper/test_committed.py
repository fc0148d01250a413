"""The published numbers agree among themselves; the committed tables say what the records say."""

from __future__ import annotations

import subprocess
from pathlib import Path
from statistics import mean

import matplotlib
import numpy as np
import pytest
from PIL import Image

from examples.paper import command, published
from examples.paper.engine import Execution, execute_run
from examples.paper.pack import archives_of
from examples.paper.results import find_runs, settings_key
from examples.paper.sweep import load_sweep, plan
from examples.protocol.evaluation import harmonic_mean
from examples.protocol.recipe import Recipe
from examples.protocol.runs.archive import read_records
from examples.protocol.runs.config import RunConfig, RunSource
from examples.protocol.runs.record import identity, read_record
from tests import ROOT

RENDERED = Path(command.__file__).parent / "rendered"
ARCHIVES = [
    path for path in (Path(command.__file__).parent / "results").glob("*.jsonl") if path.name != "lists.jsonl"
]
IMAGES = ROOT / "docs" / "images"
COMMANDS = {
    "table1": (),
    "table2": (),
    "table3": (),
    "table4": (),
    "table5": (),
    "fig3": (),
    "fig4": (),
    "fig5": (),
    "calibrate": (),
    "joint": (),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_committed_tables_are_rendered_from_the_records(name: str, tmp_path: Path) -> None:
    arguments = (name, *COMMANDS[name], "--no-run", "--out", str(tmp_path), "--render", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 0
    for ending in (".md", ".csv"):
        made, committed = ((folder / f"{name}{ending}").read_text() for folder in (tmp_path, RENDERED))
        assert made == committed
        assert "not run" not in committed


@pytest.mark.skipif(
    matplotlib.__version_info__ < (3, 11), reason="Matplotlib before 3.11 sets text differently"
)
@pytest.mark.parametrize("name", ["fig3", "fig4", "fig5"])
def test_the_pictures_in_the_docs_are_drawn_from_the_records(name: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        command.main((name, "--no-run", "--out", str(tmp_path), "--render", str(tmp_path)))
    drawn, shown = (
        np.asarray(Image.open(path).convert("L"), dtype=float)
        for path in (tmp_path / f"{name}.png", IMAGES / f"{name}_testbed.png")
    )
    assert drawn.shape == shown.shape
    assert abs(drawn - shown).mean() < 1  # of 255: other versions of Matplotlib may place text by a pixel


def test_every_picture_stands_in_one_place() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "*.png", "*.pdf", "*.svg"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [ROOT / name for name in tracked.stdout.split("\0") if name]
    contents = [path.read_bytes() for path in paths if path.is_file()]
    assert len(contents) == len(set(contents)) > 0


def test_every_run_stands_in_the_archives_once_and_names_its_model() -> None:
    records = [record for path in ARCHIVES for record in read_records(path)]
    keys = [(settings_key(record), path.name) for path in ARCHIVES for record in read_records(path)]
    shared = [
        key for key, name in keys if name != "table2.jsonl"
    ]  # whose runs had their process to themselves
    assert len(set(shared)) == len(shared) == 747
    assert len(records) - len(shared) == 9
    testbed = [record for record in records if record["source"]["data"] == "testbed"]
    assert {(record["source"]["model"], record["model"]["name"]) for record in testbed} == {
        ("testbed", "testbed")
    }


def test_the_identity_of_every_run_follows_from_its_settings_and_data() -> None:
    for record in (record for path in ARCHIVES for record in read_records(path)):
        settings = {name: record[name] for name in ("method", "sar", "seed", "source", "recipe")}
        if record["method"] == "zero-shot":
            made_from = []
        else:
            source = RunSource(**record["source"] | {"targets": tuple(record["source"]["targets"])})
            config = RunConfig(
                record["method"], source, Recipe(**record["recipe"]), record["seed"], record["sar"]
            )
            assert config.settings() == settings
            bank = record["bank"]
            names = [*record["classnames"]["trained"], *bank["novel"]] if bank else []
            made_from = [
                record["training"]["shots_fingerprint"],
                [names, bank["templates"]] if bank else None,
            ]
        model = record["model"]
        files = [model["text_fingerprint"], model["image_fingerprint"], record["data"]["fingerprint"]]
        assert identity([settings, files, *made_from]) == record["identity"]


def test_a_run_done_again_gives_the_committed_numbers(tmp_path: Path) -> None:
    """To what another processor's rounding may change: a few test images of some 400, two percent of a curve."""
    (planned,) = (
        run
        for run in plan(load_sweep("fig4"), "testbed", datasets=("smileys",))
        if run.variant == "1.0" and run.config.seed == 1
    )
    (by_seed,) = find_runs([planned], archives_of("fig4")).values()
    committed = by_seed[1]
    assert execute_run(planned, Execution(tmp_path, "cpu", 0)) is None
    (path,) = tmp_path.glob("*-seed1-*.json")
    again = read_record(path)
    assert again is not None
    for name in ("identity", "data", "training"):
        assert again[name] == committed[name]
    assert again["bank"]["novel"] == committed["bank"]["novel"]
    for name in ("ce", "sar"):
        assert again["curves"][name] == pytest.approx(committed["curves"][name], rel=0.02)
    for name in ("base", "new"):
        assert again["results"][name] == pytest.approx(committed["results"][name], abs=1.0)


PAPER = published.paper()
METHODS = ("CoOp", "KgCoOp", "TCP", "MaPLe", "CoPrompt")


def test_every_table_is_complete() -> None:
    counts = {number: sum(key[0] == number for key in PAPER) for number in "12345"}
    assert counts == {"1": 12, "2": 15, "3": 360, "4": 18, "5": 60}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("variant", ["baseline", "sar"])
def test_averages_of_table_3_are_those_of_its_rows(method: str, variant: str) -> None:
    for metric in ("base", "new"):
        rows = [
            v
            for k, v in PAPER.items()
            if k[0] == "3" and k[1] != "average" and k[2:] == (method, variant, metric)
        ]
        assert len(rows) == 11
        assert mean(rows) == pytest.approx(PAPER["3", "average", method, variant, metric], abs=0.0051)


def test_every_h_is_that_of_base_and_new() -> None:
    for (number, dataset, method, variant, metric), value in PAPER.items():
        if metric == "h" and number in "134":
            base, new = (PAPER[number, dataset, method, variant, name] for name in ("base", "new"))
            assert harmonic_mean(base, new) == pytest.approx(value, abs=0.011)


def test_the_one_wrong_average_of_table_5() -> None:
    wrong = []
    for method in METHODS:
        for variant in ("baseline", "sar"):
            cells = [
                PAPER["5", f"imagenet{kind}", method, variant, "acc"]
                for kind in ("_sketch", "_r", "_a", "v2")
            ]
            if abs(mean(cells) - PAPER["5", "average", method, variant, "acc"]) > 0.006:
                wrong.append((method, variant))
    assert wrong == [("TCP", "sar")]
