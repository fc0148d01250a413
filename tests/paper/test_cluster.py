"""The runs of a sweep on Ray, started here as the real thing, with the workers killed in the middle of a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from examples.paper import engine
from examples.paper.engine import Execution, run_inline, run_on_ray
from examples.paper.results import find_runs
from examples.paper.sweep import PlannedRun, load_sweep, plan
from sar_reg.errors import InputError

EPOCHS = 12


@pytest.fixture(scope="module")
def planned() -> list[PlannedRun]:
    sweep = replace(load_sweep("table3"), methods=("CoOp",), seeds=(1,))
    return plan(sweep, "testbed", datasets=("activities",), epochs=EPOCHS, shots=8, n_novel=60)


class Killer(threading.Thread):
    """Kills the workers once one of them has finished an epoch of its run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.killed = 0
        self.runs_ended = threading.Event()

    def run(self) -> None:
        while not self.killed and not self.runs_ended.wait(0.02):
            if any(self.folder.glob("*.checkpoint")):
                self.killed = sum(_kill(process) for process in list(self._workers()))

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
def test_nothing_is_lost_when_workers_die(planned: list[PlannedRun], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    killer = Killer(tmp_path / "ray")
    killer.start()
    outcomes = list(run_on_ray(planned, Execution(tmp_path / "ray")))
    killer.runs_ended.set()
    killer.join()
    assert killer.killed > 0
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


class Cluster:
    """Stands in for Ray: keeps what a task asks for and what it is given, and says that every run is done."""

    def __init__(self, *, gpus: int, cores: tuple[int, ...]) -> None:
        self.gpus, self.cores = gpus, cores
        self.asked: dict[str, Any] = {}
        self.given: list[Execution] = []
        self.exceptions = SimpleNamespace(RayError=RuntimeError)

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(sum(self.cores))} | ({"GPU": float(self.gpus)} if self.gpus else {})

    def nodes(self) -> list[dict[str, Any]]:
        gone = {"Alive": False, "Resources": {"CPU": 1000.0}}
        return [gone, *({"Alive": True, "Resources": {"CPU": float(n)}} for n in self.cores)]

    def remote(self, **asked: Any) -> Any:
        self.asked = asked
        return lambda _: SimpleNamespace(remote=self._start)

    def _start(self, run: PlannedRun, execution: Execution) -> int:
        self.given.append(execution)
        return len(self.given)

    def wait(self, waiting: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        return waiting[:num_returns], waiting[num_returns:]

    def get(self, ready: int) -> None:
        return None


def share(
    planned: list[PlannedRun], cluster: Cluster, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, int, float]:
    """Workers, cores and GPUs of each run."""
    monkeypatch.setattr(engine, "require", lambda *_, **__: cluster)
    assert list(run_on_ray(planned, execution)) == [None] * len(planned)
    (workers,) = {given.workers for given in cluster.given}
    return workers, cluster.asked["num_cpus"], cluster.asked["num_gpus"]


@pytest.mark.parametrize(
    ("workers", "at_once", "each"), [(8, 1, 8), (8, 2, 4), (8, 3, 2), (1, 2, 0), (0, 2, 0)]
)
def test_runs_on_one_gpu_divide_its_workers(
    planned: list[PlannedRun],
    workers: int,
    at_once: int,
    each: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = Execution(tmp_path, workers=workers, runs_per_gpu=at_once)
    cluster = Cluster(gpus=4, cores=(4, 8))  # two cores per GPU: more workers than cores leave no GPU idle
    assert share(planned, cluster, execution, monkeypatch) == (each, 1, 1 / at_once)
    assert each * at_once <= workers


def test_a_run_without_gpu_takes_a_core_for_itself_and_for_each_worker(
    planned: list[PlannedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(gpus=0, cores=(2, 8))
    assert share(planned, cluster, Execution(tmp_path), monkeypatch) == (0, 1, 0)
    assert share(planned, Cluster(gpus=0, cores=(2, 8)), Execution(tmp_path, workers=7), monkeypatch) == (
        7,
        8,
        0,
    )
    with pytest.raises(InputError, match=r"--workers 8 takes 9 cores.*has 8; pass --workers 7 or fewer"):
        share(planned, cluster, Execution(tmp_path, workers=8), monkeypatch)
