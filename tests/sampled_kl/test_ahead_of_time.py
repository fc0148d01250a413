"""Compile the kernels for sm_90 without a GPU, and hold the record of all architectures: no spill, no atomic."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

RECORDS = json.loads((ROOT / "benchmarks/results/kernels.json").read_text(encoding="utf-8"))
ARCHITECTURES = {"sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"}
READ_FEATURES = {
    "ring_kl_forward",
    "ring_kl_backward",
    "sets_kl_forward",
    "dense_backward",
    "gather_backward",
}


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the wheel's cuobjdump is used on x86_64 only")
def test_no_kernel_spills_and_none_has_an_atomic(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "benchmarks.sampled_kl_kernels", "--out", str(tmp_path)]
    command += ["--architectures", "90", "--features", "fp16"]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert result.returncode == 0, result.stderr[-4000:]
    (record,) = json.loads((tmp_path / "kernels.json").read_text(encoding="utf-8")).values()
    check(record)
    assert {row["kernel"] for row in record["kernels"]} == READ_FEATURES | {"ring_order", "draw_sets"}
    assert "Largest value" in (tmp_path / "kernels.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", RECORDS)
def test_the_record_in_the_repository_is_clean(version: str) -> None:
    check(RECORDS[version])
    rows = RECORDS[version]["kernels"]
    for kernel in READ_FEATURES | {"ring_order", "draw_sets"}:
        found = {(row["architecture"], row["features"]) for row in rows if row["kernel"] == kernel}
        features = ("fp32", "fp16", "bf16") if kernel in READ_FEATURES else ("fp32",)
        assert found >= set(itertools.product(ARCHITECTURES, features)), kernel


def test_an_older_triton_is_recorded_beside_the_current_one() -> None:
    assert {"3.6.0", "3.8.0"} <= set(RECORDS)


def test_the_check_can_fail() -> None:
    row = {
        "spilled_bytes": 0,
        "atomics": 0,
        "multiplies": True,
        "architecture": "sm_80",
        "tensor_core_instructions": 8,
        "registers": 100,
        "shared_bytes": 1024,
    }
    check({"kernels": [row]})
    for name, bad in (
        ("spilled_bytes", 8),
        ("atomics", 1),
        ("tensor_core_instructions", 0),
        ("registers", 256),
        ("shared_bytes", 62 * 1024),
    ):
        with pytest.raises(AssertionError):
            check({"kernels": [row | {name: bad}]})


def check(record: dict[str, Any]) -> None:
    for row in record["kernels"]:
        assert row["spilled_bytes"] == 0, row
        assert row["atomics"] == 0, row
        # Turing has no tf32: correct there, and slow.
        assert (
            row["tensor_core_instructions"] > 0 or not row["multiplies"] or row["architecture"] == "sm_75"
        ), row
        assert row["registers"] <= 255, row
        assert row["shared_bytes"] <= 61 * 1024, row
