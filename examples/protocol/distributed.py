"""Several processes on one batch: text side replicated, images shared out, gradients summed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

from sar_reg.checks import existing_device
from sar_reg.errors import InputError, counted
from sar_reg.shapes import Tensor

T = TypeVar("T")


def choose_device(wanted: str = "") -> torch.device:
    """The device asked for; else this process's own GPU, or the CPU if there is none."""
    if wanted:
        return existing_device(wanted)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that train together; one process alone is `ProcessGroup()`."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> ProcessGroup:
        """Join the other processes that `torchrun` started; without it, be alone."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(distributed.get_rank(), size)

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def my_share(self, batch: list[T]) -> list[T]:
        """This process's part of a batch.

        Raises:
            InputError: if the batch has fewer items than there are processes.
        """
        if len(batch) < self.size:
            raise InputError(
                f"a batch of {counted(len(batch), 'image')} cannot be shared out among {self.size} processes; "
                f"start at most {len(batch)}"
            )
        return batch[self.rank :: self.size]

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.size > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def all_have(self, mine: bool) -> bool:
        """Whether `mine` is true in every process."""
        count = torch.tensor(int(mine))
        if self.size > 1 and distributed.get_backend() == "nccl":
            count = count.cuda()
        self.add_up([count])
        return int(count) == self.size

    def check_same(self, number: int) -> None:
        """Go on if all processes come with the same number.

        Raises:
            InputError: if one found files of the run that another did not.
        """
        total = torch.tensor(number)
        if self.size > 1 and distributed.get_backend() == "nccl":
            total = total.cuda()
        self.add_up([total])
        if int(total) != number * self.size:
            raise InputError(
                f"process {self.rank} would go on from epoch {number} and another one from elsewhere; "
                "--out must be one folder that all machines see"
            )

    def wait(self) -> None:
        """Continue when all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def leave(self) -> None:
        """End the group."""
        if self.size > 1:
            distributed.destroy_process_group()


SINGLE_PROCESS = ProcessGroup()
