"""The function: validation, the classes to compare, and the choice of implementation."""

from __future__ import annotations

import importlib.util
import os
import warnings
from typing import Literal

import torch

from sar_reg.errors import InputError, SarRegError
from sar_reg.sampled_kl import operator, reference, torch_dense, validation
from sar_reg.sampled_kl.sampling import drawn_classes, ring_order
from sar_reg.sampled_kl.validation import Direction, Implementation, Options, Reduction, Sampling
from sar_reg.shapes import Float, Int, Tensor
from sar_reg.tracing import transformed

Sets = Literal["ring", "independent", "given"]
_TRITON_INSTALLED = importlib.util.find_spec("triton") is not None
# Beyond this the saved band is no longer small (8 kB a row); row blocks of the full matrix take less memory.
_WIDEST_AUTO_SETS = 1024
# Up to K + 96 classes one small matrix product beats the many smaller ones of the band (measured on a CPU).
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
    sampling: Sampling = "ring",
    reduction: Reduction = "mean",
    direction: Direction = "target||learned",
    impl: Implementation = "auto",
) -> Float[Tensor, "*row"]:
    """KL divergence between how similar classes are by `target` and by `learned` (the SAR loss).

        P_ij = exp(cos(t_i, t_j)/τ) / Σ_{k∈S_i} exp(cos(t_i, t_k)/τ)        j ∈ S_i
        Q_ij = the same with the learned features
        L    = (1/N) Σ_i Σ_{j∈S_i} P_ij (log P_ij - log Q_ij)

    Args:
        learned: (N, D) text features of the learnable prompts, any floating dtype; N at least 2. Rows of any length;
            a zero row has cosine 0 with every class, and zero gradient.
        target: (N, D) frozen features of the same classes in the same order, such as `bank.embeddings`.
        temperature: τ > 0, the model's own 1 / exp(logit_scale).
        sample_size: K other classes for each class; None, or a value above N - 1, uses all N - 1. With one
            other class, loss and gradient are always 0; a warning is issued.
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
        InputError: for shapes, dtypes, devices or options that do not fit; the message states which.
        SarRegError: for a derivative that an implementation does not have (below).

    Cost: time O(N K D), memory O(N (K + D)) on the ring and for drawn sets in Triton (there O(N²) up to 1,024 classes);
    other sets O(N² D) time in blocks of rows. Triton needs three launches (draw, forward, backward), and a sort for
    drawn sets above 1,024 classes.
    float16 and bfloat16 features are multiplied exactly and summed in float32; autocast and
    `torch.set_float32_matmul_precision` have no effect. The kernels compute squares of lengths in float32: rows
    shorter than 1e-15 or longer than 1e18 result in NaN there.
    Second and forward-mode derivatives exist with `impl="reference"`, and in PyTorch for sets that are not a ring;
    elsewhere they raise. `torch.func.grad`, `vjp`, `jacrev` and `vmap` work everywhere in eager mode.

    Source: arXiv 2502.11969, equations 3 to 5.

    Examples:
        >>> target = torch.eye(3)
        >>> similarity_alignment_loss(target, target, temperature=0.5).item()
        0.0
        >>> learned = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> round(similarity_alignment_loss(learned, target, temperature=0.5).item(), 4)
        0.1544
    """
    options = validation.check_options(temperature, seed, sampling, reduction, direction, impl)
    validation.check_features(learned, target)
    if indices is not None:
        indices = validation.check_indices(indices, learned, sample_size)
    k = validation.check_sample_size(sample_size, learned.shape[0])
    if k == 1 and indices is None and not torch.compiler.is_compiling():
        warnings.warn(validation.ONE_CLASS, stacklevel=2)
    return evaluate(learned, target, options, k=k, step=step, indices=indices)


def evaluate(
    learned: Float[Tensor, "classes width"],
    target: Float[Tensor, "classes width"],
    options: Options,
    *,
    k: int,
    step: int | Int[Tensor, ""],
    indices: Int[Tensor, "classes samples"] | None = None,
    gram: Float[Tensor, "classes classes"] | None = None,
) -> Float[Tensor, "*row"]:
    """`similarity_alignment_loss` of checked arguments; `gram`: the target's cosines if they are kept."""
    temperature, seed, sampling, reduction, direction, impl = options
    n = learned.shape[0]
    sets = "given" if indices is not None else which_sets(n, k, sampling)
    chosen = choose_implementation(impl, learned.device, (learned.dtype, target.dtype), k, sets)
    if chosen != "reference" and torch.compiler.is_compiling() and transformed():
        # Without fullgraph=True this breaks the graph, and the transform runs eagerly.
        raise SarRegError(
            "torch.compile cannot trace this loss inside a transform of torch.func; use impl='reference', or apply the "
            "transform without torch.compile"
        )
    reverse = direction == "learned||target"
    step = validation.check_step(step, learned.device)
    fused = chosen == "triton" or (chosen == "torch" and sets == "ring" and n > k + _FEW_CLASSES)
    with torch.autocast(learned.device.type, enabled=False):
        if fused:
            if k == n - 1:
                drawn = torch.arange(n, device=learned.device)  # any order: the sets hold all other classes
            elif chosen == "torch":
                drawn = ring_order(n, seed=seed, step=step, device=learned.device)
            else:
                drawn = operator.draw(target, k if sets == "independent" else None, seed, step)
            mean = reduction == "mean"
            rows = operator.sampled_kl(learned, target, gram, drawn, k, temperature, mean, reverse, chosen)
            return rows if reduction == "none" else rows.sum()
        if chosen == "torch" and k == n - 1 and indices is None:
            rows = torch_dense.row_kl(learned, target, None, temperature, reverse)
        else:
            if indices is None:
                indices = drawn_classes(n, k, seed=seed, step=step, sampling=sampling, device=learned.device)
            row_kl = reference.row_kl if chosen == "reference" else torch_dense.row_kl
            rows = row_kl(learned, target, indices, temperature, reverse)
    return rows if reduction == "none" else rows.mean() if reduction == "mean" else rows.sum()


def which_sets(n: int, k: int, sampling: Sampling) -> Sets:
    """What is drawn: all other classes are a ring of any order."""
    return "ring" if k == n - 1 else sampling


def choose_implementation(
    impl: Implementation, device: torch.device, dtypes: tuple[torch.dtype, ...], k: int, sets: Sets
) -> Literal["reference", "torch", "triton"]:
    """What `impl` means for these inputs: `"auto"` is Triton for CUDA tensors if it can run, else PyTorch."""
    if impl in ("reference", "torch"):
        return impl
    reason = why_not_triton(device, dtypes, sets)
    if impl == "triton" and reason:
        raise InputError(f"impl='triton' cannot run here: {reason}; use impl='auto' or 'torch'")
    if impl == "auto" and (reason or device.type != "cuda" or k > _WIDEST_AUTO_SETS):
        return "torch"
    return "triton"


def why_not_triton(device: torch.device, dtypes: tuple[torch.dtype, ...], sets: Sets) -> str | None:
    """The reason why the kernels cannot run on such inputs, if there is one."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if not _TRITON_INSTALLED:
        return "the package triton is not installed"
    if sets == "given":
        return "its kernels draw the sets themselves, so they do not take indices="
    if device.type != "cuda" and not interpreted:
        return (
            f"the features are on {device.type}, not on a CUDA GPU (or start Python with TRITON_INTERPRET=1)"
        )
    if torch.float64 in dtypes and not interpreted:
        return "float64 features are for checking and have no compiled kernel"
    return None
