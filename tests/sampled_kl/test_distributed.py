"""Two processes draw the same classes, and their averaged gradient is that of one process."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from sar_reg import SimilarityAlignmentLoss
from tests.sampled_kl.cases import Case, features

STEPS = 3


class Prompt(torch.nn.Module):
    """Stands in for a prompt learner: one learnable shift of fixed features."""

    def __init__(self, base: torch.Tensor) -> None:
        super().__init__()
        self.base = base
        self.shift = torch.nn.Parameter(torch.zeros(base.shape[1]))

    def forward(self) -> torch.Tensor:
        return self.base + self.shift


def train(prompt: torch.nn.Module, shift: torch.nn.Parameter, target: torch.Tensor) -> list[float]:
    """A few steps of the loss alone; returns the losses."""
    bank = SimpleNamespace(
        embeddings=target, temperature=0.05, classnames=tuple(map(str, range(len(target))))
    )
    sar = SimilarityAlignmentLoss(bank, sample_size=6, seed=3)
    optimizer, losses = torch.optim.SGD([shift], lr=0.1), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = sar(prompt())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def worker(rank: int, folder: str) -> None:
    torch.manual_seed(rank)  # group differ in everything random, and the draws must not
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    learned, target = features(Case(150, 6, 8))
    prompt = Prompt(learned)
    losses = train(DistributedDataParallel(prompt), prompt.shift, target)
    torch.save({"losses": losses, "shift": prompt.shift.detach()}, f"{folder}/{rank}.pt")
    dist.barrier()
    gc.collect()  # DistributedDataParallel is in reference cycles; gloo's threads abort a process that ends with one
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="this PyTorch has no gloo")
def test_two_processes_equal_one(tmp_path: Path) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    mp.start_processes(worker, args=(str(tmp_path),), nprocs=2, start_method="spawn")
    learned, target = features(Case(150, 6, 8))
    prompt = Prompt(learned)
    losses = train(prompt, prompt.shift, target)
    for rank in range(2):
        result = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert result["losses"] == pytest.approx(losses, rel=1e-6)
        torch.testing.assert_close(result["shift"], prompt.shift.detach(), rtol=1e-5, atol=1e-7)
    assert len(set(losses)) == STEPS
