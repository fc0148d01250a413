"""What traces a call or transforms it, and what autograd may do there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def transformed() -> bool:
    """Whether a transform of torch.func is active."""
    return torch._C._are_functorch_transforms_active()  # pyright: ignore


def compiling() -> bool:
    """Whether operators are wanted. They know no transform of torch.func: forward mode would silently be 0."""
    return torch.compiler.is_compiling() and not transformed()


def functions_allowed() -> bool:
    """Whether hand-written nodes may run: not under `torch.compile` and inside transforms of torch.func."""
    return not (torch.compiler.is_compiling() or transformed())


def run(function: Callable[..., Any], *arguments: Any, recompute: bool) -> Any:
    """`function(*arguments)`; only the arguments are kept for backward if it is to recompute."""
    if recompute and torch.is_grad_enabled():
        return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
    return function(*arguments)
