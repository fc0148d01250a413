"""The loss as a module: one line in a training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import nn

from sar_reg.errors import InputError
from sar_reg.sampled_kl.api import choose_implementation, similarity_alignment_loss
from sar_reg.sampled_kl.sampling import check_draw, sample_classes
from sar_reg.sampled_kl.validation import check_features, check_options, check_sample_size
from sar_reg.shapes import Float, Tensor

__all__ = ["SimilarityAlignmentLoss", "sample_classes", "similarity_alignment_loss"]


class Bank(Protocol):
    """What the loss reads of an `AnchorBank`."""

    @property
    def embeddings(self) -> Tensor:
        """(N, D) frozen rows, one per class."""
        ...

    @property
    def temperature(self) -> float:
        """The τ of CLIP's softmax."""
        ...

    @property
    def classnames(self) -> tuple[str, ...]:
        """N names."""
        ...


class SimilarityAlignmentLoss(nn.Module):
    """Keep the learned class similarities close to the bank's, over classes drawn anew at each training step.

    `loss = ce + lam * sar(text_features)`; the equation is that of
    [`similarity_alignment_loss`][sar_reg.similarity_alignment_loss].
    In `train()` every call draws K other classes per class from (seed, `step`) and advances the buffer
    `step`, which is part of `state_dict()`: a resumed run draws on, and all ranks of a distributed run draw
    the same.
    In `eval()` every call uses all other classes, draws nothing and leaves `step` alone.

    Args:
        bank: the frozen side; its embeddings follow `.to(device)` and stay float32 under `.half()`.
        sample_size: K at least 1; None or more than N - 1 means all N - 1 other classes.
        seed: names the sequence of draws.
        sampling: `"ring"` (fast) or `"independent"` (rows drawn for themselves, as the paper words it).
        reduction: `"mean"`, `"sum"` or `"none"` (one value per class).
        direction: `"target||learned"` or `"learned||target"`.
        impl: `"auto"`, `"reference"`, `"torch"` or `"triton"`.

    Raises:
        InputError: for options that do not exist.

    Examples:
        >>> from types import SimpleNamespace
        >>> bank = SimpleNamespace(embeddings=torch.eye(4), temperature=0.01, classnames=("a", "b", "c", "d"))
        >>> sar = SimilarityAlignmentLoss(bank, sample_size=2)
        >>> sar
        SimilarityAlignmentLoss(N=4, K=2, τ=0.01, sampling=ring, target||learned, mean, impl=torch (auto))
        >>> sar(torch.eye(4)).item(), sar.step.item()
        (0.0, 1)
    """

    step: Tensor
    target: Tensor

    def __init__(
        self,
        bank: Bank,
        sample_size: int | None = 64,
        seed: int = 0,
        sampling: str = "ring",
        *,
        reduction: str = "mean",
        direction: str = "target||learned",
        impl: str = "auto",
    ) -> None:
        super().__init__()
        if not hasattr(bank, "embeddings"):
            raise InputError(
                f"bank must be an AnchorBank, not {type(bank).__name__}; make one with build_anchor_bank or read "
                "one with AnchorBank.load"
            )
        check_draw(seed, 0)
        check_options(
            temperature=bank.temperature,
            sampling=sampling,
            reduction=reduction,
            direction=direction,
            impl=impl,
        )
        check_sample_size(sample_size)
        check_features(bank.embeddings, bank.embeddings)
        others = bank.embeddings.shape[0] - 1
        self.classnames = tuple(bank.classnames)
        self.sample_size = others if sample_size is None else min(sample_size, others)
        self.temperature, self.seed, self.sampling = bank.temperature, seed, sampling
        self.reduction, self.direction, self.impl = reduction, direction, impl
        self._full_precision = bank.embeddings
        self.register_buffer("target", bank.embeddings, persistent=False)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64, device=bank.embeddings.device))

    def forward(
        self, text_features: Float[Tensor, "classes width"], classnames: Sequence[str] | None = None
    ) -> Float[Tensor, "*row"]:
        """The loss of the learned features of all classes of the bank, base and novel, in the bank's order.

        Args:
            text_features: (N, D), any floating dtype; need not be normalised.
            classnames: the names of the rows, if you want their order checked against the bank's.

        Returns:
            A scalar, or (N,) with `reduction="none"`.

        Raises:
            InputError: if the features or the names do not fit the bank.
        """
        if classnames is not None:
            self._check_order(classnames)
        if text_features.ndim == 2 and text_features.shape[0] != self.target.shape[0]:
            raise InputError(
                f"text_features must have one row for each of the bank's {self.target.shape[0]} classes, "
                f"base and novel, in the order of bank.classnames; there are {text_features.shape[0]} rows"
            )
        loss = similarity_alignment_loss(
            text_features,
            self.target,
            temperature=self.temperature,
            sample_size=self.sample_size if self.training else None,
            seed=self.seed,
            step=self.step,
            sampling=self.sampling,
            reduction=self.reduction,
            direction=self.direction,
            impl=self.impl,
        )
        if self.training:
            self.step += 1
        return loss

    def extra_repr(self) -> str:
        """N, the effective K, τ, the options, and which implementation runs on the present device."""
        sizes = f"N={self.target.shape[0]}, K={self.sample_size}, τ={self.temperature:.4g}"
        implementation = f"impl={self.impl}"
        if self.impl == "auto":
            on_ring = self.sampling == "ring" or self.sample_size == len(self.classnames) - 1
            width = self.sample_size if on_ring else None
            chosen = choose_implementation("auto", self.target.device, (self.target.dtype,), width)
            implementation = f"impl={chosen} (auto)"
        return f"{sizes}, sampling={self.sampling}, {self.direction}, {self.reduction}, {implementation}"

    def _check_order(self, classnames: Sequence[str]) -> None:
        names = tuple(classnames)
        if len(names) != len(self.classnames):
            raise InputError(f"expected {len(self.classnames)} class names, as in the bank, not {len(names)}")
        for row, (name, expected) in enumerate(zip(names, self.classnames, strict=True)):
            if name != expected:
                raise InputError(
                    f"row {row} of the features is {name!r}, but the bank has {expected!r} there; "
                    f"encode the classes in the order of bank.classnames"
                )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SimilarityAlignmentLoss:
        """Follow the device, but never round the bank: `.half()` on a model that holds this loss must not."""
        super()._apply(fn, recurse)
        self._full_precision = self._full_precision.to(self.target.device)
        self.target = self._full_precision
        return self
