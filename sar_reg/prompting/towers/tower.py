"""What the encoder knows of a text model: its weights by role, its plain encoding, and whether sharing is exact."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sar_reg.errors import InputError
from sar_reg.prompting.towers.frozen import Frozen, frozen_twins
from sar_reg.prompting.towers.layers import Mlp
from sar_reg.prompting.towers.watch import altered
from sar_reg.shapes import Float, Int, Tensor

NO_SCALE = Frozen(nn.Identity())


@dataclass(frozen=True)
class Block:
    """One pre-norm transformer block: `x += scale1(out(attention(norm1 x)))`, `x += scale2(mlp(norm2 x))`.

    `queries` maps `(rows, width)` to `(rows, width)`; `keys_values` returns two such tensors; `qkv` returns queries,
    keys and values side by side, `(rows, 3 width)`. `separate`: their three layers, if the model has three.
    """

    heads: int
    norm1: Callable[[Tensor], Tensor]
    queries: Callable[[Tensor], Tensor]
    keys_values: Callable[[Tensor], Sequence[Tensor]]
    qkv: Callable[[Tensor], Tensor]
    out: Callable[[Tensor], Tensor]
    norm2: Callable[[Tensor], Tensor]
    mlp: Mlp
    scale1: Frozen = NO_SCALE
    scale2: Frozen = NO_SCALE
    separate: tuple[nn.Module, ...] = ()


@dataclass(frozen=True)
class Stack:
    """The parts of a causal text transformer that is read at its end-of-text row.

    All of them read the model's weights when they are called, detached. `positions` returns the
    `(context, width)` positional vectors, and `project` maps pooled rows to features.
    """

    positions: Callable[[], Tensor]
    blocks: tuple[Block, ...]
    final_norm: Callable[[Tensor], Tensor]
    project: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class TextTower:
    """The text side of a CLIP-like model, behind one interface.

    It refers to the model and never changes it. A copy (`copy.deepcopy`, pickle) is the tower of a copy of the
    model.

    Attributes:
        model: the whole model.
        features: text features of token ids `(n, context)` by the model, or by a twin of it.
        tokenizer: texts to ids `(n, context)`; raises `InputError` if a text does not fit. Use `ids`.
        token_table: the model's token embedding.
        block_modules: the model's own blocks, for learnable rows put in at a layer on the plain path.
        rows_first: the model's blocks take `(rows, prompts, width)` instead of `(prompts, rows, width)`.
        pooled_row: the row of each prompt that a CLIP reads, None for other models.
        stack: the transformer's parts if sharing is exact, else None.
        why_not: the reason if `stack` is None.
        path: the modules that text passes through.
        foreign: their classes may come from anywhere, not only from open_clip, transformers and torch.
        weights: name to tensor, everything the text features depend on.
        working: the module whose weight has the dtype of the activations.
        given: the tokenizer as it was passed.
        settings: what features depend on beside weights, if it is known to differ from open_clip.
    """

    model: nn.Module
    features: Callable[[Any, Tensor], Tensor]
    tokenizer: Callable[[Sequence[str]], Tensor]
    context_length: int
    embed_dim: int
    token_table: nn.Module
    block_modules: tuple[nn.Module, ...]
    path: tuple[nn.Module, ...]
    weights: Callable[[], Mapping[str, Tensor]]
    working: nn.Module
    pooled_row: Callable[[Int[Tensor, "prompts context"]], Int[Tensor, " prompts"]] | None = None
    stack: Stack | None = None
    why_not: str = ""
    rows_first: bool = False
    foreign: bool = False
    kind: str = "text model"
    given: Any = None
    settings: Callable[[], str] = str

    def __reduce__(self) -> tuple[Any, ...]:
        """Made again from the model and the tokenizer: the parts are functions of them."""
        from sar_reg.prompting.towers import text_tower

        return text_tower, (self.model, self.given)

    @property
    def shareable(self) -> bool:
        """Whether prompts may share the rows before the class name: causal, and read at end-of-text."""
        return self.stack is not None

    @property
    def width(self) -> int:
        """Width of the token embeddings."""
        return self._table.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self._table.device

    @property
    def _table(self) -> Tensor:
        # of an adapter around the embedding, the embedding's; torch.compile before 2.13 knows no max with a key
        table, *others = self.token_table.parameters()
        for weight in others:
            table = weight if weight.numel() > table.numel() else table
        return table

    @property
    def dtype(self) -> torch.dtype:
        """Type of the activations."""
        weight: Tensor = self.working.weight  # type: ignore[assignment]
        return weight.dtype

    @property
    def temperature(self) -> float:
        """Temperature of the model's softmax over cosines, `1 / exp(logit_scale)`; 0.01, CLIP's, without one.

        It is read from the device each time: keep it where a training step needs it.
        """
        scale: Any = getattr(self.model, "logit_scale", None)
        # to the CPU first: some devices have no float64
        return 0.01 if scale is None else float(torch.exp(-scale.detach().cpu().double()).flatten()[0])

    def embed(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape width"]:
        """Token embeddings by the model's own embedding, without gradient to it."""
        table = self.token_table
        plain = type(table) is nn.Embedding and table.max_norm is None
        # the encoder's watch looks for hooks and patches where they cannot be traced
        if plain and (torch.compiler.is_compiling() or not altered((table,), foreign=False)):
            assert isinstance(table, nn.Embedding)
            return F.embedding(tokens, table.weight.detach())
        return Frozen(table)(tokens)

    def ids(self, texts: Sequence[str]) -> Int[Tensor, "texts context"]:
        """Token ids, on the CPU.

        Raises:
            InputError: if a text needs more tokens than the context holds, or has an id that the model does not know;
                the message names it.
        """
        ids, known = self.tokenizer(texts), self._table.shape[0]
        for row in ((ids < 0) | (ids >= known)).any(dim=1).nonzero()[:1].flatten().tolist():
            raise InputError(
                f'the tokenizer gives "{texts[row]}" ids in {int(ids[row].min())}..{int(ids[row].max())}, and the '
                f"model knows 0..{known - 1}: pass the tokenizer the model was trained with"
            )
        return ids

    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "texts context"]:
        """`ids` on the model's device."""
        return self.ids(texts).to(self.device)

    def encode_tokens(self, tokens: Int[Tensor, "texts context"]) -> Float[Tensor, "texts features"]:
        """Features of the unmodified model, not normalised; no gradient reaches its weights."""
        if torch.is_grad_enabled() and any(weight.requires_grad for weight in self.model.parameters()):
            return self.features(frozen_twins(self.model)[self.model], tokens)
        return self.features(self.model, tokens)

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        """Features of the unmodified model for texts, not normalised."""
        return self.encode_tokens(self.tokenize(texts))

    def fingerprint(self) -> str:
        """SHA-256 over the weights that text features depend on, and an activation other than GELU.

        The tokenizer is not covered, nor is a change of the model's code.

        Weights are hashed as float32 under sorted names, so a model loaded in float16 or bfloat16 has the
        fingerprint of the same values held in float32. It is computed at each call (about half a second for
        ViT-B/16), because weights can change in place.
        """
        digest = hashlib.sha256(self.settings().encode())
        for name, weight in sorted(self.weights().items()):
            value = weight.detach().cpu().float().contiguous()
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.numpy().astype("<f4", copy=False).tobytes())
        return digest.hexdigest()
