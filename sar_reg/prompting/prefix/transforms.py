"""Whether hand-written autograd nodes may run: transformations of functions see only ordinary operations."""

from __future__ import annotations

import torch


def functions_allowed() -> bool:
    """False under `torch.compile` and inside `torch.func` transformations."""
    return not (torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active())  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType]
