"""The published numbers agree with each other where they should, and differ where the paper has a slip."""

from __future__ import annotations

from statistics import mean

import pytest

from examples.paper import published
from examples.protocol.evaluation import harmonic_mean

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
