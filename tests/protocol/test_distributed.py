"""Two processes that share each batch do what one does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed

from examples.protocol.distributed import ProcessGroup
from examples.protocol.runs.experiment import Experiment
from examples.protocol.runs.handcrafted import zero_shot_record
from sar_reg.errors import InputError
from tests.protocol.conftest import MakeRun


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_two_processes_equal_one(
    make_run: MakeRun, tmp_path: Path, popen: Callable[..., subprocess.Popen[bytes]]
) -> None:
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        popen(
            [sys.executable, "-m", "tests.fabricated.start", "shared", str(tmp_path / "two")],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in (0, 1)
    ]
    alone = make_run(out=tmp_path / "one", epochs=5)
    one = alone.start()
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    shared = make_run(out=tmp_path / "two", epochs=5)
    two = shared.finished()
    assert two["processes"] == 2
    for name, curve in one["curves"].items():
        assert two["curves"][name] == pytest.approx(curve, rel=1e-4), name
    ctx = load_file(alone.files.weights)["ctx"]
    assert torch.allclose(load_file(shared.files.weights)["ctx"], ctx, atol=1e-5 * ctx.abs().max())
    assert two["results"]["base"] == one["results"]["base"]
    assert len(shared.files.log.read_text().splitlines()) == 5, "one process alone writes"


def test_all_processes_look_for_the_zero_shot_record_before_one_writes_it(
    experiment: Experiment, tmp_path: Path
) -> None:
    class Watched(ProcessGroup):
        def wait(self) -> None:
            waited.append(len(list(tmp_path.glob("*.json"))))

    waited: list[int] = []
    for _ in range(2):
        zero_shot_record(experiment, tmp_path, Watched(rank=0, size=2))
    assert waited == [0, 1], "one wait, found or not"


def test_processes_that_see_different_folders_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_at_3(total: torch.Tensor) -> None:
        total += 3

    monkeypatch.setattr(distributed, "all_reduce", other_at_3)
    monkeypatch.setattr(distributed, "get_backend", lambda: "gloo")
    ProcessGroup(rank=0, size=2).check_same(3)
    with pytest.raises(InputError, match="process 0 would go on from epoch 0 and another one from elsewhere"):
        ProcessGroup(rank=0, size=2).check_same(0)
