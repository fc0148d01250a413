"""Both sides of the loss's benchmark are measured alike."""

from __future__ import annotations

import pytest

from benchmarks import sampled_kl


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
