"""The lower bounds for GPUs follow the kernels: their tiles, and the cosines that are kept."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("triton")


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import roofline

    monkeypatch.setattr(sys, "argv", ["roofline"])
    roofline.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| H100")]
    assert len(lines) == 6
    assert lines[0].startswith("| H100 | 250 |")

    gpu = roofline.GPUS[0]
    kept, not_kept = (roofline.forward(n, gpu)[1] / n for n in (4096, 4097))
    assert not_kept == pytest.approx(
        7 * kept
    )  # one half-precision product, and three of tf32 at half the speed
    before = roofline.backward(700, gpu)
    monkeypatch.setitem(roofline.RING_BACKWARD, "ROWS", 64)
    assert roofline.backward(700, gpu) > before
