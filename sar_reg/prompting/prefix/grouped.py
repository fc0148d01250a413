"""The layout without padding: classes of equal length in groups, one group after the other.

Rows of a prompt: `[0 .. shared)` are equal for all classes and run as one sequence; the others run packed,
class after class. Class-specific rows that enter at a block end the sharing there, except for the start token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from sar_reg.prompting.learned import Learned
from sar_reg.prompting.prefix.blocks import KeysValues, run_own, run_shared
from sar_reg.prompting.prefix.groups import Groups, pack
from sar_reg.prompting.prefix.rows import Rows, rows_of, stack_of
from sar_reg.prompting.prompts import PromptRows
from sar_reg.prompting.towers import TextTower
from sar_reg.shapes import Float, Int, Tensor
from sar_reg.tracing import run


@dataclass(frozen=True)
class Chunk:
    """Some classes' own rows; `after_entry` lays them out for blocks after class tokens have entered."""

    layout: Groups
    own: Rows
    after_entry: Groups


@dataclass(frozen=True)
class GroupedPlan:
    """One of the two forms of `prefix.plan.PrefixPlan`."""

    rows: PromptRows
    shared: Rows
    chunks: tuple[Chunk, ...]
    unsort: Int[Tensor, " classes"]
    n_ctx: int

    @property
    def n_shared(self) -> int:
        """Rows computed once for all classes."""
        return len(self.shared.tokens)

    @property
    def n_own(self) -> int:
        """Rows computed class by class, over all classes."""
        return sum(len(chunk.layout.column) for chunk in self.chunks)

    def encode(
        self, tower: TextTower, learned: Learned, *, recompute: bool = False
    ) -> Float[Tensor, "classes features"]:
        """Features of all prompts, not normalised, in the order of the classes."""
        shared = _run_shared(tower, self, learned)
        several = len(self.chunks) > 1
        parts = [
            run(_encode_chunk, tower, self, chunk, shared, recompute, *learned.apart(), recompute=several)
            for chunk in self.chunks
        ]
        return torch.cat(parts)[self.unsort]


def group(
    rows: PromptRows, n_ctx: int, class_specific: bool, chunk_size: int | None, buckets: int | None
) -> GroupedPlan:
    """Sort the classes by length and pack them; arguments as for `prefix.plan.make_plan`."""
    shared = rows.shared(class_specific=class_specific)
    order = torch.argsort(rows.last, stable=True)
    chunks: list[Chunk] = []
    for classes in order.split(chunk_size or len(order)):
        layout = pack(rows.last, classes, shared, buckets)
        own = rows_of(rows, classes[layout.class_index], layout.column)
        chunks.append(Chunk(layout, own, pack(rows.last, classes, min(rows.start, shared), buckets)))
    first = torch.zeros(shared, dtype=torch.long)
    embedded = rows_of(rows, first, torch.arange(shared))
    return GroupedPlan(rows, embedded, tuple(chunks), torch.argsort(order), n_ctx)


@dataclass(frozen=True)
class _Shared:
    """Keys and values of the shared rows; where class tokens enter, those before and after, and the rows there."""

    before: list[KeysValues]
    at_entry: Tensor
    after: list[KeysValues]


def _run_shared(tower: TextTower, plan: GroupedPlan, learned: Learned) -> _Shared:
    stack = stack_of(tower)
    rows = plan.shared.embed(tower, learned.context)
    entry = len(stack.blocks) if learned.class_tokens is None else learned.class_layer
    before, rows = run_shared(stack.blocks, rows, plan.shared, learned.deep, 0, entry)
    after, _ = run_shared(stack.blocks, rows[: plan.rows.start], plan.shared, (), entry, len(stack.blocks))
    return _Shared(before, rows, after)


def _encode_chunk(
    tower: TextTower, plan: GroupedPlan, chunk: Chunk, shared: _Shared, recompute: bool, *parts: Any
) -> Float[Tensor, "classes features"]:
    stack, learned = stack_of(tower), Learned.of_parts(*parts)
    own, deep = chunk.own, learned.deep
    x = own.embed(tower, learned.context)
    x = run_own(stack.blocks, x, shared.before, chunk.layout, own, deep, first=0, recompute=recompute)
    if learned.class_tokens is not None:
        x = _enter_class_tokens(plan, chunk, shared.at_entry, x, learned.class_tokens)
        first = learned.class_layer
        x = run_own(
            stack.blocks, x, shared.after, chunk.after_entry, own, (), first=first, recompute=recompute
        )
    return stack.project(stack.final_norm(x))


def _enter_class_tokens(
    plan: GroupedPlan, chunk: Chunk, shared: Tensor, x: Tensor, class_tokens: Tensor
) -> Float[Tensor, "rows width"]:
    """Lay the rows out again with only the start token shared, the context's rows taken from `class_tokens`."""
    old, new = chunk.layout, chunk.after_entry
    was_shared = new.column < old.shared
    starts = old.ends - (plan.rows.last[old.classes] - old.shared)
    from_stream = len(shared) + starts[new.class_index] + new.column - old.shared
    # a bucket may pad further than before; nothing reads such rows
    from_stream = from_stream.clamp(max=len(shared) + len(x) - 1)
    start = plan.rows.start
    learned = (new.column >= start) & (new.column < start + plan.n_ctx)
    from_learned = len(shared) + len(x) + new.classes[new.class_index] * plan.n_ctx + new.column - start
    index = torch.where(learned, from_learned, torch.where(was_shared, new.column, from_stream))
    pool = torch.cat([shared, x, class_tokens.to(x.dtype).flatten(0, 1)])
    return pool[index]
