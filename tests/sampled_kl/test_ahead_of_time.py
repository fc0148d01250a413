"""Compile the kernels for sm_80, sm_90 and sm_100 without a GPU: no spill, no atomic."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from tests import ROOT

RECORD = ROOT / "benchmarks/results/kernels.json"


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the wheel's cuobjdump is used on x86_64 only")
def test_no_kernel_spills_and_none_has_an_atomic(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "benchmarks/sampled_kl_kernels.py", "--out", str(tmp_path)]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert result.returncode == 0, result.stderr[-4000:]
    record = json.loads((tmp_path / "kernels.json").read_text(encoding="utf-8"))
    check(record)
    columns = ("kernel", "features", "architecture", "direction", "width")
    assert {tuple(row[column] for column in columns) for row in record["kernels"]} == set(
        product(
            ("forward", "backward"),
            ("fp32", "fp16", "bf16"),
            ("sm_80", "sm_90", "sm_100"),
            ("target||learned", "learned||target"),
            ("16 · i", "other"),
        )
    )


def test_the_record_in_the_repository_is_clean() -> None:
    check(json.loads(RECORD.read_text(encoding="utf-8")))


def test_the_check_can_fail() -> None:
    row = {
        "spilled_bytes": 0,
        "atomics": 0,
        "tensor_core_instructions": 8,
        "registers": 100,
        "shared_bytes": 1024,
    }
    check({"kernels": [row]})
    for name, bad in (
        ("spilled_bytes", 8),
        ("atomics", 1),
        ("tensor_core_instructions", 0),
        ("shared_bytes", 300_000),
    ):
        with pytest.raises(AssertionError):
            check({"kernels": [row | {name: bad}]})


def check(record: dict) -> None:
    for row in record["kernels"]:
        assert row["spilled_bytes"] == 0, row
        assert row["atomics"] == 0, row
        assert row["tensor_core_instructions"] > 0, row
        assert row["registers"] <= 255, row
        assert row["shared_bytes"] <= 99 * 1024, row
