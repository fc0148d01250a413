"""Texts to token ids, with one behaviour for every tokenizer: what does not fit is an error, never cut."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch

from sar_reg.errors import InputError, counted
from sar_reg.shapes import Int, Tensor

Tokenizer = Callable[[list[str]], Int[Tensor, "texts context"]]
"""Texts to token ids: a tokenizer of open_clip or transformers, a processor, or another function."""


def checked_tokenizer(tokenizer: Any, context_length: int, advice: str) -> Callable[[Sequence[str]], Tensor]:
    """Wrap a tokenizer so that it returns `context_length` ids per text, and raises for long texts.

    The tokenizer is used as it is; a transformers processor is replaced by its tokenizer.

    Args:
        tokenizer: a transformers tokenizer or processor, a callable `(texts, context_length=...) -> ids` or
            `(texts) -> ids`, or None: then weights can be looked at, but the first text raises.
        context_length: the number of tokens the model reads.
        advice: which tokenizer to pass, for that error.
    """
    if tokenizer is None:
        return lambda texts: _no_tokenizer(advice)
    tokenizer = inner_tokenizer(tokenizer)
    if not callable(tokenizer):
        raise InputError(f"the tokenizer must be callable, not {tokenizer!r}: {advice}")
    if isinstance(tokenizer, type):
        raise InputError(f"the tokenizer must be an object, not its class: write {tokenizer.__name__}()")
    read = _fixed_width_ids
    if hasattr(tokenizer, "convert_tokens_to_ids") and hasattr(tokenizer, "pad"):
        read = _transformers_ids
    elif "context_length" in inspect.signature(tokenizer).parameters:
        read = _chosen_width_ids
    return lambda texts: read(tokenizer, list(texts), context_length)


def inner_tokenizer(tokenizer: Any) -> Any:
    """The tokenizer of a transformers processor; anything else is what it is."""
    transformers = sys.modules.get("transformers")
    inner = getattr(tokenizer, "tokenizer", None)
    processor = inner is not None and transformers and isinstance(tokenizer, transformers.ProcessorMixin)
    return inner if processor else tokenizer


def _no_tokenizer(advice: str) -> NoReturn:
    raise InputError(f"texts need the model's tokenizer, which was not passed: {advice}")


def _transformers_ids(tokenizer: Any, texts: list[str], context_length: int) -> Tensor:
    if tokenizer.pad_token is None:
        raise InputError(
            "the tokenizer has no padding token: set tokenizer.pad_token as the model was trained with"
        )
    lengths = [len(ids) for ids in tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
    for text, length in zip(texts, lengths, strict=True):
        if length > context_length:
            _refuse_long(text, length, context_length)
    padded = tokenizer(texts, padding="max_length", max_length=context_length, truncation=True)["input_ids"]
    return torch.tensor(padded, dtype=torch.long, device="cpu")


def _chosen_width_ids(tokenizer: Any, texts: list[str], context_length: int) -> Tensor:
    try:
        wide = _ids(tokenizer, ["a", *texts], 2 * context_length, context_length=2 * context_length)
        ids = _ids(tokenizer, texts, context_length, context_length=context_length)
    except InputError:
        raise
    except (RuntimeError, ValueError):  # OpenAI's clip raises where others cut
        if len(texts) == 1:
            return _refuse_long(texts[0], context_length + 1, context_length)
        return torch.cat([_chosen_width_ids(tokenizer, [text], context_length) for text in texts])
    padding, mark = _end_of_short_row(wide[0])
    for text, row, whole in zip(texts, ids, wide[1:], strict=True):
        if not _is_whole(row, whole, padding, mark):
            _refuse_long(text, max(int((whole != padding).sum()), context_length + 1), context_length)
    return ids


def _end_of_short_row(row: Tensor) -> tuple[int, int]:
    """The id that pads a row, and the id before the padding. A last token may stand after it."""
    padding = int(row[-2])
    before = (row[:-1] != padding).nonzero().flatten()
    return padding, int(row[before[-1]]) if len(before) else padding


def _is_whole(row: Tensor, wide: Tensor, padding: int, mark: int) -> bool:
    """Whether a row equals the one for a longer context, without its padding.

    Padding may be the id of end-of-text and need not come last, so the two are compared: a cut text has other
    tokens in the room that the narrow row lacks, or stops without the mark that ends a short text.
    """
    start = int((row == wide[: len(row)]).int().cumprod(dim=0).sum())
    rest = len(row) - start
    tail = len(wide) - rest
    full = start == len(row) and int(row[-1]) not in (padding, mark)
    return not full and bool((row[start:] == wide[tail:]).all() and (wide[start:tail] == padding).all())


def _fixed_width_ids(tokenizer: Any, texts: list[str], context_length: int) -> Tensor:
    ids = _ids(tokenizer, texts, context_length)
    # a text that was cut is the same with more words, after it or, cut from the left, before it
    longer = [
        _ids(tokenizer, [more.format(text) for text in texts], context_length) for more in ("{} a", "a {}")
    ]
    for text, row, *others in zip(texts, ids, *longer, strict=True):
        if any(torch.equal(row, other) for other in others):
            raise InputError(
                f'the text "{text}" fills all {context_length} places and may have been cut; shorten the class name '
                "or the template, or pass a tokenizer that takes context_length="
            )
    return ids


def _ids(tokenizer: Any, texts: list[str], width: int, **options: int) -> Int[Tensor, "texts width"]:
    given = tokenizer(texts, **options)
    try:
        ids = torch.as_tensor(given, device="cpu")
        came = f"it returned {tuple(ids.shape)}"
    except (TypeError, ValueError, RuntimeError):
        ids, came = torch.empty(0, device="cpu"), f"it returned {type(given).__name__}"
    if ids.shape != (len(texts), width):
        raise InputError(
            f"the tokenizer must return ids of shape (texts, {width}) for {counted(len(texts), 'text')}; {came}; "
            "pass a tokenizer that takes context_length="
        )
    if ids.dtype == torch.bool or (ids != ids.long()).any():
        raise InputError(
            f"the tokenizer must return integer ids, not {ids.dtype}; pass the model's tokenizer"
        )
    return ids.long()


def _refuse_long(text: str, length: int, context_length: int) -> NoReturn:
    raise InputError(
        f'the text "{text}" does not fit: it needs at least {length} tokens, the model reads '
        f"{context_length}; shorten the class name or the template"
    )
