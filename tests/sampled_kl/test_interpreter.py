"""Run the interpreter's tests in a process in which Triton knows that it is to interpret."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from tests import ROOT


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="this process runs them itself")
def test_kernels_in_the_interpreter(pytestconfig: pytest.Config) -> None:
    command = [sys.executable, "-m", "pytest", "tests/sampled_kl/interpreter", "-q", "-p", "no:cacheprovider"]
    command += [f"-W{warnings}" for warnings in pytestconfig.getoption("pythonwarnings") or []]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert " passed" in result.stdout
