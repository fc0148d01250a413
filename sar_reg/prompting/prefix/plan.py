"""Prompts to features with the common rows computed once: exact in value and in gradient.

Rows of a prompt: `[0 .. shared)` are equal for all classes and run as one sequence; the others run packed,
class after class. Class-specific rows that enter at a block end the sharing there, except for the start token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from sar_reg.prompting.prefix.blocks import Edit, KeysValues, run_own, run_shared
from sar_reg.prompting.prefix.layout import Layout, pack
from sar_reg.prompting.prompts import PromptRows
from sar_reg.prompting.towers import Stack, TextTower
from sar_reg.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class Learned:
    """The learnable tensors of one call; none for plain sentences."""

    context: Float[Tensor, "*classes context width"] | None = None
    deep: Sequence[Float[Tensor, "context width"]] = field(default_factory=tuple)
    class_tokens: Float[Tensor, "classes context width"] | None = None
    class_layer: int = 0

    def of(self, classes: Int[Tensor, " some"]) -> Learned:
        """The same for these classes only, by number."""
        context, tokens = self.context, self.class_tokens
        return Learned(
            context[classes] if context is not None and context.ndim == 3 else context,
            self.deep,
            None if tokens is None else tokens[classes],
            self.class_layer,
        )

    def apart(self) -> tuple[Any, ...]:
        """Its parts, for `Learned.of_parts`; a checkpoint guards tensors that it is given one by one."""
        return self.class_layer, self.context, self.class_tokens, *self.deep

    @classmethod
    def of_parts(
        cls, class_layer: int, context: Tensor | None, class_tokens: Tensor | None, *deep: Tensor
    ) -> Learned:
        """Put together what `apart` gave."""
        return cls(context, deep, class_tokens, class_layer)


@dataclass(frozen=True)
class Rows:
    """Embedded rows, tokens and positions, with places left for the context vectors."""

    fixed: Float[Tensor, "rows width"]
    positions: Float[Tensor, "learned width"]
    places: Int[Tensor, " learned"]
    vectors: Int[Tensor, " learned"]
    classes: Int[Tensor, " learned"]

    def with_context(self, context: Tensor | None) -> Float[Tensor, "rows width"]:
        """The rows, context vectors filled in at their positions."""
        if context is None or not len(self.places):
            return self.fixed
        chosen = context[self.vectors] if context.ndim == 2 else context[self.classes, self.vectors]
        values = chosen.to(self.fixed.dtype) + self.positions
        return self.fixed.index_copy(0, self.places, values)


@dataclass(frozen=True)
class Chunk:
    """Some classes' own rows; `after_entry` lays them out for blocks after class tokens have entered."""

    layout: Layout
    own: Rows
    after_entry: Layout


@dataclass(frozen=True)
class Plan:
    """Everything about a set of prompts that does not change from step to step."""

    rows: PromptRows
    shared: Rows
    chunks: tuple[Chunk, ...]
    unsort: Int[Tensor, " classes"]
    n_ctx: int

    @property
    def n_shared(self) -> int:
        """Rows computed once for all classes."""
        return len(self.shared.fixed)

    @property
    def n_own(self) -> int:
        """Rows computed class by class, over all classes."""
        return sum(chunk.layout.rows for chunk in self.chunks)


def make_plan(
    tower: TextTower,
    rows: PromptRows,
    *,
    n_ctx: int = 0,
    class_specific: bool = False,
    chunk_size: int | None = None,
    buckets: int | None = None,
) -> Plan:
    """Sort and pack the classes, and embed their tokens.

    Args:
        tower: a shareable tower.
        rows: the prompts.
        n_ctx: context vectors per prompt.
        class_specific: each class has its own context vectors.
        chunk_size: classes in one pass; None: all.
        buckets: see `pack`.
    """
    shared = rows.shared(class_specific=class_specific)
    order = torch.argsort(rows.last, stable=True)
    first = torch.zeros(shared, dtype=torch.long, device=order.device)
    chunks: list[Chunk] = []
    for classes in order.split(chunk_size or len(order)):
        layout = pack(rows.last, classes, shared, buckets)
        own = _embed(tower, rows, classes[layout.class_index], layout.column)
        chunks.append(Chunk(layout, own, pack(rows.last, classes, min(1, shared), buckets)))
    return Plan(
        rows=rows,
        shared=_embed(tower, rows, first, torch.arange(shared, device=order.device)),
        chunks=tuple(chunks),
        unsort=torch.argsort(order),
        n_ctx=n_ctx,
    )


