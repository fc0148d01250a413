"""The function: validation, the classes to compare, and the choice of implementation."""

from __future__ import annotations

import importlib.util
import os

import torch

from sar_reg.errors import InputError
from sar_reg.sampled_kl import reference, torch_dense
from sar_reg.sampled_kl.operator import ring_kl
from sar_reg.sampled_kl.sampling import ring_order, sample_classes
from sar_reg.sampled_kl.validation import check_features, check_indices, check_options, check_sample_size
from sar_reg.shapes import Float, Int, Tensor

_TRITON_INSTALLED = importlib.util.find_spec("triton") is not None
# Beyond this the saved band is no longer small (8 kB a row); row blocks of the full matrix take less memory.
_WIDEST_AUTO_BAND = 1024
# Up to K + 96 classes one small matmul beats the many smaller ones of the band (measured on a CPU).
_FEW_CLASSES = 96


def similarity_alignment_loss(
    learned: Float[Tensor, "classes width"],
    target: Float[Tensor, "classes width"],
    *,
    temperature: float,
    sample_size: int | None = None,
    indices: Int[Tensor, "classes samples"] | None = None,
    seed: int = 0,
    step: int | Int[Tensor, ""] = 0,
    sampling: str = "ring",
    reduction: str = "mean",
    direction: str = "target||learned",
    impl: str = "auto",
) -> Float[Tensor, "*row"]:
    r"""KL divergence between how similar classes are by `target` and by `learned` (the SAR loss).

    $$P_{ij} = \frac{\exp(\cos(t_i, t_j)/\tau)}{\sum_{k \in S_i} \exp(\cos(t_i, t_k)/\tau)}, \quad
      Q_{ij} \text{ the same of } \tilde t, \quad
      L = \frac1N \sum_i \sum_{j \in S_i} P_{ij} (\log P_{ij} - \log Q_{ij})$$

    Args:
        learned: (N, D) text features of the learnable prompts, any floating dtype, any length but zero;
            N at least 2. A zero row has cosine 0 with every class, and zero gradient.
        target: (N, D) frozen features of the same classes in the same order, such as `bank.embeddings`.
        temperature: τ > 0, the model's own 1 / exp(logit_scale).
        sample_size: K, how many other classes each class is compared with; None or more than N - 1: all.
        indices: (N, K) the sets S_i of a caller, instead of drawing them; a repeated class counts twice.
        seed: names the sequence of draws.
        step: which draw of the sequence; an int or a 0-d int64 tensor on the features' device.
        sampling: `"ring"` (one shuffled circle of the classes per step) or `"independent"` rows.
        reduction: `"mean"` over the classes, `"sum"`, or `"none"` for one value per class.
        direction: `"target||learned"`: Σ P (log P - log Q); `"learned||target"`: Σ Q (log Q - log P).
        impl: `"auto"`, `"reference"`, `"torch"` or `"triton"`; a forced one that cannot run raises.

    Returns:
        The loss, or (N,) losses, in float32 (float64 if an input is). Nothing is detached but `target`:
        the gradient reaches `learned` through both factors of every cosine.

    Raises:
        InputError: for shapes, dtypes, devices or options that do not fit; the message says which.

    Cost: time O(N K D) and memory O(N (K + D)) on the ring; other sets O(N² D) time in blocks of rows.
    float16 and bfloat16 features are upcast exactly and never multiplied in half precision, autocast or not.
    Second derivatives exist except on the ring's own operator (use `impl="reference"`).

    Source: arXiv 2502.11969, equations 3 to 5.

    Examples:
        >>> target = torch.eye(3)
        >>> similarity_alignment_loss(target, target, temperature=0.5).item()
        0.0
        >>> learned = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> round(similarity_alignment_loss(learned, target, temperature=0.5).item(), 4)
        0.1544
    """
    check_options(
        temperature=temperature, sampling=sampling, reduction=reduction, direction=direction, impl=impl
    )
    check_features(learned, target)
    check_sample_size(sample_size)
    if indices is not None:
        check_indices(indices, learned, sample_size)
    n = learned.shape[0]
    k = n - 1 if sample_size is None else min(sample_size, n - 1)
    everyone = indices is None and k == n - 1
    on_ring = everyone or (indices is None and sampling == "ring")
    chosen = choose_implementation(
        impl, learned.device, (learned.dtype, target.dtype), k if on_ring else None
    )
    reverse = direction == "learned||target"
    with torch.autocast(learned.device.type, enabled=False):
        if chosen == "triton" or (chosen == "torch" and on_ring and n > k + _FEW_CLASSES):
            order = ring_order(n, seed=seed, step=step, device=learned.device)
            rows = ring_kl(learned, target, order, k, temperature, reverse, chosen)[0]
        elif chosen == "torch" and everyone:
            rows = torch_dense.row_kl(learned, target, None, temperature, reverse)
        else:
            if indices is None:
                indices = sample_classes(n, k, seed=seed, step=step, sampling=sampling, device=learned.device)
            row_kl = reference.row_kl if chosen == "reference" else torch_dense.row_kl
            rows = row_kl(learned, target, indices, temperature, reverse)
    return rows if reduction == "none" else rows.mean() if reduction == "mean" else rows.sum()


def choose_implementation(
    impl: str, device: torch.device, dtypes: tuple[torch.dtype, ...], ring_width: int | None
) -> str:
    """What `impl` means for these inputs; `ring_width` is K if the sets are a ring, else None.

    `"auto"` is Triton for CUDA tensors wherever it can run, else PyTorch.

    Raises:
        InputError: if `impl="triton"` cannot run, with the reason.
    """
    if impl in ("reference", "torch"):
        return impl
    reason = _why_not_triton(device, dtypes, ring_width)
    if impl == "triton" and reason:
        raise InputError(f"impl='triton' cannot run here: {reason}; use impl='auto' or 'torch'")
    if impl == "auto" and (reason or device.type != "cuda" or (ring_width or 0) > _WIDEST_AUTO_BAND):
        return "torch"
    return "triton"


def _why_not_triton(
    device: torch.device, dtypes: tuple[torch.dtype, ...], ring_width: int | None
) -> str | None:
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if not _TRITON_INSTALLED:
        return "the package triton is not installed"
    if ring_width is None:
        return "its kernels walk a ring of classes, so they take neither indices= nor sampling='independent'"
    if device.type != "cuda" and not interpreted:
        return (
            f"the features are on {device.type}, not on a CUDA GPU (or start Python with TRITON_INTERPRET=1)"
        )
    if torch.float64 in dtypes and not interpreted:
        return "float64 features are for checking and have no compiled kernel"
    return None
