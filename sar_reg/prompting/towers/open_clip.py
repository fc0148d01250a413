"""Text towers of open_clip: `CLIP`, whose text side lies flat in the model, and `CustomTextCLIP`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from sar_reg.prompting.towers.frozen import Frozen
from sar_reg.prompting.towers.resblocks import (
    encode_text,
    first_token,
    is_causal,
    projection,
    resblock,
    why_not_plain_blocks,
)
from sar_reg.prompting.towers.tokens import checked_tokenizer
from sar_reg.prompting.towers.tower import Stack, TextTower
from sar_reg.shapes import Tensor

_ADVICE = "its vocabulary is not CLIP's, so give open_clip.get_tokenizer(...) or the model's own."


def open_clip_tower(model: Any, tokenizer: Any = None) -> TextTower:
    """The text tower of an open_clip `CLIP`.

    Args:
        model: `open_clip.model.CLIP`.
        tokenizer: open_clip's calling convention; None takes CLIP's own where the vocabulary is CLIP's.
    """

    def weights() -> Mapping[str, Tensor]:
        return {k: v for k, v in model.named_parameters() if not k.startswith(("visual.", "logit_"))}

    parts = [model.transformer, model.token_embedding, model.ln_final]
    if isinstance(model.text_projection, nn.Module):
        parts.append(model.text_projection)
    path = (model, *(module for part in parts for module in part.modules()))
    eos_id = getattr(model, "text_eos_id", None)
    return _tower(model, model, tokenizer, model.text_pool_type, eos_id, weights, path)


def custom_text_clip_tower(model: Any, tokenizer: Any = None) -> TextTower:
    """The text tower of an open_clip `CustomTextCLIP` or `CoCa`: CLIP-like, SigLIP-like or a transformers encoder."""

    def weights() -> Mapping[str, Tensor]:
        return dict(model.text.named_parameters())

    text, path = model.text, (model, *model.text.modules())
    if not hasattr(text, "token_embedding"):
        return _foreign_text_encoder(model, tokenizer, weights, path)
    reason = ""
    if text.cls_emb is not None:
        reason = "it reads an appended class token, not the end-of-text token"
    elif getattr(text, "use_pad_mask", False):
        reason = "its attention is masked by padding, not causal"
    return _tower(
        model, text, tokenizer, text.pool_type, getattr(text, "eos_id", None), weights, path, reason
    )


def _tower(
    model: Any,
    text: Any,
    tokenizer: Any,
    pool: str,
    eos_id: int | None,
    weights: Any,
    path: tuple[nn.Module, ...],
    reason: str = "",
) -> TextTower:
    blocks = tuple(text.transformer.resblocks)
    if not reason and not is_causal(text.attn_mask):
        reason = "its attention is not causal"
    if not reason and pool not in ("argmax", "eos"):
        reason = f'it is read at the "{pool}" token, not at end-of-text'
    reason = reason or why_not_plain_blocks(blocks)
    stack = None
    if not reason:
        stack = Stack(
            positions=lambda: text.positional_embedding.detach(),
            blocks=tuple(resblock(block) for block in blocks),
            final_norm=Frozen(text.ln_final),
            project=projection(text),
        )
    return TextTower(
        model=model,
        features=encode_text,
        given=tokenizer,
        tokenizer=checked_tokenizer(tokenizer or _clip_tokenizer(text), text.context_length, _ADVICE),
        context_length=text.context_length,
        embed_dim=_output_width(text),
        token_table=text.token_embedding,
        block_modules=blocks,
        path=path,
        weights=weights,
        working=blocks[0].attn.out_proj,
        pooled_row=first_token(eos_id if pool == "eos" else None) if stack else None,
        stack=stack,
        why_not=reason,
        rows_first=not getattr(text.transformer, "batch_first", True),
        kind=f"open_clip {type(model).__name__}",
    )


def _foreign_text_encoder(model: Any, tokenizer: Any, weights: Any, path: tuple[nn.Module, ...]) -> TextTower:
    inner, head = model.text.transformer, model.text.proj
    table: nn.Embedding = inner.get_input_embeddings()
    width = table.embedding_dim
    if not isinstance(head, nn.Identity):
        width = [m for m in head.modules() if isinstance(m, nn.Linear)][-1].out_features
    # the tokenizer's, as with open_clip: some of these models read 512 tokens and more, some state no limit
    length = getattr(tokenizer, "context_length", None) or min(model.text.context_length or 77, 77)
    return TextTower(
        model=model,
        features=encode_text,
        given=tokenizer,
        tokenizer=checked_tokenizer(tokenizer, length, _ADVICE),
        context_length=length,
        embed_dim=width,
        token_table=table,
        block_modules=(),
        path=path,
        weights=weights,
        working=table,
        why_not="its text encoder is a transformers model",
        kind=f"open_clip {type(model).__name__}",
    )


def _output_width(text: Any) -> int:
    head = text.text_projection
    if head is None:
        return text.positional_embedding.shape[1]
    return head.out_features if isinstance(head, nn.Linear) else head.shape[1]


def _clip_tokenizer(text: Any) -> Any:
    if text.vocab_size != 49408:
        return None
    from open_clip import SimpleTokenizer

    return SimpleTokenizer(context_length=text.context_length)
