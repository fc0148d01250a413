"""Text tower of transformers' `CLIPModel`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sar_reg.prompting.towers.derived import JoinedProducts
from sar_reg.prompting.towers.frozen import Frozen
from sar_reg.prompting.towers.mlp import Mlp
from sar_reg.prompting.towers.resblocks import first_token
from sar_reg.prompting.towers.tokens import checked_tokenizer
from sar_reg.prompting.towers.tower import Block, Stack, TextTower
from sar_reg.shapes import Tensor


def _text_features(model: Any, tokens: Tensor) -> Tensor:
    """`get_text_features`: a tensor up to transformers 4, an object from 5 on."""
    features = model.get_text_features(input_ids=tokens)
    return features if isinstance(features, torch.Tensor) else features.pooler_output


def hugging_face_tower(model: Any, tokenizer: Any) -> TextTower:
    """The text tower of a `transformers.CLIPModel`.

    Args:
        model: the model; its attention implementation does not matter.
        tokenizer: `CLIPTokenizer` or `CLIPTokenizerFast`.
    """
    text = model.text_model
    table, positions = text.embeddings.token_embedding, text.embeddings.position_embedding
    layers = tuple(text.encoder.layers)

    def weights() -> Mapping[str, Tensor]:
        return {k: v for k, v in model.named_parameters() if k.startswith("text_")}

    reason = "its attention has dropout" if layers[0].self_attn.dropout > 0 else ""
    # configurations written before transformers 4.31 say 2 and mean: the largest id
    eos_id = None if text.eos_token_id == 2 else text.eos_token_id
    stack = None
    if not reason:
        stack = Stack(
            positions=lambda: positions.weight.detach(),
            blocks=tuple(_block(layer) for layer in layers),
            final_norm=Frozen(text.final_layer_norm),
            project=Frozen(model.text_projection),
            pooled_row=first_token(eos_id),
        )
    return TextTower(
        model=model,
        features=_text_features,
        given=tokenizer,
        tokenizer=checked_tokenizer(tokenizer, positions.num_embeddings, "give the CLIPTokenizer."),
        context_length=positions.num_embeddings,
        embed_dim=model.text_projection.out_features,
        token_table=table,
        block_modules=layers,
        weights=weights,
        working=layers[0].self_attn.out_proj,
        stack=stack,
        why_not=reason,
        kind="transformers CLIPModel",
    )


def _block(layer: Any) -> Block:
    attention = layer.self_attn
    keys, values = Frozen(attention.k_proj), Frozen(attention.v_proj)
    return Block(
        heads=attention.num_heads,
        norm1=Frozen(layer.layer_norm1),
        queries=Frozen(attention.q_proj),
        keys_values=lambda x: (keys(x), values(x)),
        qkv=JoinedProducts(attention.q_proj, attention.k_proj, attention.v_proj),
        out=Frozen(attention.out_proj),
        norm2=Frozen(layer.layer_norm2),
        mlp=Mlp(layer.mlp.fc1, layer.mlp.activation_fn, layer.mlp.fc2),
    )
