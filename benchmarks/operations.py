"""Count what a step sends to the device, and refuse what would make the host wait for it.

On a GPU every operation costs a launch, some microseconds of the host's time, however small it is; a CPU shows nothing
of this. The count is the same on both: every dispatched operator that is not a view.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

VIEWS = frozenset(
    "_reshape_alias _unsafe_view alias as_strided chunk detach expand lift_fresh permute reshape select slice split "
    "split_with_sizes squeeze t transpose unbind unfold unsqueeze view".split()
)
READS = frozenset(
    "_local_scalar_dense allclose bincount equal is_nonzero item masked_select nonzero nonzero_static "
    "repeat_interleave unique_consecutive unique_dim _unique _unique2".split()
)
"""Operators whose result, or its shape, the host must read from the device."""


class Operations(TorchDispatchMode):
    """Counts the operations inside the context, by name.

    Args:
        refuse_reads: raise for an operator that makes the host wait for a value or a shape.
    """

    def __init__(self, *, refuse_reads: bool = False) -> None:
        super().__init__()
        self.refuse_reads = refuse_reads
        self.by_name: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """All of them."""
        return self.by_name.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        if name not in VIEWS:
            self.by_name[name] += 1
        by_mask = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            isinstance(leaf, torch.Tensor) and leaf.dtype in (torch.bool, torch.uint8)
            for leaf in tree_leaves(args[1])
        )
        if self.refuse_reads and (name in READS or by_mask):
            raise AssertionError(f"{func} makes the host wait for the device")
        return func(*args, **(kwargs or {}))
