"""Prompts to features as packed bins: few operations, whatever the number of classes; the layout for GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from sar_reg.errors import SarRegError
from sar_reg.prompting.learned import Learned
from sar_reg.prompting.prefix.bins import Bins, fill
from sar_reg.prompting.prefix.packed_blocks import folded, packed_block
from sar_reg.prompting.prefix.packed_entry import Entry, entries_of
from sar_reg.prompting.prefix.rows import Rows, rows_of, stack_of
from sar_reg.prompting.prompts import PromptRows
from sar_reg.prompting.towers import TextTower
from sar_reg.shapes import Float, Int, Tensor
from sar_reg.tracing import functions_allowed, run


@dataclass(frozen=True)
class Reentry:
    """The stream after class tokens have entered: the start row shared, everything else each class's own.

    `index` takes the new rows from `[old stream | class tokens | fixed words per class | start rows]`, each of
    which it names at most once, so that the gradient needs no accumulation.
    """

    bins: Bins
    index: Int[Tensor, " rows"]
    words: slice
    starts: int

    def enter(
        self, x: Float[Tensor, "rows width"], class_tokens: Float[Tensor, "classes context width"]
    ) -> Float[Tensor, "rows width"]:
        """The new stream."""
        parts = [x, class_tokens.to(x.dtype).flatten(0, 1)]
        words = x[self.words]
        if len(words):
            parts.append(words.expand(len(class_tokens), -1, -1).flatten(0, 1))
        # a start row reads only itself: no gradient belongs to it
        parts.append(x[:1].detach().expand(self.starts, -1))
        return torch.cat(parts).index_select(0, self.index)


@dataclass(frozen=True)
class Pass:
    """Consecutive classes that are encoded together; `reentry` lays them out after class tokens have entered."""

    classes: slice
    bins: Bins
    rows: Rows
    entries: tuple[Entry, ...]
    reentry: Reentry


@dataclass(frozen=True)
class PackedPlan:
    """One of the two forms of `prefix.plan.PrefixPlan`."""

    passes: tuple[Pass, ...]

    @property
    def n_shared(self) -> int:
        """Rows that stand at the head of every bin."""
        return self.passes[0].bins.shared

    @property
    def n_own(self) -> int:
        """All other rows: those of the classes, padding, and further copies of the shared ones."""
        return sum(len(step.rows.tokens) for step in self.passes) - self.n_shared

    def encode(
        self, tower: TextTower, learned: Learned, *, recompute: bool = False
    ) -> Float[Tensor, "classes features"]:
        """Features of all prompts, not normalised, in the order of the classes."""
        if functions_allowed():
            learned = learned.through(_FirstDerivative.apply)
        several = len(self.passes) > 1
        parts = [
            run(_encode_pass, tower, step, recompute, *learned.of(step.classes).apart(), recompute=several)
            for step in self.passes
        ]
        return torch.cat(parts) if len(parts) > 1 else parts[0]


class _FirstDerivative(torch.autograd.Function):
    """The learned tensors as they are; what the operations behind it cannot do is refused here, in words."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _NoSecond.apply(grad) if torch.is_grad_enabled() else grad

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> NoReturn:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise SarRegError(f"the packed layout has no forward-mode derivative; {_OTHERWISE}")


class _NoSecond(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.view_as(grad)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> NoReturn:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise SarRegError(f"the packed layout has no second derivative; {_OTHERWISE}")


_OTHERWISE = 'use layout="grouped", or a transform of torch.func'


def fill_bins(rows: PromptRows, n_ctx: int, class_specific: bool, chunk_size: int | None) -> PackedPlan:
    """Put the classes into bins; arguments as for `prefix.plan.make_plan`."""
    shared = rows.shared(class_specific=class_specific)
    numbers = torch.arange(len(rows.last))
    passes: list[Pass] = []
    for classes in numbers.split(chunk_size or len(numbers)):
        last = rows.last[classes]
        bins = fill(last, shared)
        embedded = rows_of(rows, classes[bins.class_index.clamp(min=0)], bins.column)
        some = slice(int(classes[0]), int(classes[-1]) + 1)
        passes.append(Pass(some, bins, embedded, entries_of(bins, embedded), _reentry(last, bins, n_ctx)))
    return PackedPlan(tuple(passes))


def _encode_pass(
    tower: TextTower, step: Pass, recompute: bool, *parts: Any
) -> Float[Tensor, "classes features"]:
    learned, stack = Learned.of_parts(*parts), stack_of(tower)
    x, bins = tower.embed(step.rows.tokens).to(tower.dtype), step.bins
    if learned.context is not None:
        for entry in step.entries:
            x = entry.put(x, learned.context)
    x = x + stack.positions()[step.rows.columns].to(tower.dtype)
    deep = step.entries[0].spread(learned.deep, x.dtype) if learned.deep else ()
    recompute = recompute and torch.is_grad_enabled()
    # deep prompts of each class take operations of their own; they are made up for by memory
    keep_hidden = recompute or (len(deep) > 0 and step.entries[0].outside is None)
    for number, (block, weights) in enumerate(zip(stack.blocks, folded(stack.blocks), strict=True)):
        if 1 <= number <= len(deep):
            x = step.entries[0].replace(x, deep[number - 1])
        if learned.class_tokens is not None and number == learned.class_layer:
            x, bins = step.reentry.enter(x, learned.class_tokens), step.reentry.bins
        at_end = number + 1 == len(stack.blocks)
        mask, ends = bins.mask(_computed_in(x)), bins.ends if at_end else None
        x = run(packed_block, block, x, bins, mask, weights, ends, keep_hidden or at_end, recompute=recompute)
    return stack.project(stack.final_norm(x))


def _computed_in(x: Tensor) -> torch.dtype:
    """The type of queries and keys: autocast's, or that of the stream."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _reentry(last: Tensor, old: Bins, n_ctx: int) -> Reentry:
    new = fill(last, min(1, old.shared))
    of_row, column = new.class_index, new.column
    words = slice(min(1 + n_ctx, old.shared), old.shared)
    n_words = words.stop - words.start
    tokens_at = old.count * old.length
    words_at = tokens_at + len(last) * n_ctx
    starts_at = words_at + len(last) * n_words
    number, free = of_row.clamp(min=0), of_row < 0
    from_stream = old.starts[number] + column - old.shared
    index = torch.where(column < old.shared, words_at + number * n_words + column - words.start, from_stream)
    index = torch.where(column <= n_ctx, tokens_at + number * n_ctx + column - 1, index)
    starts = int(free.sum())
    index[free] = starts_at + torch.arange(starts)
    return Reentry(new, index, words, starts)
