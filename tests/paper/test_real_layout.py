"""Every table and figure started on the paper's data, in its layout: each of its variants for an epoch, rendered.

The data sets are small, made by the test and read by the real loaders; the model has random weights.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from examples.paper import command, engine, options, reproduce
from examples.paper.engine import run_inline
from examples.paper.sweep import NAMES, Sweep, load_sweep
from examples.protocol import data
from examples.protocol.data import catalogue
from examples.protocol.data.fabricate import fabricate
from examples.protocol.runs import experiment
from tests.fabricated.runs import small_clip

COUNTS = {"imagenet": (24, 0, 12), **dict.fromkeys(data.SHIFTED, (0, 0, 12))}


def small_source(key: str) -> catalogue.CatalogueEntry:
    """The data set's facts, with the numbers of the fabricated one as the published ones."""
    return replace(catalogue.entry_of(key), classes=4, counts=COUNTS.get(key, (24, 8, 12)))


def small_sweep(name: str) -> Sweep:
    return replace(load_sweep(name), methods=("CoOp",), seeds=(1,))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "load_clip", lambda source, recipe, device: small_clip())
    monkeypatch.setattr(data, "entry_of", small_source)
    monkeypatch.setattr(options, "load_sweep", small_sweep)
    monkeypatch.setattr(
        reproduce, "run_isolated", lambda planned, place, _: run_inline(planned, place, quiet)
    )
    engine.shared_experiment.cache_clear()


def quiet(epoch: int, values: dict[str, float]) -> None:
    """No progress."""


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    return ended.value.code


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_runs_and_is_rendered(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = load_sweep(name).on("real data")
    key = "dtd" if "dtd" in sweep.datasets else sweep.datasets[0]
    for each in (key, *sweep.targets):
        fabricate(tmp_path / "data", each)
    place = ("--data", str(tmp_path / "data"), "--out", str(tmp_path), "--datasets", key)
    assert run(name, *place, "--epochs", "1") == 0, capsys.readouterr().err
    assert len(list(tmp_path.rglob(f"{key}*-seed1-*.json"))) == len(sweep.variants)
    assert (tmp_path / "features").is_dir() == (not sweep.isolated)  # which measures all that a run takes
    printed = capsys.readouterr()
    assert printed.err.count(": memory: a step needs about ") == len(sweep.variants)
    assert printed.err.count(": image features: 0.00 GB in ") == (
        0 if sweep.isolated else len(sweep.variants)
    )
    written = {Path(line) for line in printed.out.splitlines()}
    stem = tmp_path / "rendered" / name
    if name in ("fig1", "fig3", "fig4", "fig5"):
        assert {stem.with_suffix(".png"), stem.with_suffix(".pdf")} <= written
        with Image.open(stem.with_suffix(".png")) as picture:
            assert picture.width > 500
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    if name != "fig1":
        assert {stem.with_suffix(".md"), stem.with_suffix(".csv")} <= written
        with stem.with_suffix(".csv").open() as stream:
            ours = [row["ours"] for row in csv.DictReader(stream) if row["dataset"] == key]
        assert len(ours) >= 2 * len(sweep.variants)
        assert all(float(value) >= 0 for value in ours if value)
        assert "*not run*" not in stem.with_suffix(".md").read_text().partition("\n\n*not run*")[0]


def test_a_failed_run_of_figure_1_ends_in_a_log_and_no_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--data", str(tmp_path / "data"), "--out", str(tmp_path))
    (tmp_path / "data").mkdir()
    assert run("fig1", *place) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    logs = [tmp_path / "failed" / f"eurosat-coop-{variant}-seed1.log" for variant in ("baseline", "sar")]
    assert [line.rpartition("see ")[2] for line in printed.err.splitlines()] == list(map(str, logs))
    assert "no split is ever made up" in logs[0].read_text()
    fabricate(tmp_path / "data", "eurosat")
    assert run("fig1", *place, "--epochs", "1") == 0
    assert not any(log.exists() for log in logs)
