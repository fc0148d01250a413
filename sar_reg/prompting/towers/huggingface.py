"""Text towers of transformers' dual encoders: CLIP with shared rows, the others in full length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sar_reg.errors import InputError
from sar_reg.prompting.towers.frozen import Frozen
from sar_reg.prompting.towers.layers import Mlp, unlike_gelu
from sar_reg.prompting.towers.resblocks import first_token
from sar_reg.prompting.towers.tokens import checked_tokenizer, inner_tokenizer
from sar_reg.prompting.towers.tower import Block, Stack, TextTower
from sar_reg.shapes import Tensor

FULL_LENGTH = ("SiglipModel", "Siglip2Model", "MetaClip2Model", "AltCLIPModel", "ChineseCLIPModel")
"""Dual encoders whose `get_text_features` is called as it is."""
_MASKED = ("SiglipModel", "Siglip2Model", "AltCLIPModel", "ChineseCLIPModel")
"""Attention looks both ways, so padding matters: it is masked if the tokenizer returns a mask."""


def clip_tower(model: Any, tokenizer: Any) -> TextTower:
    """The text tower of a `CLIPModel` or `CLIPTextModelWithProjection`, whatever its attention implementation."""
    text = model.text_model
    positions, layers = text.embeddings.position_embedding, tuple(text.encoder.layers)
    reason = "its attention has dropout" if layers[0].self_attn.dropout > 0 else ""
    # configurations written before transformers 4.31 say 2 and mean: the largest id
    eos_id = None if text.config.eos_token_id == 2 else text.config.eos_token_id
    stack = None
    if not reason:
        stack = Stack(
            positions=lambda: positions.weight.detach(),
            blocks=tuple(_block(layer) for layer in layers),
            final_norm=Frozen(text.final_layer_norm),
            project=Frozen(model.text_projection),
        )
    return _tower(
        model,
        tokenizer,
        positions.num_embeddings,
        "pass the CLIPTokenizer",
        embed_dim=model.text_projection.out_features,
        block_modules=layers,
        path=(model, *text.modules(), *model.text_projection.modules()),
        working=layers[0].self_attn.out_proj,
        pooled_row=first_token(eos_id) if stack else None,
        stack=stack,
        why_not=reason,
        settings=lambda: unlike_gelu(layer.mlp.activation_fn for layer in layers),
    )


def full_length_tower(model: Any, tokenizer: Any) -> TextTower:
    """The text tower of another dual encoder, one of `FULL_LENGTH`."""
    name, config = type(model).__name__, model.config.text_config
    inner = inner_tokenizer(tokenizer)
    mask_id = None
    if name in _MASKED and "attention_mask" in getattr(inner, "model_input_names", ()):
        mask_id = inner.pad_token_id
        if mask_id in (None, inner.eos_token_id):
            raise InputError(
                f"{name} masks padding, and this tokenizer's pad_token is {inner.pad_token!r}, which is none or its "
                "end-of-text: set its own one, or pass a function encode(texts) -> (n, D)"
            )
    limit = config.max_position_embeddings - (2 if name == "AltCLIPModel" else 0)  # RoBERTa counts from 2
    length = min(limit, getattr(inner, "model_max_length", limit))
    head = getattr(model, "text_projection", None) or model.text_model.head
    return _tower(
        model,
        tokenizer,
        length,
        f"pass the tokenizer of the {name}",
        mask_id=mask_id,
        embed_dim=head.out_features,
        block_modules=(),
        path=(model, *model.text_model.modules()),
        working=head,
        why_not=f"{name} is encoded by its own get_text_features",
    )


def _tower(
    model: Any, tokenizer: Any, length: int, advice: str, *, mask_id: int | None = None, **more: Any
) -> TextTower:
    # get_input_embeddings is missing or not implemented for some models of older transformers
    table = getattr(getattr(model.text_model, "embeddings", None), "token_embedding", None)
    return TextTower(
        model=model,
        features=_text_features(mask_id),
        given=tokenizer,
        tokenizer=checked_tokenizer(tokenizer, length, advice),
        context_length=length,
        token_table=model.text_model.get_input_embeddings() if table is None else table,
        weights=lambda: {k: v for k, v in model.named_parameters() if k.startswith("text_")},
        kind=f"transformers {type(model).__name__}",
        **more,
    )


def _text_features(mask_id: int | None) -> Callable[[Any, Tensor], Tensor]:
    """`get_text_features`: a tensor up to transformers 4, an object from 5 on."""

    def features(model: Any, tokens: Tensor) -> Tensor:
        mask = {} if mask_id is None else {"attention_mask": (tokens != mask_id).long()}
        if not hasattr(model, "get_text_features"):
            return model(input_ids=tokens, **mask).text_embeds
        found = model.get_text_features(input_ids=tokens, **mask)
        return found if isinstance(found, torch.Tensor) else found.pooler_output

    return features


def _block(layer: Any) -> Block:
    attention = layer.self_attn
    separate = attention.q_proj, attention.k_proj, attention.v_proj
    queries, keys, values = map(Frozen, separate)
    return Block(
        heads=attention.num_heads,
        norm1=Frozen(layer.layer_norm1),
        queries=queries,
        keys_values=lambda x: (keys(x), values(x)),
        qkv=lambda x: torch.cat([queries(x), keys(x), values(x)], dim=-1),
        out=Frozen(attention.out_proj),
        norm2=Frozen(layer.layer_norm2),
        mlp=Mlp(layer.mlp.fc1, layer.mlp.activation_fn, layer.mlp.fc2),
        separate=separate,
    )
