"""The runs of a sweep on Ray, started here as the real thing, with a worker killed in the middle of a run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from examples.paper.engine import Execution, run_inline, run_on_ray
from examples.paper.results import find_runs
from examples.paper.sweep import PlannedRun, load_sweep, plan

EPOCHS = 40


@pytest.fixture(scope="module")
def planned() -> list[PlannedRun]:
    sweep = replace(load_sweep("table3"), methods=("CoOp",), seeds=(1,))
    return plan(sweep, "testbed", datasets=("activities",), epochs=EPOCHS, shots=8, n_novel=60)


class Killer(threading.Thread):
    """Kills a worker once every worker has finished an epoch of its run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.killed: int | None = None

    def run(self) -> None:
        until = time.monotonic() + 120
        while self.killed is None and time.monotonic() < until:
            workers = list(self._workers())
            if workers and len(list(self.folder.glob("*.checkpoint"))) >= len(workers):
                self.killed = next((p.pid for p in workers if _kill(p)), None)
            time.sleep(0.02)

    def _workers(self) -> Iterator[psutil.Process]:
        for process in psutil.Process().children(recursive=True):
            try:
                if "_execute_on_ray" in " ".join(process.cmdline()):
                    yield process
            except psutil.Error:
                continue


def _kill(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.Error:
        return False
    return True


# Ray leaves sockets of its own to the interpreter's end
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_lost_when_a_worker_dies(planned: list[PlannedRun], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    killer = Killer(tmp_path / "ray")
    killer.start()
    outcomes = list(run_on_ray(planned, Execution(tmp_path / "ray")))
    killer.join()
    assert killer.killed is not None
    assert outcomes == [None] * len(planned)
    on_ray = find_runs(planned, [tmp_path / "ray"])
    assert list(run_inline(planned, Execution(tmp_path / "here"), lambda *_: None)) == [None] * len(planned)
    here = find_runs(planned, [tmp_path / "here"])
    for group, runs in here.items():
        assert {seed: run["results"] for seed, run in runs.items()} == {
            seed: run["results"] for seed, run in on_ray[group].items()
        }
    taken_up = [run["resumed_at_epoch"] for runs in on_ray.values() for run in runs.values()]
    assert max(taken_up) > 0, json.dumps(taken_up)
