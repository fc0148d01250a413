"""Encode prompts with their common rows computed once; one plan class for each layout of the other rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from sar_reg.checks import whole_number
from sar_reg.errors import InputError
from sar_reg.prompting.learned import Learned
from sar_reg.prompting.prefix.grouped import GroupedPlan, group
from sar_reg.prompting.prefix.packed import PackedPlan, fill_bins
from sar_reg.prompting.prefix.rows import moved
from sar_reg.prompting.prompts import PromptRows
from sar_reg.prompting.towers import TextTower
from sar_reg.shapes import Float, Tensor

Layout = Literal["auto", "grouped", "packed"]

PrefixPlan = GroupedPlan | PackedPlan
"""All that does not change from step to step: where each row of each prompt lies. It holds indices only."""


@dataclass(frozen=True)
class PlanOptions:
    """How the rows of all prompts are laid out.

    Attributes:
        chunk_size: classes in one pass; None: all.
        buckets: see `groups.pack`; only for the grouped layout.
        layout: "auto" is packed on a GPU, where the number of operations matters, and grouped elsewhere, where the
            number of rows does.

    Raises:
        InputError: if an option does not fit.
    """

    chunk_size: int | None = None
    buckets: int | None = None
    layout: Layout = "auto"

    def __post_init__(self) -> None:
        for name in ("chunk_size", "buckets"):
            value = getattr(self, name)
            if value is not None:
                count = whole_number(value, name, least=1, otherwise=" or None")
                object.__setattr__(self, name, min(count, sys.maxsize))  # more than a tensor can be split by
        if self.layout not in ("auto", "grouped", "packed"):
            raise InputError(f'layout must be "auto", "grouped" or "packed", not {self.layout!r}')
        if self.layout == "packed" and self.buckets is not None:
            raise InputError('buckets belong to the grouped layout: leave them out, or pass layout="grouped"')

    def chosen(self, device: torch.device) -> Literal["grouped", "packed"]:
        """The layout on this device."""
        if self.layout != "auto":
            return self.layout
        return "packed" if device.type == "cuda" and self.buckets is None else "grouped"


DEFAULT = PlanOptions()


def make_plan(
    tower: TextTower,
    rows: PromptRows,
    n_ctx: int = 0,
    options: PlanOptions = DEFAULT,
    *,
    class_specific: bool = False,
) -> PrefixPlan:
    """Lay out the rows of all prompts of a shareable tower, on its device.

    Args:
        tower: a shareable tower.
        rows: the prompts.
        n_ctx: context vectors per prompt.
        options: how the rows are laid out.
        class_specific: each class has its own context vectors.
    """
    # on the CPU, whatever the default device, and outside of inference mode, whose tensors autograd cannot keep
    with torch.inference_mode(mode=False), torch.device("cpu"):
        on_cpu = rows.to(torch.device("cpu"))
        if options.chosen(tower.device) == "packed":
            plan = fill_bins(on_cpu, n_ctx, class_specific, options.chunk_size)
        else:
            plan = group(on_cpu, n_ctx, class_specific, options.chunk_size, options.buckets)
        return moved(plan, tower.device)


def encode(
    tower: TextTower, plan: PrefixPlan, learned: Learned, *, recompute: bool = False
) -> Float[Tensor, "classes features"]:
    """Features of all prompts, not normalised, in the order of the classes; a function, for `torch.compile`.

    With `recompute`, only each block's input is kept for backward.
    """
    return plan.encode(tower, learned, recompute=recompute)


def compiled_encode(backend: bool | str) -> Callable[..., Tensor]:
    """`encode`, as one graph of `torch.compile` with the backend named, or with the default one for True.

    Raises:
        InputError: for a backend that PyTorch does not know.
    """
    if backend is False:
        return encode
    name = "inductor" if backend is True else backend
    try:
        return torch.compile(encode, backend=name, fullgraph=True)
    except RuntimeError as error:
        raise InputError(
            f"compile={backend!r:.60} is not a backend of torch.compile here ({error})"
        ) from error
