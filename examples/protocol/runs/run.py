"""One run from start to record: train, evaluate, write; a finished run is read instead."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from examples.protocol.data.dataset import fingerprint
from examples.protocol.distributed import SINGLE_PROCESS, ProcessGroup
from examples.protocol.evaluation import harmonic_mean, percent_equal, predict, text_rows
from examples.protocol.joint import ImageSet, Rows, joint_results
from examples.protocol.method import PromptMethod
from examples.protocol.runs.config import RunConfig
from examples.protocol.runs.experiment import Experiment
from examples.protocol.runs.learned import save_learned
from examples.protocol.runs.log import Log, OnEpoch
from examples.protocol.runs.record import (
    Record,
    environment,
    hash_rows,
    identity,
    peak_memory,
    read_record,
    reset_peak_memory,
    write_record,
)
from examples.protocol.training import Checkpoints, train
from sar_reg import SimilarityAlignmentLoss
from sar_reg.shapes import Tensor


@dataclass(frozen=True)
class Files:
    """The files of one run, all beside each other."""

    record: Path
    weights: Path
    checkpoint: Path
    log: Path

    @classmethod
    def of(cls, out: Path, name: str) -> Files:
        """The files of the run called `name`."""
        endings = (".json", ".safetensors", ".checkpoint", ".log.jsonl")
        return cls(*(out / f"{name}{ending}" for ending in endings))


class Run:
    """One config on an opened experiment.

    Args:
        method: the method's class.
        config: what to run.
        experiment: the opened model and data of the config's source and recipe.
        out: folder of records.
        save_every: epochs between checkpoints; 0 keeps none.
        cuda_graph: replay the training steps as CUDA graphs, which changes times only.
        measure_sar: note the SAR loss after training, for which a run without SAR needs the anchor bank too.
    """

    def __init__(
        self,
        method: type[PromptMethod],
        config: RunConfig,
        experiment: Experiment,
        out: Path,
        *,
        save_every: int = 1,
        cuda_graph: bool = False,
        measure_sar: bool = True,
    ) -> None:
        self.method_class = method
        self.config = config
        self.experiment = experiment
        self.save_every = save_every
        self.cuda_graph = cuda_graph
        self.measure_sar = measure_sar
        shots = fingerprint(experiment.training_set(config.seed))
        # what the bank is made from, and not its rows: these differ between processors by rounding
        bank = [experiment.bank.classnames, experiment.bank.templates] if config.sar else None
        self.identity = identity([config.settings(), experiment.fingerprints, shots, bank])
        kind = f"{config.method.lower()}{'-sar' if config.sar else ''}"
        self.files = Files.of(out, f"{experiment.name}-{kind}-seed{config.seed}-{self.identity[:8]}")

    def finished(self) -> Record | None:
        """The record, if this run is finished and its learned tensors exist."""
        record = read_record(self.files.record)
        done = record is not None and record["identity"] == self.identity and self.files.weights.is_file()
        return record if done else None

    def forget(self) -> None:
        """Remove the files of earlier starts of this run."""
        for path in (self.files.record, self.files.weights, self.files.checkpoint, self.files.log):
            path.unlink(missing_ok=True)

    def start(
        self,
        *,
        group: ProcessGroup = SINGLE_PROCESS,
        on_epoch: OnEpoch | None = None,
        tensorboard: bool = False,
    ) -> Record:
        """Train and evaluate, continuing from a checkpoint if there is one; return the record."""
        began = time.time()
        reset_peak_memory(self.experiment.device)
        set_seeds(self.config.seed)
        method = self.build()
        sar = self.regulariser()
        images = self.experiment.training_images(self.config.seed, method, group)
        checkpoints = Checkpoints(self.files.checkpoint, self.save_every, self.identity)
        log = Log(self.files.log if group.first else None, self.config.title, on_epoch, tensorboard)
        curves, taken_up = train(
            method, sar, images, self.config.recipe, group=group, checkpoints=checkpoints, on_epoch=log,
            cuda_graph=self.cuda_graph,
        )  # fmt: skip
        log.close()
        trained = time.time()
        results, joint = evaluate(self.experiment, method)
        if self.measure_sar:
            results["sar_loss"] = self._final_sar(method)
        record = {
            "identity": self.identity,
            "title": self.config.title,
            **self.config.settings(),
            **self.experiment.about,
            "classnames": {
                "trained": list(self.experiment.classnames),
                "new": list(self.experiment.held_out),
            },
            "training": {
                "shots_fingerprint": fingerprint(images.pictures.dataset),
                "classes": len(self.experiment.classnames),
                "images": len(images.labels),
                "transform": dict(images.pictures.transform.settings),
                "learned_numbers": sum(tensor.numel() for tensor in method.learned().values()),
            },
            "bank": describe_bank(self.experiment) if sar is not None else None,
            "curves": curves,
            "results": results,
            "joint": joint,
            "seconds": {"training": trained - began, "evaluation": time.time() - trained},
            "peak_memory_mib": peak_memory(self.experiment.device),
            "resumed_at_epoch": taken_up,
            "processes": group.size,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            **environment(self.experiment.device),
        }
        if group.first:
            self._keep(method, record)
        group.wait()
        return record

    def build(self) -> PromptMethod:
        """The method over the bank's names with SAR, over the trained classes without."""
        names = self.experiment.bank.classnames if self.config.sar else self.experiment.classnames
        return self.method_class(
            self.experiment.model,
            self.experiment.tokenizer,
            names,
            n_base=len(self.experiment.classnames),
            recipe=self.config.recipe,
            dataset=self.config.source.dataset,
        )

    def load(self) -> PromptMethod:
        """The method with the learned tensors of the finished run."""
        method = self.build()
        method.load_learned(load_file(self.files.weights))
        return method

    def regulariser(self) -> SimilarityAlignmentLoss | None:
        """The SAR loss of the run, or None without SAR."""
        if not self.config.sar:
            return None
        recipe = self.config.recipe
        return SimilarityAlignmentLoss(
            self.experiment.bank,
            sample_size=recipe.sample_size or None,
            seed=self.config.seed,
            sampling=recipe.sampling,
            direction=recipe.direction,
            reduction=recipe.reduction,
        )

    @torch.no_grad()
    def _final_sar(self, method: PromptMethod) -> float:
        """The SAR loss over all other classes, also of runs that did not minimise it."""
        whole = SimilarityAlignmentLoss(self.experiment.bank, sample_size=None).eval()
        on_bank = method if self.config.sar else method.for_classes(self.experiment.bank.classnames)
        return float(whole(on_bank.encode_text()))

    def _keep(self, method: PromptMethod, record: Record) -> None:
        save_learned(self.files.weights, method, self.config, self.identity)
        write_record(self.files.record, record)
        self.files.checkpoint.unlink(missing_ok=True)


