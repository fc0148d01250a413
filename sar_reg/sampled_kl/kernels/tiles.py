"""How the kernels are launched: tile sizes, arithmetic of the matmuls, and the current device."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import triton.language as tl

# Chosen by compiling ahead of time for sm_80, sm_90 and sm_100: no spill at these, see benchmarks/results.
FORWARD_TILE = {"ROWS": 16, "COLUMNS": 64, "WIDTH": 32, "num_warps": 8, "num_stages": 2}
BACKWARD_TILE = {"ROWS": 32, "COLUMNS": 16, "WIDTH": 64, "num_warps": 8, "num_stages": 2}

_HALF = (torch.float16, torch.bfloat16)


def forward_precision(features: torch.dtype) -> str:
    """Products of half-precision values are exact in tf32; float32 needs the three-product form."""
    if torch.version.hip:
        return "ieee"
    return "tf32" if features in _HALF else "tf32x3"


def backward_precision(features: torch.dtype) -> str:
    """The coefficients are float32: rounding them to tf32 (5e-4) hides only behind bfloat16's rounding."""
    if torch.version.hip:
        return "ieee"
    return "tf32" if features == torch.bfloat16 else "tf32x3"


def accumulator(*dtypes: torch.dtype) -> tl.dtype:
    """float32; float64 only for checking gradients in the interpreter."""
    return tl.float64 if torch.float64 in dtypes else tl.float32


def backward_registers(row_stride: int) -> dict[str, int]:
    """Rows that do not start at 16 bytes need some registers more than the 128 at which ptxas spills of itself."""
    return {} if row_stride % 16 == 0 or torch.version.hip else {"maxnreg": 255}


def launch(
    kernel: Any, grid: tuple[int, ...], device: torch.device, *arguments: object, **constants: object
) -> None:
    """Start `kernel` with the tensors' GPU as the current one, which is where Triton launches."""
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[grid](*arguments, **constants)
