"""Text features of prompts that contain learnable vectors, at the cost of the class names alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from sar_reg.checks import real_number, switch
from sar_reg.class_names import some_names
from sar_reg.cuda_graph import CapturedCall
from sar_reg.errors import InputError, counted
from sar_reg.prompting.graphed import OPTION, WITHOUT, capturable, encode_graphed
from sar_reg.prompting.learned import Learned
from sar_reg.prompting.plain import encode_plain, encode_plain_in_passes
from sar_reg.prompting.prefix.plan import Layout, PlanOptions, PrefixPlan, compiled_encode
from sar_reg.prompting.prepared import Prepared
from sar_reg.prompting.prompts import leading_ids, prompt_rows
from sar_reg.prompting.template import ClassPosition, ContextTemplate
from sar_reg.prompting.towers import TextTower, text_tower
from sar_reg.prompting.towers.tokens import Tokenizer
from sar_reg.shapes import Float, Int, Tensor


class TokenCount(NamedTuple):
    """Rows that pass through a block for one set of prompts."""

    plain: int
    cropped: int
    ours: int


class PromptEncoder(nn.Module):
    """Encodes `start | context | infix | class name | suffix | end` for all classes, differentiable in the context.

    The context stands before the class name and text attention is causal, so its rows are the same for every
    class: they are computed once, their keys and values are attended by all classes, and rows after
    end-of-text, which nothing reads, are not computed. Features and gradients equal those of the model's own
    full-length encoding up to rounding. Weights of the model get no gradient; its mode and flags stay.

    Cost per block, in rows: `1 + n_ctx + infix` once, plus the tokens of name, suffix and end per class,
    instead of `classes x 77`. A model that is not causal, or is read elsewhere, is encoded in full; `repr`
    says so; `chunk_size` bounds the memory there too, `checkpoint`, `buckets` and `compile` do nothing.
    The model's weights are read at each call, so changed values count. When an encoder is made, and whenever
    the model's modules or hooks have changed, its features of a few prompts are compared with the model's own:
    if sharing is not exact, the full length is encoded, and if that differs too, the model is refused.
    A `torch.compile` of your own around it notices changed values only: after other changes, call the encoder
    once outside of it, then `torch.compiler.reset()`.

    A module without parameters of its own: it refers to the model, whose weights are neither its parameters
    nor in its `state_dict`, and `to(...)` moves it too. Threads may share one without
    `cuda_graph`. A copy (`copy.deepcopy`, pickle) has a copy of the model.

    Args:
        model: any model `text_tower` accepts except a bare function.
        tokenizer: its tokenizer; None if `text_tower` knows it.
        classnames: class names; "_" is read as a space.
        n_ctx: number of learnable context vectors.
        infix: fixed words between context and name, such as MaPLe's "of a".
        suffix: fixed words after the name.
        class_position: "end", "middle" (half of the context before the name) or "front"; the last two share
            fewer rows.
        checkpoint: recompute blocks in backward: memory for one block's rows and each block's input.
        chunk_size: classes in one pass; each pass is recomputed in backward, which bounds the memory.
        buckets: pad to at most this many lengths instead of one group per length: fewer, larger kernels for
            GPUs.
        layout: "grouped" computes the fewest rows, with thousands of operations; "packed" computes a few more, with
            about 300 operations for any number of classes; "auto" is packed on CUDA and grouped elsewhere. Both
            return the same features and gradients.
        compile: run through `torch.compile` as one graph, with its default backend or the one named.
        cuda_graph: replay forward and backward as CUDA graphs, captured at the first call that needs a gradient.
            Later calls must differ in values only, and each backward must run before the next call; both are
            checked. The memory of one step stays taken. Calls without a gradient run as usual.

    Raises:
        InputError: if an argument does not fit or a prompt is longer than the model's context.

    Examples:
        >>> from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
        >>> vision = CLIPVisionCfg(layers=1, width=64, image_size=32)
        >>> model = CLIP(16, vision, CLIPTextCfg(width=32, heads=2, layers=2))
        >>> encoder = PromptEncoder(model, None, ["cat", "golden retriever"], n_ctx=4)
        >>> encoder.count_tokens()
        TokenCount(plain=154, cropped=18, ours=12)
        >>> encoder(encoder.context_from_words("a photo of a")).shape
        torch.Size([2, 16])

    Source: SAR (arXiv 2502.11969) needs features of all base and novel classes at every step.
    """

    def __init__(
        self,
        model: object,
        tokenizer: Tokenizer | None,
        classnames: Sequence[str],
        *,
        n_ctx: int,
        infix: str = "",
        suffix: str = ".",
        class_position: ClassPosition = "end",
        checkpoint: bool = False,
        chunk_size: int | None = None,
        buckets: int | None = None,
        layout: Layout = "auto",
        compile: bool | str = False,  # noqa: A002  the name torch users expect
        cuda_graph: bool = False,
    ) -> None:
        super().__init__()
        self.classnames = some_names(classnames, "classnames")
        self.template = ContextTemplate(n_ctx, infix, suffix, class_position)
        self.n_ctx = self.template.n_ctx
        self.infix, self.suffix, self.class_position = infix, suffix, class_position
        options = PlanOptions(chunk_size, buckets, layout)
        if not isinstance(compile, str):
            switch(compile, "compile", " or the name of a backend")
        if switch(cuda_graph, "cuda_graph") and compile:
            raise InputError("compile and cuda_graph cannot be combined: choose one")
        tower = text_tower(model, tokenizer)
        if not isinstance(tower, TextTower):
            raise InputError("learnable prompts need a model, not a function: a function takes only texts")
        self._prepared = Prepared(
            tower, prompt_rows(tower, self.classnames, self.template), self.n_ctx, options
        )
        self._chunk_size, self._checkpoint, self._compile = (
            options.chunk_size,
            switch(checkpoint, "checkpoint"),
            compile,
        )
        self._encode = compiled_encode(compile)
        self._graph = CapturedCall(OPTION, WITHOUT) if cuda_graph else None
        if cuda_graph:
            capturable(self.tower, self._plan(class_specific=False))

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of; a compiled function cannot be copied."""
        return {key: value for key, value in self.__dict__.items() if key != "_encode"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._encode = compiled_encode(self._compile)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PromptEncoder:
        """Moves and casts the model as well, as if it were a submodule."""
        super()._apply(fn, recurse)
        self._prepared.move(fn)
        return self

    def _plan(self, *, class_specific: bool) -> PrefixPlan | None:
        return self._prepared.plans[class_specific] if self._prepared.plans else None

    @property
    def tower(self) -> TextTower:
        """The text side of the model."""
        return self._prepared.tower

    @property
    def tokens(self) -> Int[Tensor, "classes context"]:
        """Token ids of the placeholder prompts, "X" at the positions of the context."""
        return self._prepared.rows.tokens

    def __len__(self) -> int:
        """Number of classes."""
        return len(self.classnames)

    def forward(
        self,
        context: Float[Tensor, "*classes context width"],
        deep: Sequence[Float[Tensor, "context width"]] | None = None,
        class_tokens: Float[Tensor, "classes context width"] | None = None,
        class_layer: int | None = None,
    ) -> Float[Tensor, "classes features"]:
        """Features of all classes, not normalised, with gradients to every tensor that is passed.

        Args:
            context: `(n_ctx, width)` shared by all classes, or `(classes, n_ctx, width)`.
            deep: tensors `(n_ctx, width)`; the b-th (from 1) replaces rows `1 .. n_ctx` at the input of
                block b.
            class_tokens: `(classes, n_ctx, width)`, replace rows `1 .. n_ctx` at the input of `class_layer`;
                rows are shared before it, only the start token after it.
            class_layer: the block that `class_tokens` enter, counted from 0.

        Raises:
            InputError: if types, shapes or devices do not fit the model and the classes.
        """
        learned = self._learned(context, deep, class_tokens, class_layer)
        plan, rows = self._plan(class_specific=context.ndim == 3), self._prepared.rows
        if self._graph and learned.needs_gradient():
            return encode_graphed(self._graph, self.tower, plan, learned, recompute=self._checkpoint)
        if plan is None:
            return encode_plain_in_passes(self.tower, rows, learned, self.n_ctx, self._chunk_size)
        return self._encode(self.tower, plan, learned, recompute=self._checkpoint)

    def encode_plain(
        self,
        context: Float[Tensor, "*classes context width"],
        deep: Sequence[Float[Tensor, "context width"]] | None = None,
        class_tokens: Float[Tensor, "classes context width"] | None = None,
        class_layer: int | None = None,
    ) -> Float[Tensor, "classes features"]:
        """The same features by the unmodified model over the full context length; for tests and benchmarks."""
        learned = self._learned(context, deep, class_tokens, class_layer)
        return encode_plain(self.tower, self._prepared.rows, learned, self.n_ctx)

    def context_from_words(self, words: str) -> Float[Tensor, "context width"]:
        """Embeddings of the first `n_ctx` tokens of `words`, float32: the usual start for a learnable context.

        Raises:
            InputError: if the words have fewer tokens than there are context vectors, or are not a string.
        """
        self._prepared.follow()
        ids = leading_ids(self.tower, words, self.n_ctx).to(self.tower.device)
        return self.tower.embed(ids).float().clone()

    def random_context(
        self, std: float = 0.02, generator: torch.Generator | None = None
    ) -> Float[Tensor, "context width"]:
        """A context drawn from N(0, std²), float32, on the model's device.

        Raises:
            InputError: if `std` is negative or not a number, or the generator is not one of the CPU.
        """
        std = real_number(std, "std", least=0)
        if generator is not None and getattr(generator, "device", None) != torch.device("cpu"):
            raise InputError(f"generator must be a torch.Generator of the CPU or None, not {generator!r:.60}")
        size = self.n_ctx, self.tower.width
        drawn = torch.randn(size, generator=generator, dtype=torch.float32, device="cpu")
        return (drawn * std).to(self.tower.device)

    def count_tokens(self, *, class_specific: bool = False) -> TokenCount:
        """Rows through each block but the last: full length, cut at the longest prompt's end, and here.

        The last block computes keys and values for the same rows, everything else for one row per class.
        """
        plan = self._plan(class_specific=switch(class_specific, "class_specific"))
        classes, context = self.tokens.shape
        if plan is None:
            return TokenCount(classes * context, classes * context, classes * context)
        longest = int(self._prepared.rows.last.max()) + 1
        return TokenCount(classes * context, classes * longest, plan.n_shared + plan.n_own)

    def __repr__(self) -> str:
        """What is encoded, and how much of it is shared."""
        plan = self._plan(class_specific=False)
        if plan is None:
            how = f"no sharing, full length: {self.tower.why_not}"
        else:
            count, own = self.count_tokens(), self.count_tokens(class_specific=True).ours
            how = (
                f"{counted(plan.n_shared, 'row')} shared + {plan.n_own} own = {count.ours} instead of {count.plain}; "
                f"class-specific contexts share only the start: {own}"
            )
        how += "; CUDA graphs" if self._graph else ""
        classes = counted(len(self), "class")
        return f'PromptEncoder({classes}, "{self.template}", n_ctx={self.n_ctx}, {self.tower.kind}: {how})'

    def _learned(
        self,
        context: Tensor,
        deep: Sequence[Tensor] | None,
        class_tokens: Tensor | None,
        class_layer: int | None,
    ) -> Learned:
        """The tensors of a call, checked, for the model as it is now."""
        tensors = context, deep, class_tokens, class_layer
        learned = Learned.checked(self.tower, self.tokens, self.template, *tensors)
        self._prepared.follow()
        return learned