def set_seeds(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators, as the benchmark does before anything else."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def evaluate(
    experiment: Experiment, method: PromptMethod
) -> tuple[dict[str, float], dict[str, dict[str, float]] | None]:
    """Accuracy on every test set among its own class names, with H; and with base and new classes in one list."""
    results: dict[str, float] = {}
    images: dict[str, ImageSet] = {}
    rows: dict[str, Tensor] = {}
    for name, test in experiment.tests.items():
        if not test.test:  # a last fit keeps no image back
            continue
        images[name] = ImageSet(*experiment.test_images(name, method), test.classnames)
        rows[name] = text_rows(method.for_classes(test.classnames))
        logits = method.classify(images[name].features, rows[name])
        results[name] = percent_equal(predict(logits, test.classnames), images[name].labels)
    if "new" not in results:
        return results, None
    handcrafted = Rows(*(experiment.zero_shot_rows(experiment.tests[name]) for name in ("base", "new")))
    learned = Rows(rows["base"], rows["new"])
    joint = joint_results(method, images["base"], images["new"], learned, handcrafted)
    return with_h(results), joint


def with_h(results: dict[str, float]) -> dict[str, float]:
    """Add the harmonic mean if there are base and new classes."""
    if "new" in results:
        return results | {"h": harmonic_mean(results["base"], results["new"])}
    return results


def describe_bank(experiment: Experiment) -> dict[str, Any]:
    """The bank's hash, its novel names, their origin, and which of them are new classes in any spelling.

    `overlap_with_held_out` and `Experiment.held_out` are the older names of these: the docs say new classes, and
    committed records keep the key.
    """
    bank = experiment.bank
    overlap = bank.overlap(experiment.held_out)
    return {
        "sha256": hash_rows(bank.classnames, bank.embeddings),
        "novel": list(bank.novel_classes),
        "provenance": dict(bank.provenance),
        "templates": list(bank.templates),
        "temperature": bank.temperature,
        "overlap_with_held_out": [*overlap.exact, *(name for name, _ in overlap.other_spelling)],
    }


def features_of(method: PromptMethod, classnames: tuple[str, ...]) -> Tensor:
    """Learned text features of any names, without gradient."""
    with torch.no_grad():
        return method.for_classes(classnames).encode_text()
