"""The loss as a module: one line in a training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from sar_reg.class_names import name_tuple
from sar_reg.errors import InputError, SarRegError, counted
from sar_reg.sampled_kl import api, validation
from sar_reg.sampled_kl.recompute import Calls
from sar_reg.sampled_kl.validation import Direction, Implementation, Reduction, Sampling
from sar_reg.shapes import Float, Int, Tensor

KEPT_GRAM = 4096  # classes up to which the target's cosines are kept: 64 MB


class Bank(Protocol):
    """The part of an `AnchorBank` that the loss uses: (N, D) frozen rows, the τ of CLIP's softmax, and N names."""

    @property
    def embeddings(self) -> Tensor: ...

    @property
    def temperature(self) -> float: ...

    @property
    def classnames(self) -> tuple[str, ...]: ...


class SimilarityAlignmentLoss(nn.Module):
    r"""Keep the learned class similarities close to the bank's, over newly drawn classes at each training step.

    `loss = ce + lam * sar(text_features)`; the equation is that of
    [`similarity_alignment_loss`][sar_reg.similarity_alignment_loss].
    In `train()` each call draws K other classes per class from (seed, `step`) and advances the buffer
    `step`, which is part of `state_dict()`: a resumed run continues the sequence, and all ranks of a distributed
    run draw the same classes. A state without it (trained without this loss) leaves `step` as it is.
    In `eval()` each call uses all other classes, draws nothing and leaves `step` alone.

    Repeating a draw: `sar(text_features, step=s)` uses draw s and does not advance.

    - LBFGS, SAM: the closure runs several times per update, so name its draw: `step=update`.
    - Gradient accumulation: text features are the same in each part, so call the loss once per update, or name
      the same `step` and weigh each part.
    - Logging between updates: `step=sar.step` shows the next draw.
    - `torch.utils.checkpoint` around the loss needs nothing: a recomputation repeats the draw of its call. Only a
      checkpoint inside another one has to name its step.

    Args:
        bank: the frozen side; its embeddings follow `.to(device)` and are not rounded by `.half()`.
        sample_size: K, at least 2; None, or a value above N - 1, uses all N - 1 other classes.
        seed: names the sequence of draws.
        sampling: `"ring"` (one shuffled circle of the classes per step) or `"independent"` rows, as in the paper.
        reduction: `"mean"`, `"sum"` or `"none"` (one value per class).
        direction: `"target||learned"` or `"learned||target"`.
        impl: `"auto"`, `"reference"`, `"torch"` or `"triton"`.

    Raises:
        InputError: for a bank or options that do not fit; also for two classes or `sample_size=1`, with which the
            loss is always 0.

    Memory: the bank; if the kernels run, up to 4,096 classes also its N x N cosines.

    Examples:
        >>> from types import SimpleNamespace
        >>> bank = SimpleNamespace(embeddings=torch.eye(4), temperature=0.01, classnames=("a", "b", "c", "d"))
        >>> sar = SimilarityAlignmentLoss(bank, sample_size=2)
        >>> sar
        SimilarityAlignmentLoss(N=4, K=2, temperature=0.01, sampling=ring, target||learned, mean, impl=torch (auto))
        >>> sar(torch.eye(4)).item(), sar.step.item()
        (0.0, 1)
    """

    step: Tensor
    target: Tensor
    gram: Tensor | None
    sampling: Sampling
    reduction: Reduction
    direction: Direction
    impl: Implementation

    def __init__(
        self,
        bank: Bank,
        sample_size: int | None = 64,
        seed: int = 0,
        sampling: Sampling = "ring",
        *,
        reduction: Reduction = "mean",
        direction: Direction = "target||learned",
        impl: Implementation = "auto",
    ) -> None:
        super().__init__()
        for name in ("embeddings", "temperature", "classnames"):
            if not hasattr(bank, name):
                raise InputError(
                    f"bank must be an AnchorBank, not {type(bank).__name__} (it has no {name}); make one with "
                    "build_anchor_bank or read one with AnchorBank.load"
                )
        checked = validation.check_options(bank.temperature, seed, sampling, reduction, direction, impl)
        self.temperature, self.seed, self.sampling, self.reduction, self.direction, self.impl = checked
        validation.check_rows("the bank's embeddings", "(classes, width)", bank.embeddings)
        validation.check_pair(bank.embeddings, bank.embeddings)
        rows = bank.embeddings.shape[0]
        self.classnames = name_tuple(bank.classnames, "classnames")
        if len(self.classnames) != rows:
            names = counted(len(self.classnames), "class name")
            raise InputError(f"the bank has {counted(rows, 'embedding')} but {names}")
        self.sample_size = validation.check_sample_size(sample_size, rows)
        if self.sample_size == 1:
            raise InputError(validation.ONE_CLASS)
        self._calls = Calls()
        with torch.inference_mode(False):  # buffers made in inference mode could not be used in training
            target = bank.embeddings.clone() if bank.embeddings.is_inference() else bank.embeddings
            self.register_buffer("target", target, persistent=False)
            self.register_buffer("step", torch.zeros((), dtype=torch.int64, device=target.device))
            self.register_buffer("gram", self._cosines(), persistent=False)

    def forward(
        self,
        text_features: Float[Tensor, "classes width"],
        classnames: Sequence[str] | None = None,
        *,
        step: int | Int[Tensor, ""] | None = None,
    ) -> Float[Tensor, "*row"]:
        """The loss of the learned features of all classes of the bank, base and novel, in the bank's order.

        Args:
            text_features: (N, D), any floating dtype; need not be normalised.
            classnames: the names of the rows, to have their order checked against the bank's.
            step: use this draw and leave the module's own `step` alone; without effect in `eval()`.

        Returns:
            A scalar, or (N,) with `reduction="none"`.

        Raises:
            InputError: if the features, the names or the step do not fit.
            SarRegError: if called during backward, when it is not clear which draw to repeat.
        """
        if classnames is not None:
            self._check_order(classnames)
        n = self.target.shape[0]
        validation.check_rows("text_features", f"({n}, D)", text_features)
        if text_features.shape[0] != n:
            raise InputError(
                f"text_features must have one row for each of the bank's {counted(n, 'class')}, "
                f"base and novel, in the order of bank.classnames; got {counted(text_features.shape[0], 'row')}"
            )
        validation.check_pair(text_features, self.target)
        advance = self.training and step is None
        if step is None:
            step = self.step
            if advance and not torch.compiler.is_compiling():
                age = self._calls.age()
                if age:  # a recomputation, which repeats the draw of its call
                    advance, step = False, self.step - age
        k = self.sample_size if self.training else n - 1
        loss = api.evaluate(text_features, self.target, self._options(), k=k, step=step, gram=self.gram)
        if advance:
            self._advance()
        return loss

    def _advance(self) -> None:
        try:
            self.step += 1
        except (
            RuntimeError
        ) as error:  # grad, vjp and similar transforms cannot change state outside the function
            raise SarRegError(
                "the loss moves on to the next draw, which torch.func does not allow inside grad, vjp and jacrev: name "
                "the draw, sar(text_features, step=...)"
            ) from error

    def _options(self) -> validation.Options:
        return validation.Options(
            self.temperature, self.seed, self.sampling, self.reduction, self.direction, self.impl
        )

    def extra_repr(self) -> str:
        """N, the effective K, the temperature, the options, and which implementation runs on the present device."""
        auto = self.impl == "auto"
        impl = f"{api.choose_implementation('auto', *self._inputs())} (auto)" if auto else self.impl
        sizes = f"N={self.target.shape[0]}, K={self.sample_size}, temperature={self.temperature:.4g}"
        return f"{sizes}, sampling={self.sampling}, {self.direction}, {self.reduction}, impl={impl}"

    def _inputs(self) -> tuple[torch.device, tuple[torch.dtype, ...], int, api.Sets]:
        """What the choice of an implementation depends on, for features like the bank's."""
        sets = api.which_sets(self.target.shape[0], self.sample_size, self.sampling)
        return self.target.device, (self.target.dtype,), self.sample_size, sets

    def _cosines(self) -> Tensor | None:
        """The target's Gram matrix if a kernel will read it; in float64, so that no matmul setting shows."""
        device, dtypes, k, sets = self._inputs()
        if self.impl == "triton" and api.why_not_triton(device, dtypes, sets):
            return None  # the features may be moved to where it runs
        chosen = api.choose_implementation(self.impl, device, dtypes, k, sets)
        if chosen != "triton" or self.target.shape[0] > KEPT_GRAM:
            return None
        rows = nn.functional.normalize(self.target.double(), dim=1)
        return (rows @ rows.T).to(torch.promote_types(self.target.dtype, torch.float32))

    def _check_order(self, classnames: Sequence[str]) -> None:
        names = name_tuple(classnames, "classnames")
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
        target, self.gram = self.target, None
        with torch.inference_mode(False):
            super()._apply(fn, recurse)
            self.target = target.to(self.target.device)
            self.gram = self._cosines()
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:  # pyright: ignore
        """Accept a state without `step`, such as one of a run that trained without this loss."""
        super()._load_from_state_dict({f"{prefix}step": self.step, **state_dict}, prefix, *arguments)
