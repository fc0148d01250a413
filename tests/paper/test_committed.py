"""The committed tables are what the committed run records say, and a run done again says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.paper import command
from examples.paper.engine import Execution, execute_run
from examples.paper.results import find_runs
from examples.paper.sweep import load_sweep, plan
from examples.protocol.runs.record import read_record
from tests import ROOT

RENDERED = Path(command.__file__).parent / "rendered"
RECORDS = Path(command.__file__).parent / "results"
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


@pytest.mark.parametrize("name", ["fig1", "fig3", "fig4", "fig5"])
def test_the_pictures_in_the_docs_are_the_rendered_ones(name: str) -> None:
    assert (IMAGES / f"{name}_testbed.png").read_bytes() == (RENDERED / f"{name}.png").read_bytes()


def test_a_run_done_again_gives_the_committed_numbers(tmp_path: Path) -> None:
    """To what another processor's rounding may change: a few test images of some 400, two percent of a curve."""
    (planned,) = (
        run
        for run in plan(load_sweep("fig4"), "testbed", datasets=("smileys",))
        if run.variant == "1.0" and run.config.seed == 1
    )
    (by_seed,) = find_runs([planned], [RECORDS]).values()
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
