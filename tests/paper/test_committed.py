"""The committed tables are what the committed run records say, and a run done again says the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.paper import command
from examples.paper.engine import Execution, execute_run
from examples.paper.pack import archives_of
from examples.paper.results import find_runs, settings_key
from examples.paper.sweep import load_sweep, plan
from examples.protocol.runs.archive import read_records
from examples.protocol.runs.record import read_record
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