def encode(
    tower: TextTower, plan: Plan, learned: Learned, *, recompute: bool = False
) -> Float[Tensor, "classes features"]:
    """Features of all prompts, not normalised, in the order of the classes.

    Args:
        tower: the tower the plan was made for.
        plan: the prompts.
        learned: the learnable tensors of this step.
        recompute: keep only each block's input for backward.
    """
    stack = _stack(tower)
    shared = _run_shared(stack, plan, learned)
    parts: list[Tensor] = []
    for chunk in plan.chunks:
        arguments = stack, plan, chunk, shared, recompute, *learned.apart()
        if len(plan.chunks) > 1 and torch.is_grad_enabled():
            parts.append(checkpoint(_encode_chunk, *arguments, use_reentrant=False))
        else:
            parts.append(_encode_chunk(*arguments))
    return torch.cat(parts)[plan.unsort]


@dataclass(frozen=True)
class _Shared:
    """Keys and values of the shared rows; where class tokens enter, those before and after, and the rows there."""

    before: list[KeysValues]
    at_entry: Tensor
    after: list[KeysValues]


def _run_shared(stack: Stack, plan: Plan, learned: Learned) -> _Shared:
    rows = plan.shared.with_context(learned.context)
    edits = _shared_edits(plan, learned)
    if learned.class_tokens is None:
        before, rows = run_shared(stack.blocks, rows, edits, 0, len(stack.blocks))
        return _Shared(before, rows, [])
    before, rows = run_shared(stack.blocks, rows, edits, 0, learned.class_layer)
    after, _ = run_shared(stack.blocks, rows[:1], {}, learned.class_layer, len(stack.blocks))
    return _Shared(before, rows, after)


def _encode_chunk(
    stack: Stack, plan: Plan, chunk: Chunk, shared: _Shared, recompute: bool, *parts: Any
) -> Float[Tensor, "classes features"]:
    learned = Learned.of_parts(*parts)
    x = chunk.own.with_context(learned.context)
    edits = _own_edits(plan, chunk.own, learned)
    x = run_own(stack.blocks, x, shared.before, chunk.layout, edits, first=0, recompute=recompute)
    if learned.class_tokens is not None:
        x = _enter_class_tokens(plan, chunk, shared.at_entry, x, learned.class_tokens)
        first = learned.class_layer
        x = run_own(stack.blocks, x, shared.after, chunk.after_entry, {}, first=first, recompute=recompute)
    return stack.project(stack.final_norm(x))


def _enter_class_tokens(
    plan: Plan, chunk: Chunk, shared: Tensor, x: Tensor, class_tokens: Tensor
) -> Float[Tensor, "rows width"]:
    """Lay the rows out anew with only the start token shared, rows 1 .. n_ctx taken from `class_tokens`."""
    old, new = chunk.layout, chunk.after_entry
    was_shared = new.column < old.shared
    starts = old.ends - (plan.rows.last[old.classes] - old.shared)
    from_stream = len(shared) + starts[new.class_index] + new.column - old.shared
    # a bucket may pad further than before; such rows are read by nobody
    from_stream = from_stream.clamp(max=len(shared) + len(x) - 1)
    learned = new.column <= plan.n_ctx
    from_learned = len(shared) + len(x) + new.classes[new.class_index] * plan.n_ctx + new.column - 1
    index = torch.where(learned, from_learned, torch.where(was_shared, new.column, from_stream))
    pool = torch.cat([shared, x, class_tokens.to(x.dtype).flatten(0, 1)])
    return pool[index]


def _shared_edits(plan: Plan, learned: Learned) -> Mapping[int, Edit]:
    if plan.n_shared < 1 + plan.n_ctx:
        return {}
    rows = torch.arange(1, 1 + plan.n_ctx, device=plan.unsort.device)
    return {block: Edit(rows, values) for block, values in enumerate(learned.deep, start=1)}


def _own_edits(plan: Plan, own: Rows, learned: Learned) -> Mapping[int, Edit]:
    if not learned.deep or plan.n_shared >= 1 + plan.n_ctx:
        return {}
    return {
        block: Edit(own.places, values[own.vectors]) for block, values in enumerate(learned.deep, start=1)
    }


def _embed(tower: TextTower, rows: PromptRows, classes: Tensor, columns: Tensor) -> Rows:
    source = rows.source[classes, columns]
    places = (source < 0).nonzero().flatten()
    positions = _stack(tower).positions.detach()[columns].to(tower.dtype)
    tokens = tower.token_table.weight.detach()[source.clamp(min=0)].to(tower.dtype)
    return Rows(
        fixed=tokens + positions,
        positions=positions[places],
        places=places,
        vectors=-1 - source[places],
        classes=classes[places],
    )


def _stack(tower: TextTower) -> Stack:
    assert tower.stack is not None, tower.why_not
    return tower.stack
