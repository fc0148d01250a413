"""Text features of prompts that contain learnable vectors, at the cost of the class names alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from sar_reg.errors import InputError
from sar_reg.prompting.cuda_graph import GraphedEncoding, check_capturable
from sar_reg.prompting.learned import Learned
from sar_reg.prompting.options import are_names, check_options
from sar_reg.prompting.plain import encode_plain, encode_plain_in_passes
from sar_reg.prompting.prefix.plan import Layout, PrefixPlan, chosen_layout, encode, make_plan
from sar_reg.prompting.prompts import ClassPosition, prompt_rows
from sar_reg.prompting.towers import TextTower, text_tower
from sar_reg.prompting.towers.watch import Watch
from sar_reg.prompting.verify import verified
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
    where sharing is not exact, the full length is encoded, and where that differs too, the model is refused.

    A module without parameters of its own: it refers to the model, whose weights are neither its parameters
    nor in its `state_dict`, and takes it along in `to(...)`. Threads may share one without
    `cuda_graph`. A copy (`copy.deepcopy`, pickle) has a copy of the model.

    Args:
        model: any model `text_tower` accepts except a bare function.
        tokenizer: its tokenizer; None where `text_tower` knows it.
        classnames: class names; "_" is read as a space.
        n_ctx: number of learnable context vectors.
        infix: fixed words between context and name, such as MaPLe's "of a".
        suffix: what follows the name.
        class_position: "end", "middle" (half of the context before the name) or "front"; the last two share
            fewer rows.
        checkpoint: recompute blocks in backward: memory for one block's rows and each block's input.
        chunk_size: classes in one pass; each pass is recomputed in backward, which bounds the memory.
        buckets: pad to at most this many lengths instead of one group per length: fewer, larger kernels for
            GPUs.
        layout: "grouped" computes the fewest rows, in thousands of operations; "packed" computes a few more, in
            about 300 operations for any number of classes; "auto" is packed on CUDA and grouped elsewhere. Both
            give the same features and gradients.
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
        model: Any,
        tokenizer: Any,
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
        names = tuple(map(str, classnames)) if are_names(classnames) else ()
        check_options(names, n_ctx, infix, class_position, chunk_size, buckets)
        if layout not in ("auto", "grouped", "packed"):
            raise InputError(f'layout must be "auto", "grouped" or "packed", not {layout!r}')
        if layout == "packed" and buckets is not None:
            raise InputError('buckets belong to the grouped layout: leave them out, or give layout="grouped"')
        if compile and cuda_graph:
            raise InputError("compile and cuda_graph cannot be combined: choose one")
        tower = text_tower(model, tokenizer)
        if not isinstance(tower, TextTower):
            raise InputError("learnable prompts need a model, not a function: a function takes only texts")
        self.tower = tower
        self.classnames = names
        self.n_ctx = n_ctx
        self.infix, self.suffix, self.class_position = infix, suffix, class_position
        self._chunk_size, self._buckets, self._checkpoint = chunk_size, buckets, checkpoint
        self._layout: Layout = layout
        self._compile = compile
        self._rows = prompt_rows(
            tower, names, n_ctx=n_ctx, infix=infix, suffix=suffix, class_position=class_position
        ).to(tower.device)
        self._prepare()
        self._graph = GraphedEncoding() if cuda_graph else None
        if cuda_graph:
            check_capturable(self.tower, self._plans[0] if self._plans else None)

    def _prepare(self) -> None:
        """What follows from the arguments and is not pickled."""
        backend = self._compile if isinstance(self._compile, str) else "inductor"
        self._encode = torch.compile(encode, backend=backend, fullgraph=True) if self._compile else encode
        self.tower = verified(self.tower, self._rows, self.n_ctx, self._layout)
        self._watch = Watch(self.tower.path) if self.tower.shareable else None
        # the plans for a shared context and for one of each class
        self._plans: tuple[PrefixPlan, ...] = ()
        if self.tower.shareable:
            self._plans = tuple(
                make_plan(
                    self.tower,
                    self._rows,
                    n_ctx=self.n_ctx,
                    class_specific=each,
                    chunk_size=self._chunk_size,
                    buckets=self._buckets,
                    layout=self._layout,
                )
                for each in (False, True)
            )

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of; its plans are made again, for its own model."""
        return {
            key: value for key, value in self.__dict__.items() if key not in ("_encode", "_plans", "_watch")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._prepare()

    def _apply(self, fn: Any, recurse: bool = True) -> PromptEncoder:
        """Moves and casts the model as well, as if it were a submodule."""
        super()._apply(fn, recurse)
        self._follow()
        self.tower.model._apply(fn)
        if self._watch:
            self._watch.begin()  # a move makes new buffers, and that is no change
        self._follow()
        return self

    def _follow(self) -> None:
        """Take notice of a model that was moved or changed since the last call."""
        if self._watch and not torch.compiler.is_compiling() and self._watch.changed():
            tower = text_tower(self.tower.model, self.tower.given)
            assert isinstance(tower, TextTower)
            self.tower = tower
            self._prepare()
        device = self.tower.device
        if self._rows.tokens.device != device:
            before, self._rows = self._rows.tokens.device, self._rows.to(device)
            if self._chosen_layout(before) == self._chosen_layout(device):
                self._plans = tuple(plan.to(device) for plan in self._plans)
            else:
                self._prepare()

    def _chosen_layout(self, device: torch.device) -> Literal["grouped", "packed"]:
        return chosen_layout(self._layout, device, self._buckets)

    @property
    def tokens(self) -> Int[Tensor, "classes context"]:
        """Token ids of the placeholder prompts, "X" where the context stands."""
        return self._rows.tokens

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
        """Features of all classes, not normalised, with gradients to every tensor given.

        Args:
            context: `(n_ctx, width)` shared by all classes, or `(classes, n_ctx, width)`.
            deep: tensors `(n_ctx, width)`; the b-th (from 1) replaces rows `1 .. n_ctx` at the input of
                block b.
            class_tokens: `(classes, n_ctx, width)`, replace rows `1 .. n_ctx` at the input of `class_layer`;
                rows are shared before it, only the start token after it.
            class_layer: the block that `class_tokens` enter, counted from 0.

        Raises:
            InputError: if shapes do not fit the model and the classes.
        """
        learned = self._learned(context, deep, class_tokens, class_layer)
        self._follow()
        plan = self._plans[int(context.ndim == 3)] if self._plans else None
        if self._graph and learned.needs_gradient():
            return self._graph(self.tower, plan, learned, recompute=self._checkpoint)
        if plan is None:
            return encode_plain_in_passes(self.tower, self._rows, learned, self.n_ctx, self._chunk_size)
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
        self._follow()
        return encode_plain(self.tower, self._rows, learned, self.n_ctx)

    def context_from_words(self, words: str) -> Float[Tensor, "context width"]:
        """Embeddings of the first `n_ctx` tokens of `words`, float32: the usual start for a learnable context.

        Raises:
            InputError: if the words have fewer tokens than there are context vectors.
        """
        self._follow()
        nothing, *ids = self.tower.tokenizer(["", words, words + " X"])
        start = int((~torch.isin(ids[0], nothing)).int().argmax())
        # where the two texts part, the words end
        count = int((ids[0] == ids[1]).int().cumprod(dim=0).sum()) - start
        if count < self.n_ctx:
            raise InputError(
                f'"{words}" has {max(count, 0)} tokens, fewer than the {self.n_ctx} context vectors: '
                f"give more words or a smaller n_ctx"
            )
        return self.tower.embed(ids[0][start : start + self.n_ctx].to(self.tower.device)).float().clone()

    def random_context(
        self, std: float = 0.02, generator: torch.Generator | None = None
    ) -> Float[Tensor, "context width"]:
        """A context drawn from N(0, std²), float32, on the model's device."""
        drawn = torch.randn(self.n_ctx, self.tower.width, generator=generator)
        return (drawn * std).to(self.tower.device)

    def count_tokens(self, *, class_specific: bool = False) -> TokenCount:
        """Rows through each block but the last: full length, cut at the longest prompt's end, and here.

        The last block computes keys and values for the same rows, everything else for one row per class.
        """
        classes, context = self.tokens.shape
        if not self.tower.shareable:
            return TokenCount(classes * context, classes * context, classes * context)
        plan = self._plans[class_specific]
        longest = int(self._rows.last.max()) + 1
        return TokenCount(classes * context, classes * longest, plan.n_shared + plan.n_own)

    def __repr__(self) -> str:
        """What is encoded, and how much of it is shared."""
        before = {"end": self.n_ctx, "middle": self.n_ctx // 2, "front": 0}[self.class_position]
        words = f"{_placeholders(before)} {self.infix} {{}} {_placeholders(self.n_ctx - before)}"
        template = " ".join(words.split()) + self.suffix
        if not self.tower.shareable:
            how = f"no sharing, full length: {self.tower.why_not}"
        else:
            count, plan = self.count_tokens(), self._plans[False]
            own = self.count_tokens(class_specific=True).ours
            how = (
                f"{plan.n_shared} rows shared + {plan.n_own} own = {count.ours} instead of {count.plain}; "
                f"class-specific contexts share only the start: {own}"
            )
        how += "; CUDA graphs" if self._graph else ""
        return (
            f'PromptEncoder({len(self)} classes, "{template}", n_ctx={self.n_ctx}, {self.tower.kind}: {how})'
        )

    def _learned(
        self,
        context: Tensor,
        deep: Sequence[Tensor] | None,
        class_tokens: Tensor | None,
        class_layer: int | None,
    ) -> Learned:
        one, each = (self.n_ctx, self.tower.width), (len(self), self.n_ctx, self.tower.width)
        blocks = len(self.tower.block_modules)
        if not isinstance(context, torch.Tensor) or context.shape not in (one, each):  # pyright: ignore[reportUnnecessaryIsInstance]
            came = tuple(context.shape) if hasattr(context, "shape") else type(context).__name__
            raise InputError(f"context must have shape {one} or {each}, not {came}")
        if context.device != self.tower.device:
            raise InputError(
                f"the context lies on {context.device}, the model on {self.tower.device}: "
                f"move one of them with .to(...)"
            )
        if type(context) is FakeTensor and not (
            context.fake_mode.allow_non_fake_inputs or type(self._rows.tokens) is FakeTensor
        ):
            raise InputError(
                "the context is a FakeTensor and the model's weights are not: "
                "use FakeTensorMode(allow_non_fake_inputs=True)"
            )
        if (deep or class_tokens is not None) and self.class_position != "end":
            raise InputError(
                f'deep prompts and class tokens need class_position="end", not "{self.class_position}"'
            )
        for number, rows in enumerate(deep or (), start=1):
            if rows.shape != one or number >= blocks:
                raise InputError(
                    f"deep prompts must be at most {blocks - 1} tensors of shape {one} for a tower of {blocks} "
                    f"blocks; number {number} has shape {tuple(rows.shape)}"
                )
        if class_tokens is None:
            if class_layer is not None:
                raise InputError(f"class_layer={class_layer} needs class_tokens to put in there")
            return Learned(context, tuple(deep or ()))
        if deep:
            raise InputError("deep prompts and class tokens cannot be combined: both replace the same rows")
        if class_tokens.shape != each or class_layer is None or not 1 <= class_layer < blocks:
            raise InputError(
                f"class_tokens must have shape {each} and class_layer lie in 1 .. {blocks - 1}; "
                f"got {tuple(class_tokens.shape)} and {class_layer}"
            )
        return Learned(context, (), class_tokens, class_layer)


def _placeholders(count: int) -> str:
    return " ".join(["X"] * min(count, 4)) + (" ..." if count > 4 else "")
