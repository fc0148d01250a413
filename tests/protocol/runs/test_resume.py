"""Killed in the middle, started again: the same numbers bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from examples.protocol.runs.log import Log
from examples.protocol.runs.run import Run
from tests.protocol.conftest import MakeRun

EPOCHS = 30


class StoppedError(Exception):
    pass


def stop_after(epochs: int):
    def on_epoch(epoch: int, values: dict[str, float]) -> None:
        if epoch + 1 == epochs:
            raise StoppedError

    return on_epoch


def assert_equal_runs(resumed: Run, whole: Run) -> None:
    one, other = resumed.finished(), whole.finished()
    assert one["results"] == other["results"]
    assert one["curves"] == other["curves"]
    assert torch.equal(load_file(resumed.files.weights)["ctx"], load_file(whole.files.weights)["ctx"])


def test_a_killed_process_is_taken_up(
    make_run: MakeRun, tmp_path: Path, popen: Callable[..., subprocess.Popen[bytes]]
) -> None:
    settings = {"epochs": EPOCHS, "save_every": 1}
    killed = make_run(out=tmp_path / "killed", **settings)
    command = [
        sys.executable,
        "-m",
        "tests.fabricated.start",
        "slowly",
        str(tmp_path / "killed"),
        str(EPOCHS),
    ]
    process = popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 300
    while not killed.files.log.exists() or len(killed.files.log.read_text().splitlines()) < 4:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert killed.files.checkpoint.exists()
    assert killed.finished() is None
    record = killed.start()
    assert 3 <= record["resumed_at_epoch"] < EPOCHS
    whole = make_run(out=tmp_path / "whole", **settings)
    whole.start()
    assert_equal_runs(killed, whole)


@pytest.mark.parametrize("changed", [{"sar": False}, {"optimizer": "adam"}, {"augmentation": "crop-flip"}])
def test_other_kinds_of_runs_are_taken_up(make_run: MakeRun, tmp_path: Path, changed: dict) -> None:
    settings = {"epochs": 6, "save_every": 2, **changed}
    stopped = make_run(out=tmp_path / "stopped", **settings)
    with pytest.raises(StoppedError):
        stopped.start(on_epoch=stop_after(5))
    torch.rand(7)  # whatever the next process drew before
    assert stopped.start()["resumed_at_epoch"] == 4
    whole = make_run(out=tmp_path / "whole", **settings)
    whole.start()
    assert_equal_runs(stopped, whole)


def test_without_checkpoints_it_starts_over(make_run: MakeRun) -> None:
    run = make_run(save_every=0)
    with pytest.raises(StoppedError):
        run.start(on_epoch=stop_after(2))
    assert run.start()["resumed_at_epoch"] == 0


@pytest.mark.parametrize("damage", ["cut", "foreign", "of another run"])
def test_a_checkpoint_that_does_not_belong_is_ignored(make_run: MakeRun, damage: str) -> None:
    run = make_run()
    with pytest.raises(StoppedError):
        run.start(on_epoch=stop_after(3))
    stored = run.files.checkpoint.read_bytes()
    if damage == "cut":
        run.files.checkpoint.write_bytes(stored[: len(stored) // 2])
    elif damage == "foreign":
        run.files.checkpoint.write_bytes(run.experiment.bank.save(run.files.checkpoint).read_bytes())
    else:
        run.files.checkpoint.write_bytes(stored.replace(run.identity.encode(), b"0" * 64))
    assert run.start()["resumed_at_epoch"] == 0


def test_the_log_tells_whoever_listens(tmp_path: Path) -> None:
    told = []
    log = Log(tmp_path / "x.jsonl", "a run", lambda epoch, values: told.append((epoch, values)))
    log(0, {"ce": 1.0})
    assert told == [(0, {"ce": 1.0})]
    assert '"run": "a run", "epoch": 1, "ce": 1.0}' in (tmp_path / "x.jsonl").read_text()
