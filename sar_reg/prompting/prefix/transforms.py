"""What autograd may do: hand-written nodes, and computing again in backward instead of keeping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def functions_allowed() -> bool:
    """Whether hand-written nodes may run: not under `torch.compile` and inside `torch.func` transformations."""
    return not (torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active())  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType]


def run(function: Callable[..., Any], *arguments: Any, recompute: bool) -> Any:
    """`function(*arguments)`; only the arguments are kept for backward if it is to recompute."""
    if recompute and torch.is_grad_enabled():
        return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
    return function(*arguments)
