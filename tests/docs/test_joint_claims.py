"""The page on joint accuracy says what the committed table says."""

from __future__ import annotations

import csv
import io

from tests import ROOT


def test_the_averages_in_the_docs_are_those_of_the_table() -> None:
    page = (ROOT / "docs" / "when-not.md").read_text("utf-8")
    table = (ROOT / "examples" / "paper" / "rendered" / "joint.csv").read_text("utf-8")
    rows: dict[str, list[str]] = {}
    for row in csv.DictReader(io.StringIO(table)):
        if row["dataset"] == "average":
            rows.setdefault(row["classifier"], []).append(f"{float(row['ours']):.1f}")
    assert len(rows) == 7
    for title, values in rows.items():
        assert f"| {title} | {' | '.join(values)} |" in page


def test_what_follows_from_the_table() -> None:
    table = (ROOT / "examples" / "paper" / "rendered" / "joint.csv").read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(table)))
    h = {
        row["classifier"]: float(row["ours"])
        for row in rows
        if (row["dataset"], row["metric"]) == ("average", "h")
    }
    assert max(h, key=h.__getitem__) == "CoOp + SAR, handcrafted for new classes"
    assert h["CoOp"] < h["handcrafted prompts"] < h["CoOp + SAR"] - 0.9
    assert abs(h["CoOp, blended with handcrafted"] - h["CoOp + SAR"]) < 0.25
