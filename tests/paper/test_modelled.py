"""The estimate without data: its counts are those of the loaders, and the docs show what the command prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from examples.paper import command, engine, modelled, rehearsal
from examples.paper.engine import Execution, open_run
from examples.paper.modelled import modelled_speed, published_sizes
from examples.paper.sweep import PlannedRun, load_sweep, plan
from examples.protocol.data import numbers_of, open_dataset
from examples.protocol.data.catalogue import entry_of
from examples.protocol.data.fabricate import declare, fabricate, names_of
from examples.protocol.runs.duration import Counts, count
from tests import ROOT

RENDERED = ROOT / "examples" / "paper" / "rendered" / "estimate.md"
SMALL = {"dtd": (20, 1, 3), "imagenet": (17, 0, 2), "imagenet_r": (0, 0, 4)}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        command.main((*arguments, "--estimate", "--data", "published"))
    assert ended.value.code == 0
    return capsys.readouterr().out


def cells(table: str, line: str) -> list[str]:
    (row,) = (row for row in table.splitlines() if row.startswith(f"| {line} "))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_table_in_the_docs_is_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "all").strip() == RENDERED.read_text("utf-8").strip()
    assert '--8<-- "examples/paper/rendered/estimate.md"' in (ROOT / "docs" / "reproduce.md").read_text(
        "utf-8"
    )


@pytest.mark.parametrize(("key", "targets"), [("dtd", ()), ("imagenet", ("imagenet_r",))])
def test_counts_are_those_of_the_loaders(
    key: str, targets: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On data in the official layout, with as many classes and images as the catalogue is made to say."""
    sizes = {}
    for name in (key, *targets):
        fabricate(tmp_path, name, images=SMALL[name], names=names_of(name, 11))
        counts = tuple(11 * images for images in SMALL[name])
        sizes[name] = replace(entry_of(name), classes=11, counts=counts)
    declare(tmp_path, {name: numbers_of(open_dataset(name, tmp_path, verify=False)) for name in sizes})
    monkeypatch.setattr(modelled, "entry_of", sizes.__getitem__)
    monkeypatch.setattr(modelled, "FEATURES", rehearsal.CONFIG["embed_dim"])
    weights = rehearsal.write_small_clip(tmp_path / "model")
    sweep = replace(
        load_sweep("table5" if targets else "table3"), methods=("CoOp",), seeds=(1,), targets=targets
    )
    origin = {"model": rehearsal.MODEL, "pretrained": str(weights)}
    run = plan(sweep, str(tmp_path), datasets=(key,), origin=origin)[0]
    engine.shared_experiment.cache_clear()
    assert published_sizes(run.config) == count(open_run(run.config, Execution(tmp_path)))


def test_shared_runs_and_views_count_once(capsys: pytest.CaptureFixture[str]) -> None:
    """16 shots of 1,098 base classes, 100 epochs and three seeds, and the test images once."""
    everything = printed(capsys, "all")
    train, test = 3 * 100 * 16 * 1098, sum(entry_of(key).counts[2] for key in load_sweep("table3").datasets)
    first = cells(everything, "table1")
    assert first[1] == "132"
    assert first[4] == f"{train + test:,}"
    assert first[5] == f"{(train + test) * 512 * 4 / 1e9:.2f}"
    alone = printed(capsys, "table3")
    assert cells(alone, "CoOp")[4] == f"{train + test:,}"
    # the views of fewer epochs are among those of more, for every frozen image tower
    assert cells(alone, "KgCoOp")[4] == cells(alone, "TCP")[4] == "0"
    assert cells(alone, "all")[1] == "330"
    assert cells(everything, "table3")[1] == str(330 - 66)  # CoOp's are in table 1
    assert cells(everything, "fig1")[1] == "0"
    costs = cells(everything, "table2")
    assert costs[3] == costs[4]  # measures time, so it keeps no features


def _run(method: str, variant: str) -> PlannedRun:
    sweep = replace(load_sweep("table3"), methods=(method,), seeds=(1,))
    return next(run for run in plan(sweep, "published", datasets=("imagenet",)) if run.variant == variant)


def test_the_model_is_bound_by_launches_or_by_operations() -> None:
    sizes = Counts(train=8000, test=50_000, classes=500, feature=2048)
    without, with_sar = (modelled_speed(_run("CoOp", variant), sizes) for variant in ("baseline", "sar"))
    assert with_sar.step == pytest.approx(without.step * 700 / 500)
    few = replace(sizes, classes=5)
    assert modelled_speed(_run("CoOp", "baseline"), few).step == pytest.approx(500 * 6e-6)
    maple, coprompt = (modelled_speed(_run(method, "baseline"), few).step for method in ("MaPLe", "CoPrompt"))
    assert coprompt - maple == pytest.approx(
        4 * modelled.VIEW / modelled.FLOPS
    )  # its second view of four images


def test_only_the_benchmarks_data_sets_have_published_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(("table3", "--estimate", "--data", "published", "--datasets", "food"))
    assert ended.value.code == 2
    assert "no data set is called 'food'" in capsys.readouterr().err
