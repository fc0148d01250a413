"""Which call of the loss activation checkpointing repeats, so that a recomputation compares the same classes.

`torch.utils.checkpoint` runs a region of the forward pass again during backward without saying so. But PyTorch numbers
graph nodes in the order in which they are made, and a recomputation starts in the backward pass of a node of its
region. So it repeats the last call made before that node or, with use_reentrant=True, where the region's only node
comes first, the next call after it.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from sar_reg.errors import SarRegError

_REMEMBERED = 4096  # more calls than wait for their backward pass at any time


class _Call(NamedTuple):
    number: int
    sequence: int
    region: object


class Calls:
    """The calls of one loss module in training."""

    def __init__(self) -> None:
        self._made: deque[_Call] = deque(maxlen=_REMEMBERED)
        self._total = 0
        self._recomputation: tuple[object, int] = (None, -1)

    def __reduce__(self) -> tuple[type[Calls], tuple[()]]:
        """A copy or a pickle has no graph to repeat, so it starts empty."""
        return Calls, ()

    def add(self) -> None:
        """Note a call outside of backward."""
        region = _hook_of("_checkpoint_hook")
        self._made.append(_Call(self._total, torch._C._autograd._get_sequence_nr(), region))  # pyright: ignore
        self._total += 1

    def age_of_repeated(self) -> int:
        """How many calls ago (1: the last) the call was made that a recomputation repeats now.

        Raises:
            SarRegError: if that cannot be known, as in nested checkpoints.
        """
        node: Any = torch._C._current_autograd_node()  # pyright: ignore
        sequence: int = node._sequence_nr()
        recomputation = _hook_of("_recomputation_hook")
        calls: list[_Call] = []
        if recomputation is not None:
            before = [call for call in self._made if call.sequence <= sequence and call.region is not None]
            calls = [call for call in before if call.region is before[-1].region]
        elif "CheckpointFunction" in node.name() and torch.is_grad_enabled() and _top_hook() is None:
            recomputation = (torch._C._current_graph_task_id(), sequence)  # pyright: ignore
            calls = [call for call in self._made if call.sequence > sequence]
        last, place = self._recomputation
        place = place + 1 if recomputation == last else 0
        self._recomputation = (recomputation, place)
        if place >= len(calls):
            raise SarRegError(
                "the loss was called during a backward pass, and it is not known which earlier call that repeats "
                "(nested checkpoints, or a hook); name the draw yourself: sar(text_features, step=...)"
            )
        return self._total - calls[place].number


def during_backward() -> bool:
    """Whether a backward pass is running in this thread: a call of the loss then repeats an earlier one."""
    return torch._C._current_graph_task_id() != -1  # pyright: ignore


def _top_hook() -> Callable[..., Any] | None:
    """What packs saved tensors now."""
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)  # pyright: ignore
    return hooks[0] if hooks else None


def _hook_of(kind: str) -> object:
    """A reference to that hook if it is checkpoint's of this kind; the same object for the same hook."""
    hook = _top_hook()
    ours = getattr(hook, "__module__", "") == "torch.utils.checkpoint" and kind in hook.__qualname__  # pyright: ignore
    return weakref.ref(hook) if ours else None
