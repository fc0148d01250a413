"""Run a plan in this process, in one process per run, or across GPUs and machines on Ray.

With every engine a finished run is not repeated, an interrupted run continues from its checkpoint, and a failed run
leaves a log and does not stop the others.
"""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from examples.paper.sweep import METHODS, PlannedRun
from examples.protocol.cli.command import estimate
from examples.protocol.data.features import FeatureStore
from examples.protocol.distributed import SINGLE_PROCESS, choose_device
from examples.protocol.runs.config import RunConfig, RunSource
from examples.protocol.runs.experiment import Experiment, ExperimentSettings
from examples.protocol.runs.run import OnEpoch, Run
from sar_reg.errors import InputError, require
from sar_reg.files import write_atomic


@dataclass(frozen=True)
class Execution:
    """Where runs compute and where their files go.

    Attributes:
        out: folder of run records.
        device: cpu, cuda or cuda:N; empty takes a GPU if there is one.
        workers: processes that load images, for a run or, on Ray, for all runs of one GPU.
        save_every: epochs between checkpoints.
        fresh: repeat finished runs.
        store: folder in which runs share image features; None keeps none.
        runs_per_gpu: runs at the same time on one GPU, on Ray.
    """

    out: Path
    device: str = ""
    workers: int = 0
    save_every: int = 1
    fresh: bool = False
    store: Path | None = None
    runs_per_gpu: int = 1


@dataclass(frozen=True)
class Failure:
    """A run that raised: its name and the file with the reason."""

    name: str
    log: Path


def execute_run(planned: PlannedRun, execution: Execution, on_epoch: OnEpoch | None = None) -> Failure | None:
    """Do one run unless it is finished. An exception goes to a log, which a later success removes."""
    try:
        run = open_run(planned.config, execution)
        if execution.fresh:
            run.forget()
        if run.finished() is None:
            if planned.config.source.data != "testbed":
                print(f"{planned.name}: {estimate(run, SINGLE_PROCESS)}", file=sys.stderr)
                if execution.store is not None and not run.method_class.trains_image_side:
                    size = run.experiment.feature_bytes(planned.config.seed, planned.config.recipe.epochs)
                    where = f"in {execution.store}, shared with other runs; --no-store keeps none"
                    print(f"{planned.name}: image features: {size / 1e9:.2f} GB {where}", file=sys.stderr)
            run.start(on_epoch=on_epoch)
    except Exception:
        return _failure(planned, execution, traceback.format_exc())
    _log(planned, execution).unlink(missing_ok=True)
    return None


def _failure(planned: PlannedRun, execution: Execution, text: str) -> Failure:
    return Failure(planned.name, write_atomic(_log(planned, execution), text))


def _log(planned: PlannedRun, execution: Execution) -> Path:
    return execution.out / "failed" / f"{planned.name}.log"


def open_run(config: RunConfig, execution: Execution) -> Run:
    """The run of a config, on an experiment that it shares with its neighbours in the plan."""
    settings = ExperimentSettings.of(config.recipe)
    experiment = shared_experiment(
        config.source, settings, execution.device, execution.workers, execution.store
    )
    return Run(METHODS[config.method], config, experiment, execution.out, save_every=execution.save_every)


@lru_cache(maxsize=1)
def shared_experiment(
    source: RunSource, settings: ExperimentSettings, device: str, workers: int, store: Path | None
) -> Experiment:
    """The experiment of a source and settings; the last one is kept for the runs that follow."""
    return Experiment(source, settings, choose_device(device), workers=workers, store=FeatureStore(store))


def in_order_of_images(planned: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The runs in an order in which those that share an experiment, and so images, follow each other."""
    datasets = list(dict.fromkeys(run.config.source.dataset for run in planned))

    def share(run: PlannedRun) -> tuple[int, str, str]:
        source = run.config.source
        return datasets.index(source.dataset), repr(source), repr(ExperimentSettings.of(run.config.recipe))

    return sorted(planned, key=share)


def run_inline(
    planned: Sequence[PlannedRun], execution: Execution, on_epoch: OnEpoch
) -> Iterator[Failure | None]:
    """One after the other in this process."""
    for run in planned:
        yield execute_run(run, execution, on_epoch)


def run_isolated(
    planned: Sequence[PlannedRun], execution: Execution, command: Callable[[int], Sequence[str]]
) -> Iterator[Failure | None]:
    """One after the other, each in a new process that `command` starts by the run's number in the plan."""
    for number, run in enumerate(planned):
        done = subprocess.run(command(number), capture_output=True, text=True)
        if done.returncode == 0:
            yield None
            continue
        log = _log(run, execution)
        known = log.read_text("utf-8") if log.is_file() else ""  # the run's own words, if it came that far
        yield _failure(run, execution, known or f"{done.stdout}\n{done.stderr}")


def run_on_ray(
    planned: Sequence[PlannedRun], execution: Execution, *, isolated: bool = False
) -> Iterator[Failure | None]:
    """On a Ray cluster: that of RAY_ADDRESS, or this machine's cores and GPUs.

    Where there are GPUs, `execution.runs_per_gpu` runs share one and its processes that load images; elsewhere a run
    takes a core for itself and for each such process. A run whose worker dies is started again, up to three times,
    and continues from its checkpoint; `execution.out` must be a folder that all machines see. A worker does several
    runs unless they are to be `isolated`.

    Raises:
        InputError: if no machine without GPUs has as many cores as a run takes.
    """
    ray: Any = require("ray", extra="cluster")
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(include_dashboard=False, log_to_driver=False)
    try:
        execution, cores, gpus = share_of_machine(
            execution,
            gpus=bool(ray.cluster_resources().get("GPU", 0)),
            cores=max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]),
        )
        calls = 1 if isolated else 0  # of a worker, before it ends; 0: any number
        task = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=3, max_calls=calls)(_execute_on_ray)
        waiting = {task.remote(run, execution): run for run in planned}
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            run = waiting.pop(ready)
            try:
                yield ray.get(ready)
            except ray.exceptions.RayError as error:
                yield _failure(run, execution, str(error))
    finally:
        if started_here:
            ray.shutdown()


def share_of_machine(execution: Execution, *, gpus: bool, cores: int) -> tuple[Execution, int, float]:
    """What one of the runs at the same time gets: its part of the workers, cores and GPUs.

    Args:
        execution: of all runs.
        gpus: whether the cluster has any.
        cores: of the largest machine.
    """
    if gpus:  # the GPUs bound the runs, and cores that Ray counts must leave none of them idle
        at_once = execution.runs_per_gpu
        return replace(execution, workers=execution.workers // at_once), 1, 1 / at_once
    if execution.workers >= cores:
        raise InputError(
            f"a run with --workers {execution.workers} takes {execution.workers + 1} cores, and the largest machine "
            f"of the cluster has {cores}; pass --workers {cores - 1} or fewer"
        )
    return execution, 1 + execution.workers, 0


def _execute_on_ray(planned: PlannedRun, execution: Execution) -> Failure | None:
    torch.set_num_threads(1)  # as many runs as cores share the machine
    return execute_run(planned, execution)
