"""Texts to token ids, with one behaviour for every tokenizer: what does not fit is an error, never cut."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sar_reg.errors import InputError
from sar_reg.shapes import Tensor


def checked_tokenizer(tokenizer: Any, context_length: int, advice: str) -> Callable[[Sequence[str]], Tensor]:
    """Wrap a tokenizer of transformers, open_clip or OpenAI's clip so that long texts raise.

    Args:
        tokenizer: a transformers tokenizer, a callable `(texts, context_length=...) -> ids`, or None: then
            weights can be looked at, but the first text raises.
        context_length: the number of tokens the model reads.
        advice: which tokenizer to give, for that error.
    """
    if tokenizer is None:
        return lambda texts: _no_tokenizer(advice)
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # of a transformers CLIPProcessor
    if not callable(tokenizer):
        raise InputError(f"the tokenizer must be callable, not {tokenizer!r}: {advice}")
    if hasattr(tokenizer, "convert_tokens_to_ids") and hasattr(tokenizer, "pad"):
        return lambda texts: _transformers_ids(tokenizer, list(texts), context_length)
    if "context_length" not in inspect.signature(tokenizer).parameters:
        return lambda texts: _fixed_width_ids(tokenizer, list(texts), context_length)
    return lambda texts: _wide_ids(tokenizer, list(texts), context_length)


def _no_tokenizer(advice: str) -> Tensor:
    raise InputError(f"texts need the model's tokenizer, which was not given: {advice}")


def _transformers_ids(tokenizer: Any, texts: list[str], context_length: int) -> Tensor:
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    _refuse_long(texts, lengths, context_length)
    padded = tokenizer(texts, padding="max_length", max_length=context_length)["input_ids"]
    return torch.tensor(padded, dtype=torch.long)


def _wide_ids(tokenizer: Any, texts: list[str], context_length: int) -> Tensor:
    # open_clip cuts long texts in silence; with twice the room the surplus shows
    ids = torch.as_tensor(tokenizer(["a", *texts], context_length=2 * context_length), dtype=torch.long)
    filled = ids[1:] != ids[0, -1]
    columns = torch.arange(1, ids.shape[1] + 1)
    _refuse_long(texts, (filled * columns).amax(dim=1).tolist(), context_length)
    return ids[1:, :context_length]


def _fixed_width_ids(tokenizer: Any, texts: list[str], context_length: int) -> Tensor:
    ids = torch.as_tensor(tokenizer(["a", *texts]), dtype=torch.long)
    if ids.ndim != 2 or ids.shape[1] != context_length:
        raise InputError(
            f"the tokenizer must return ids of shape (texts, {context_length}), the model's context; "
            f"it returned {tuple(ids[1:].shape)}. Give a tokenizer that takes context_length=."
        )
    for text, last in zip(texts, ids[1:, -1], strict=True):
        if last != ids[0, -1]:
            raise InputError(
                f'the text "{text}" fills all {context_length} places and may have been cut. Shorten the class name '
                "or the template, or give a tokenizer that takes context_length=."
            )
    return ids[1:]


def _refuse_long(texts: list[str], lengths: list[int], context_length: int) -> None:
    for text, length in zip(texts, lengths, strict=True):
        if length > context_length:
            raise InputError(
                f'the text "{text}" does not fit: it needs at least {length} tokens, the model reads '
                f"{context_length}. Shorten the class name or the template."
            )
