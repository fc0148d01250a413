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
from safetensors.torch import save as serialize

from examples.protocol.runs.experiment import Bench
from examples.protocol.runs.config import Cell
from examples.protocol.data.dataset import fingerprint
from examples.protocol.distributed import ALONE, Ranks
from examples.protocol.evaluation import accuracy, harmonic_mean
from examples.protocol.runs.log import Log, OnEpoch
from examples.protocol.method import PromptMethod
from examples.protocol.runs.record import (
    Record,
    count_peak_anew,
    environment,
    hash_rows,
    identity,
    peak_memory,
    read_record,
    write_record,
)
from examples.protocol.training import Checkpoints, train
from sar_reg import SimilarityAlignmentLoss
from sar_reg.files import write_atomic
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
    """One cell on an opened bench.

    Args:
        method: the method's class.
        cell: what to run.
        bench: model and data of the cell's source and recipe.
        out: folder of records.
        save_every: epochs between checkpoints; 0 keeps none.
    """

    def __init__(
        self, method: type[PromptMethod], cell: Cell, bench: Bench, out: Path, *, save_every: int = 1
    ) -> None:
        self.method_class = method
        self.cell = cell
        self.bench = bench
        self.save_every = save_every
        shots = fingerprint(bench.training_set(cell.seed))
        # what the bank is made from, and not its rows: these differ between processors by rounding
        bank = [bench.bank.classnames, bench.bank.templates] if cell.sar else None
        self.identity = identity([cell.settings(), bench.fingerprints, shots, bank])
        kind = f"{cell.method.lower()}{'-sar' if cell.sar else ''}"
        self.files = Files.of(out, f"{bench.name}-{kind}-seed{cell.seed}-{self.identity[:8]}")

    def finished(self) -> Record | None:
        """The record, if this very run is done and its learned tensors are there."""
        record = read_record(self.files.record)
        done = record is not None and record["identity"] == self.identity and self.files.weights.is_file()
        return record if done else None

    def forget(self) -> None:
        """Remove what earlier starts of this run left."""
        for path in (self.files.record, self.files.weights, self.files.checkpoint, self.files.log):
            path.unlink(missing_ok=True)

    def start(
        self, *, ranks: Ranks = ALONE, on_epoch: OnEpoch | None = None, tensorboard: bool = False
    ) -> Record:
        """Train and evaluate, going on from a checkpoint if there is one; return the record."""
        began = time.time()
        count_peak_anew(self.bench.device)
        set_seeds(self.cell.seed)
        method = self.build()
        sar = self._sar()
        images = self.bench.training_images(self.cell.seed, method, ranks)
        checkpoints = Checkpoints(self.files.checkpoint, self.save_every, self.identity)
        log = Log(self.files.log if ranks.first else None, self.cell.title, on_epoch, tensorboard)
        curves, taken_up = train(
            method, sar, images, self.cell.recipe, ranks=ranks, checkpoints=checkpoints, on_epoch=log
        )
        log.close()
        trained = time.time()
        results = evaluate(self.bench, method) | {"sar_loss": self._final_sar(method)}
        record = {
            "identity": self.identity,
            "title": self.cell.title,
            **self.cell.settings(),
            **self.bench.about,
            "training": {
                "shots_fingerprint": fingerprint(images.pictures.dataset),
                "classes": len(self.bench.classnames),
                "images": len(images.labels),
                "transform": dict(images.pictures.transform.settings),
                "learned_numbers": sum(tensor.numel() for tensor in method.learned().values()),
            },
            "bank": describe_bank(self.bench) if sar is not None else None,
            "curves": curves,
            "results": results,
            "seconds": {"training": trained - began, "evaluation": time.time() - trained},
            "peak_memory_mib": peak_memory(self.bench.device),
            "resumed_at_epoch": taken_up,
            "processes": ranks.size,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            **environment(self.bench.device),
        }
        if ranks.first:
            self._keep(method, record)
        ranks.wait()
        return record

    def build(self) -> PromptMethod:
        """The method over the bank's names with SAR, over the trained classes without."""
        names = self.bench.bank.classnames if self.cell.sar else self.bench.classnames
        return self.method_class(
            self.bench.model,
            self.bench.tokenizer,
            names,
            n_base=len(self.bench.classnames),
            recipe=self.cell.recipe,
            dataset=self.cell.source.dataset,
        )

    def load(self) -> PromptMethod:
        """The method with the learned tensors of the finished run."""
        method = self.build()
        method.load_learned(load_file(self.files.weights))
        return method

    def _sar(self) -> SimilarityAlignmentLoss | None:
        if not self.cell.sar:
            return None
        recipe = self.cell.recipe
        return SimilarityAlignmentLoss(
            self.bench.bank,
            sample_size=recipe.sample_size or None,
            seed=self.cell.seed,
            sampling=recipe.sampling,
            direction=recipe.direction,
            reduction=recipe.reduction,
        )

    @torch.no_grad()
    def _final_sar(self, method: PromptMethod) -> float:
        """The SAR loss over all other classes, also of runs that did not minimise it."""
        whole = SimilarityAlignmentLoss(self.bench.bank, sample_size=None).eval()
        on_bank = method if self.cell.sar else method.for_classes(self.bench.bank.classnames)
        return float(whole(on_bank.encode_text()))

    def _keep(self, method: PromptMethod, record: Record) -> None:
        learned = {name: tensor.detach().cpu().contiguous() for name, tensor in method.learned().items()}
        write_atomic(self.files.weights, serialize(learned, {"run": self.identity}))
        write_record(self.files.record, record)
        self.files.checkpoint.unlink(missing_ok=True)


def set_seeds(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators, as the benchmark does before anything else."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def evaluate(bench: Bench, method: PromptMethod) -> dict[str, float]:
    """Accuracy on every test set with its own class names, and H of base and new."""
    results = {}
    for name, test in bench.tests.items():
        features, labels = bench.test_images(name, method)
        results[name] = accuracy(method.for_classes(test.classnames), features, labels)
    return with_h(results)


def with_h(results: dict[str, float]) -> dict[str, float]:
    """Add the harmonic mean where there are base and new classes."""
    if "new" in results:
        return results | {"h": harmonic_mean(results["base"], results["new"])}
    return results


def describe_bank(bench: Bench) -> dict[str, Any]:
    """The bank's hash, its novel names, their origin, and which of them are held-out classes in any spelling."""
    bank = bench.bank
    overlap = bank.overlap(bench.held_out)
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
