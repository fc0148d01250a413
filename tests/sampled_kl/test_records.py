"""The records of the loss: what the docs say about time and memory, and the study of uniformity."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import sampled_kl
from benchmarks.sampled_kl_uniformity import chi_squares, control_sets, drawn_sets, study
from tests import ROOT

RESULTS = ROOT / "benchmarks" / "results"
RECORD = json.loads((RESULTS / "sampled_kl.json").read_text(encoding="utf-8"))
ROWS = {(row["path"], row["n"]): row for row in RECORD["rows"]}


def ratio(path: str, classes: int, what: str) -> float:
    """Of a path's cost to the ring's."""
    return ROWS[path, classes][what] / ROWS["ring", classes][what]


def test_the_table_shows_the_record() -> None:
    assert (RESULTS / "sampled_kl.md").read_text(encoding="utf-8") == sampled_kl.as_markdown(RECORD)


def test_all_paths_were_right_before_they_were_timed() -> None:
    assert set(RECORD["gate"]) == set(sampled_kl.PATHS)
    assert max(RECORD["gate"].values()) < 1e-4


def test_what_the_page_says() -> None:
    page = " ".join((ROOT / "docs" / "loss-measurements.md").read_text(encoding="utf-8").split())
    small, large = ROWS["ring", 21_000], ROWS["ring", 100_000]
    time, memory = ratio("gather", 1_200, "cpu_ms_p50"), ratio("gather", 1_200, "peak_mb")
    growth = [large[what] / small[what] for what in ("n", "cpu_ms_p50", "peak_mb")]
    assert f"the ring takes {time:.0f} times less time than gather and {memory:.0f} times less memory" in page
    matmul, kept = (ratio(path, 700, "cpu_ms_p50") for path in ("matmul", sampled_kl.KEPT))
    assert (
        f"at 700 it takes {matmul:.1f} times less time than matmul and {kept:.1f} times less than matmul with the "
        "target kept"
    ) in page
    assert (
        f"{growth[0]:.1f} times as many, the ring's time grows {growth[1]:.1f} times and its memory "
        f"{growth[2]:.1f} times, to {large['peak_mb']:.0f} MB"
    ) in page


def test_the_ring_takes_less_of_both_than_any_of_the_three() -> None:
    page = " ".join((ROOT / "docs" / "loss-measurements.md").read_text(encoding="utf-8").split())
    for classes in sampled_kl.SIZES[:-1]:
        for path in ("gather", "matmul", sampled_kl.KEPT):
            if (path, classes) != (sampled_kl.KEPT, 250):
                assert ratio(path, classes, "cpu_ms_p50") > 1
                assert ratio(path, classes, "peak_mb") > 1
    assert "From 500 to 21,000 classes it takes less time and less memory than any of the three." in page
    kept = ratio(sampled_kl.KEPT, 250, "cpu_ms_p50")
    assert f"At 250, matmul with the target kept takes {kept:.1f} times the ring's time." in page


def test_what_compiling_the_others_buys() -> None:
    page = " ".join((ROOT / "docs" / "loss-measurements.md").read_text(encoding="utf-8").split())
    compiled = [("gather, compiled", n) for n in (250, 500, 700, 1_200)]
    compiled += [("matmul, compiled", 250)]
    times = [ratio(path, n, "cpu_ms_p50") for path, n in compiled]
    assert all(ratio(path, n, "peak_mb") < 1 for path, n in compiled)
    assert ratio("gather, compiled", 5_000, "peak_mb") > 1
    assert all(ratio("matmul, compiled", n, "peak_mb") > 1 for n in (500, 700))
    assert (
        "gather needs less memory than the ring up to 1,200 classes, and matmul at 250, "
        f"at {min(times):.0f} to {max(times):.0f} times its time"
    ) in page


def test_the_aims() -> None:
    assert ratio("gather", 1_200, "cpu_ms_p50") >= 20
    assert ratio("gather", 1_200, "peak_mb") >= 10
    assert ratio("matmul", 700, "cpu_ms_p50") >= 2
    assert ratio(sampled_kl.KEPT, 700, "cpu_ms_p50") >= 2
    assert ratio(sampled_kl.KEPT, 250, "cpu_ms_p50") > 1 / 1.3
    assert ROWS["ring", 100_000]["peak_mb"] < 2_000


def test_uniform_sets_pass_and_neighbouring_ones_are_found() -> None:
    generator = np.random.default_rng(1)
    n, k, draws = 23, 7, 1000
    controls = np.array([chi_squares(control_sets(n, k, draws, generator)) for _ in range(50)])
    windows = np.zeros((draws, n - 1), dtype=np.float32)
    for row, start in enumerate(generator.integers(0, n - 1, draws)):
        windows[row, (start + np.arange(k)) % (n - 1)] = 1  # each class alike, pairs not
    single, pairs = chi_squares(windows)
    assert single < 3 * controls[:, 0].max()
    assert pairs > 5 * controls[:, 1].max()
    favoured = control_sets(n, k, draws, generator)
    favoured[:200] = favoured[0]
    assert chi_squares(favoured)[0] > 2 * controls[:, 0].max()


def test_the_row_itself_is_left_out() -> None:
    sets = drawn_sets(11, 4, 50, "ring")
    assert sets.shape == (50, 10)
    assert (sets.sum(axis=1) == 4).all()


def test_a_study_has_a_p_value_for_each_sampling() -> None:
    rows = study(11, 4, 300, 20)
    assert [row["sampling"] for row in rows] == ["ring", "independent"]
    assert all(0 < row[name] <= 1 for row in rows for name in ("p_classes", "p_pairs"))


def test_every_path_runs_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled_kl, "RUNS", {70: 4})
    rows = [sampled_kl.measure(path, 70) for path in ("gather", "ring")]
    assert [row["runs"] for row in rows] == [4, 4]
    for row in rows:
        for kind in ("cpu", "wall"):
            assert 0 < row[f"{kind}_ms_p20"] <= row[f"{kind}_ms_p50"] <= row[f"{kind}_ms_p80"]
    record = {"command": "x", "cpu": "y", "torch": "z", "date": "d", "rows": rows, "gate": {"ring": 1e-6}}
    shown = sampled_kl.as_markdown(record)
    assert "20th percentile" in shown
    assert f"| ring | {rows[1]['cpu_ms_p50']:.1f} |" in shown
