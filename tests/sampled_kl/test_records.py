"""What is said about the loss's time and memory on a CPU is in the record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import sampled_kl

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
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


def test_gather_and_matmul_cost_more() -> None:
    assert ratio("gather", 1_200, "cpu_ms_min") >= 20
    assert ratio("gather", 1_200, "peak_mb") >= 10
    assert ratio("matmul", 700, "cpu_ms_min") >= 2


@pytest.mark.parametrize("classes", [500, 700, 1_200, 5_000, 21_000])
def test_less_time_and_memory_than_matmul_and_pick(classes: int) -> None:
    assert ratio("matmul", classes, "cpu_ms_min") > 1
    assert ratio("matmul", classes, "peak_mb") > 1


def test_no_slower_than_1_3_times_for_few_classes() -> None:
    assert ratio("matmul", 250, "cpu_ms_min") > 1 / 1.3


def test_linear_to_100_000_classes() -> None:
    small, large = ROWS["ring", 21_000], ROWS["ring", 100_000]
    growth = 100_000 / 21_000
    assert large["cpu_ms_min"] / small["cpu_ms_min"] < 1.5 * growth
    assert large["peak_mb"] / small["peak_mb"] < 1.5 * growth
    assert large["peak_mb"] < 2_000
