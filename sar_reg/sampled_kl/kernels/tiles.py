"""How the kernels are launched: tile sizes, arithmetic of the matrix products, and the current device."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import torch
import triton
import triton.language as tl

# Chosen by compiling ahead of time for sm_75 to sm_120: no spill at these, see benchmarks/results.
RING_FORWARD = {"ROWS": 16, "COLUMNS": 64, "WIDTH": 32, "num_warps": 8, "num_stages": 2}
RING_BACKWARD = {"ROWS": 32, "COLUMNS": 16, "WIDTH": 64, "num_warps": 8, "num_stages": 2}


def _registers(limit: int) -> dict[str, int]:
    """A limit of registers for a thread; without one, ptxas stops at 64 or 128 for some kernels and spills 8 bytes."""
    return {} if torch.version.hip else {"maxnreg": limit}


_ALL_REGISTERS = _registers(255)
SETS_FORWARD = {"COLUMNS": 64, "WIDTH": 32, "num_warps": 4, "num_stages": 1, **_ALL_REGISTERS}
# Up to here the derivatives of independent sets lie in two (N, N) matrices, which backward multiplies; above in lists.
DENSE_CLASSES = 1024
RANKED_CLASSES = 8192  # up to here counting smaller hashes is faster than sorting them (estimated)


def saved_columns(n: int, k: int) -> int:
    """Numbers kept per row of each of the two: a row of a matrix, padded to whole tiles, or one per sample."""
    return triton.cdiv(n, 32) * 32 if n <= DENSE_CLASSES else k


def ring_backward_tile(features: torch.dtype, row_stride: int, capability: tuple[int, int]) -> dict[str, int]:
    """Two programs fit a multiprocessor at 128 registers, which rows that do not start at 16 bytes exceed."""
    if row_stride % 16 or capability[0] == 7 or (capability[0] == 10 and features == torch.float32):
        return RING_BACKWARD | _ALL_REGISTERS
    return RING_BACKWARD | (_registers(128) if features == torch.bfloat16 else {})


def dense_backward_tile(n: int, row_stride: int) -> dict[str, int]:
    """Few classes need many programs, more classes few reads of the matrices."""
    tile = {"ROWS": 16 if n <= 512 else 32, "COLUMNS": 32, "WIDTH": 64, "num_warps": 4, "num_stages": 2}
    # up to 512 classes, two programs per multiprocessor are all there are
    return tile | (_ALL_REGISTERS if n <= 512 or row_stride % 16 else {})


def gather_backward_tile(width: int) -> dict[str, int]:
    """A whole row of features at a time, up to 512 of them."""
    features = min(512, max(16, triton.next_power_of_2(width)))
    return {"CHUNK": 8, "WIDTH": features, "num_warps": 4, "num_stages": 1, **_ALL_REGISTERS}


def forward_precision(features: torch.dtype) -> str:
    """Half precision is multiplied as it is (exactly, summed in float32); float32 takes three tf32 products.

    The interpreter cannot multiply bfloat16, so there the operands are upcast first, which is exact too.
    """
    if features in (torch.float16, torch.bfloat16):
        return "tf32" if os.environ.get("TRITON_INTERPRET") == "1" else "native"
    return "ieee" if torch.version.hip else "tf32x3"


def backward_precision(features: torch.dtype) -> str:
    """The coefficients are float32: rounding them to tf32 (5e-4) hides only behind bfloat16's rounding."""
    if torch.version.hip:
        return "ieee"
    return "tf32" if features == torch.bfloat16 else "tf32x3"


def accumulator(*dtypes: torch.dtype) -> tl.dtype:
    """float32; float64 only for checking gradients in the interpreter."""
    return tl.float64 if torch.float64 in dtypes else tl.float32


def capability(device: torch.device) -> tuple[int, int]:
    """Compute capability of the GPU; (0, 0) for the CPU, where the interpreter runs the kernels."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)


def launch(
    kernel: Any, grid: tuple[int, ...], device: torch.device, *arguments: object, **constants: object
) -> None:
    """Start `kernel` with the tensors' GPU as the current one, which is where Triton launches."""
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[grid](*arguments, **constants)
