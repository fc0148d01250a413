"""Text towers of open_clip: `CLIP`, whose text side lies flat in the model, and `CustomTextCLIP`."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from sar_reg.prompting.towers.resblocks import (
    NOT_CAUSAL,
    encode_text,
    is_causal,
    resblock_tower,
    text_weights,
)
from sar_reg.prompting.towers.tokens import checked_tokenizer
from sar_reg.prompting.towers.tower import TextTower

_ADVICE = "its vocabulary is not CLIP's, so pass open_clip.get_tokenizer(...) or the model's own"


def open_clip_tower(model: Any, tokenizer: Any = None) -> TextTower:
    """The text tower of an open_clip `CLIP`, `CustomTextCLIP` or `CoCa`: CLIP-like, SigLIP-like or of transformers.

    Without a tokenizer it uses CLIP's own if the vocabulary is CLIP's.
    """
    text = getattr(model, "text", model)
    if not hasattr(text, "token_embedding"):
        return _foreign_text_encoder(model, tokenizer)
    flat = text is model
    pool, eos_id = (getattr(text, f"text_{name}" if flat else name, None) for name in ("pool_type", "eos_id"))
    why_not = ""
    if getattr(text, "cls_emb", None) is not None:
        why_not = "it reads an appended class token, not the end-of-text token"
    elif getattr(text, "use_pad_mask", False):
        why_not = "its attention is masked by padding, not causal"
    elif not is_causal(text.attn_mask):
        why_not = NOT_CAUSAL
    elif pool not in ("argmax", "eos"):
        why_not = f'it is read at the "{pool}" token, not at end-of-text'
    return resblock_tower(
        model,
        text,
        tokenizer or (_clip_tokenizer(text.context_length) if text.vocab_size == 49408 else None),
        _ADVICE,
        why_not=why_not,
        context_length=text.context_length,
        eos_id=eos_id if pool == "eos" else None,
        given=tokenizer,
        rows_first=not getattr(text.transformer, "batch_first", True),
        kind=f"open_clip {type(model).__name__}",
    )


def _foreign_text_encoder(model: Any, tokenizer: Any) -> TextTower:
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
        path=(model, *model.text.modules()),
        weights=lambda: text_weights(model.text),
        working=table,
        why_not="its text encoder is a transformers model",
        kind=f"open_clip {type(model).__name__}",
    )


@cache
def _clip_tokenizer(context_length: int) -> Any:
    from open_clip import SimpleTokenizer

    return SimpleTokenizer(context_length=context_length)
