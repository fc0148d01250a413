"""The script for a GPU runs from end to end with tiny sizes on a CPU, and survives what goes wrong in a section."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import encoder
from benchmarks.gpu.__main__ import SECTIONS, main
from benchmarks.gpu.bench import Bench


def test_a_dry_run_does_every_section(tmp_path: Path) -> None:
    assert main(["--dry", "--out", str(tmp_path)]) == 0

    record = json.loads((tmp_path / "gpu.json").read_text())
    found = record["sections"]
    assert list(found) == [name for name, _, _ in SECTIONS]
    assert all(isinstance(section, dict) and "FAILED" not in section for section in found.values())
    for name in ("loss: correctness", "loss: properties", "encoder: correctness"):
        assert found[name]["checks"] > 0
        assert found[name]["failed"] == []
    shown = (tmp_path / "gpu.md").read_text()
    assert "Card: CPU, dry run." in shown
    for row in ("step, official, 4 + 50", "encoder, packed, 8 classes", "loss, ring, N=70"):
        assert f"| {row}" in shown


@pytest.mark.usefixtures("graph_device")
def test_rows_with_cuda_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run with recorded graphs on a CPU, so that nothing fails for the first time on a GPU."""
    monkeypatch.setattr(Bench, "graphs", True)
    bench = Bench(tmp_path, seconds=60, dry=True)

    found = encoder.correctness(bench)
    assert "float16, packed, cuda_graph" in found["errors"]
    assert found["failed"] == []
    assert "encoder, packed, cuda_graph, 8 classes" in encoder.timing(bench)
    assert "step, examples.coop --cuda-graph, 4 + 200, independent" in encoder.step_timing(bench)


def test_a_section_that_fails_is_recorded_and_the_next_one_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path, seconds=60, dry=True)

    def broken(_: Bench) -> None:
        raise ValueError("no such card")

    bench.section("first", 0, broken)
    bench.section("second", 0, lambda _: {"answer": 42})

    found = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert "ValueError: no such card" in found["first"]["FAILED"]
    assert found["second"] == {"answer": 42}
    assert "| first | FAILED: ValueError: no such card |" in (tmp_path / "gpu.md").read_text()


def test_no_section_begins_without_the_time_it_needs(tmp_path: Path) -> None:
    bench = Bench(tmp_path, seconds=5, dry=True)
    bench.section("long", 90, lambda _: pytest.fail("it ran"))
    assert bench.record["sections"]["long"] == "not run: 5 s left, 90 needed"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "there is no CUDA device; --dry runs tiny sizes on the CPU" in capsys.readouterr().err


def test_lower_bounds_follow_the_kernels_tiles_and_the_kept_cosines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("triton")
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
