"""What the encoder knows of a text model: its weights by role, its plain encoding, and whether sharing is exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from sar_reg.prompting.towers.fingerprint import hash_weights
from sar_reg.prompting.towers.frozen import Frozen
from sar_reg.prompting.towers.mlp import Mlp
from sar_reg.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class Block:
    """One pre-norm transformer block: `x += scale1(out(attention(norm1 x)))`, `x += scale2(mlp(norm2 x))`.

    `queries` maps `(rows, width)` to `(rows, width)`; `keys_values` gives two such tensors; `qkv` gives queries,
    keys and values side by side, `(rows, 3 width)`, in one product.
    """

    heads: int
    norm1: Callable[[Tensor], Tensor]
    queries: Callable[[Tensor], Tensor]
    keys_values: Callable[[Tensor], tuple[Tensor, Tensor]]
    qkv: Callable[[Tensor], Tensor]
    out: Callable[[Tensor], Tensor]
    norm2: Callable[[Tensor], Tensor]
    mlp: Mlp
    scale1: Callable[[Tensor], Tensor] | None = None
    scale2: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Stack:
    """The parts of a causal text transformer that is read at its end-of-text row.

    `positions` are the `(context, width)` positional vectors, `project` maps pooled rows to features, and
    `pooled_row` gives the row of each prompt that the model reads.
    """

    positions: Tensor
    blocks: tuple[Block, ...]
    final_norm: Callable[[Tensor], Tensor]
    project: Callable[[Tensor], Tensor]
    pooled_row: Callable[[Int[Tensor, "prompts context"]], Int[Tensor, " prompts"]]


@dataclass(frozen=True)
class TextTower:
    """The text side of a CLIP-like model, behind one interface.

    Attributes:
        encoder: the unmodified model as a module from token ids `(n, context)` to features `(n, D)`.
        tokenizer: texts to ids `(n, context)`; raises `InputError` where a text does not fit.
        token_table: the model's token embedding.
        block_modules: the model's own blocks, for learnable rows put in at a layer on the plain path.
        rows_first: the model's blocks take `(rows, prompts, width)` instead of `(prompts, rows, width)`.
        stack: the transformer's parts where sharing is exact, else None.
        why_not: the reason where `stack` is None.
        weights: name to tensor, everything the text features depend on.
        working: a weight whose dtype is the one activations have.
    """

    encoder: nn.Module
    tokenizer: Callable[[Sequence[str]], Tensor]
    context_length: int
    embed_dim: int
    token_table: nn.Embedding
    block_modules: tuple[nn.Module, ...]
    logit_scale: Tensor
    weights: Callable[[], Mapping[str, Tensor]]
    working: Tensor
    stack: Stack | None = None
    why_not: str = ""
    rows_first: bool = False
    kind: str = field(default="text model")

    @property
    def shareable(self) -> bool:
        """Whether prompts may share the rows before the class name: causal, and read at end-of-text."""
        return self.stack is not None

    @property
    def width(self) -> int:
        """Width of the token embeddings."""
        return self.token_table.embedding_dim

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.token_table.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the activations."""
        return self.working.dtype

    @property
    def temperature(self) -> float:
        """Temperature of the model's softmax over cosines, `1 / exp(logit_scale)`."""
        return float(torch.exp(-self.logit_scale.detach().double()).flatten()[0])

    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "texts context"]:
        """Token ids on the model's device.

        Raises:
            InputError: if a text needs more tokens than the context holds; the message names it.
        """
        return self.tokenizer(texts).to(self.device)

    def encode_tokens(self, tokens: Int[Tensor, "texts context"]) -> Float[Tensor, "texts features"]:
        """Features of the unmodified model, not normalised; no gradient reaches its weights."""
        return Frozen(self.encoder)(tokens)

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        """Features of the unmodified model for texts, not normalised."""
        return self.encode_tokens(self.tokenize(texts))

    def fingerprint(self) -> str:
        """SHA-256 over the weights that text features depend on; the tokenizer is not covered.

        Weights are hashed as float32 under sorted names, so a model loaded in float16 or bfloat16 has the
        fingerprint of the same values held in float32. It is computed anew at each call (about half a second
        for ViT-B/16), because weights can change in place.
        """
        return hash_weights(self.weights())
