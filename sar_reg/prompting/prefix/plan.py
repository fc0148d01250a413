"""Encode prompts with their common rows computed once; one plan class for each layout of the other rows."""

from __future__ import annotations

from typing import Literal

import torch

from sar_reg.prompting.learned import Learned
from sar_reg.prompting.prefix.grouped import GroupedPlan, group
from sar_reg.prompting.prefix.packed import PackedPlan, fill_bins
from sar_reg.prompting.prompts import PromptRows
from sar_reg.prompting.towers import TextTower
from sar_reg.shapes import Float, Tensor

Layout = Literal["auto", "grouped", "packed"]


PrefixPlan = GroupedPlan | PackedPlan
"""All that does not change from step to step: where each row of each prompt lies. It holds indices only."""


def make_plan(
    tower: TextTower,
    rows: PromptRows,
    *,
    n_ctx: int = 0,
    class_specific: bool = False,
    chunk_size: int | None = None,
    buckets: int | None = None,
    layout: Layout = "auto",
) -> PrefixPlan:
    """Lay out the rows of all prompts of a shareable tower, on its device.

    Args:
        tower: a shareable tower.
        rows: the prompts.
        n_ctx: context vectors per prompt.
        class_specific: each class has its own context vectors.
        chunk_size: classes in one pass; None: all.
        buckets: see `layout.pack`; only for the grouped layout.
        layout: see `chosen_layout`.
    """
    # on the CPU, and outside of inference mode, whose tensors autograd cannot keep
    with torch.inference_mode(mode=False):
        on_cpu = rows.to(torch.device("cpu"))
        if chosen_layout(layout, tower.device, buckets) == "packed":
            plan = fill_bins(on_cpu, n_ctx, class_specific, chunk_size)
        else:
            plan = group(on_cpu, n_ctx, class_specific, chunk_size, buckets)
        return plan.to(tower.device)


def chosen_layout(
    layout: Layout, device: torch.device, buckets: int | None = None
) -> Literal["grouped", "packed"]:
    """Packed on a GPU, where the number of operations decides; grouped elsewhere, where the number of rows does."""
    if layout != "auto":
        return layout
    return "packed" if device.type == "cuda" and buckets is None else "grouped"


def encode(
    tower: TextTower, plan: PrefixPlan, learned: Learned, *, recompute: bool = False
) -> Float[Tensor, "classes features"]:
    """Features of all prompts, not normalised, in the order of the classes; a function, for `torch.compile`.

    With `recompute`, only each block's input is kept for backward.
    """
    return plan.encode(tower, learned, recompute=recompute)
