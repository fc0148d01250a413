"""Which call of the loss activation checkpointing repeats, so that a recomputation compares the same classes.

`torch.utils.checkpoint` runs a region of the forward pass again during backward without saying so: what it offers,
`context_fn`, belongs to whoever calls it. But PyTorch numbers graph nodes in the order in which they are made, and a
recomputation starts in the backward pass of a node of its region. So it repeats the last call made before that node or,
with use_reentrant=True, where the region's only node comes first, the next call after it.
"""

# pyright: reportPrivateUsage=false, reportAttributeAccessIssue=false
from __future__ import annotations

import weakref
from collections import deque
from typing import Any, NamedTuple

import torch

from sar_reg.errors import SarRegError

_REMEMBERED = 4096  # upper bound on the calls whose backward pass is still to come


class _Call(NamedTuple):
    number: int
    sequence: int
    region: object


class Calls:
    """The calls of one loss module in training; a copy or a pickle has no graph to repeat, so it starts empty."""

    def __init__(self) -> None:
        self._made: deque[_Call] = deque(maxlen=_REMEMBERED)
        self._total = 0
        self._recomputation: tuple[object, int] = (None, -1)

    def __reduce__(self) -> tuple[type[Calls], tuple[()]]:
        return Calls, ()

    def age(self) -> int:
        """0 for a new call; for one that a recomputation repeats, how many calls ago it was made (1: the last).

        Raises:
            SarRegError: in a backward pass, if it is not known which call is repeated, as in nested checkpoints.
        """
        if torch._C._current_graph_task_id() == -1:
            sequence: int = torch._C._autograd._get_sequence_nr()
            self._made.append(_Call(self._total, sequence, _checkpoint("_checkpoint_hook")))
            self._total += 1
            return 0
        recomputation, calls = self._repeated()
        last, place = self._recomputation
        place = place + 1 if recomputation == last else 0
        self._recomputation = (recomputation, place)
        if place >= len(calls):
            raise SarRegError(
                "the loss was called during a backward pass, and it is not known which earlier call that repeats "
                "(nested checkpoints, or a hook); name the draw yourself: sar(text_features, step=...)"
            )
        return self._total - calls[place].number

    def _repeated(self) -> tuple[object, list[_Call]]:
        """What identifies the recomputation that runs now, and the calls that it repeats, in their order."""
        node: Any = torch._C._current_autograd_node()
        sequence: int = node._sequence_nr()
        recomputation = _checkpoint("_recomputation_hook")
        if recomputation is not None:
            before = [call for call in self._made if call.sequence <= sequence and call.region is not None]
            return recomputation, [call for call in before if call.region is before[-1].region]
        if "CheckpointFunction" in node.name() and torch.is_grad_enabled() and _top_hook() is None:
            later = [call for call in self._made if call.sequence > sequence]
            return (torch._C._current_graph_task_id(), sequence), later
        return None, []


def _top_hook() -> Any:
    """What packs saved tensors now."""
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
    return hooks[0] if hooks else None


def _checkpoint(kind: str) -> object:
    """A reference to the hook that packs saved tensors if it is checkpoint's of this kind; the same for each hook."""
    hook = _top_hook()
    ours = getattr(hook, "__module__", "") == "torch.utils.checkpoint" and kind in hook.__qualname__
    return weakref.ref(hook) if ours else None
