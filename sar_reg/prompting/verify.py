"""Compare a tower with the model's own encoding; fall back to full-length encoding, or raise, if they differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from sar_reg.errors import InputError
from sar_reg.prompting.learned import Learned
from sar_reg.prompting.plain import encode_plain
from sar_reg.prompting.prefix.plan import DEFAULT, PlanOptions, make_plan
from sar_reg.prompting.prompts import PromptRows
from sar_reg.prompting.towers import TextTower
from sar_reg.prompting.towers.watch import altered
from sar_reg.shapes import Float, Int, Tensor

_BOUNDS = {torch.float64: 1e-7, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""Relative difference that rounding may make."""


def verified(tower: TextTower, rows: PromptRows, n_ctx: int = 0, options: PlanOptions = DEFAULT) -> TextTower:
    """The tower, without sharing if the model was modified or features differ.

    The shortest and the longest prompt are encoded by the model and by this package, context vectors being
    the embeddings of arbitrary words. Cost: a few prompts of full length.

    Raises:
        InputError: if the full-length path differs too, or the model cannot encode text.
    """
    with torch.no_grad(), torch.autocast(tower.device.type, enabled=False):
        rows, words = _sample(rows), _arbitrary_words(rows, n_ctx)
        tokens = torch.where(rows.source < 0, words[(-1 - rows.source).clamp(min=0)], rows.source)
        rows, tokens = rows.to(tower.device), tokens.to(tower.device)
        learned = Learned(tower.embed(words.to(tower.device)) if n_ctx else None)
        own = _own_features(tower, tokens)
        if tower.shareable:
            why_not = _why_not(tower, rows, n_ctx, options, learned, own)
            if not why_not:
                return tower
            tower = replace(tower, stack=None, why_not=why_not)
        if n_ctx and differs(encode_plain(tower, rows, learned, n_ctx), own, tower.dtype):
            _refuse(tower, tokens, own)
    return tower


def _why_not(
    tower: TextTower, rows: PromptRows, n_ctx: int, options: PlanOptions, learned: Learned, own: Tensor
) -> str:
    if n_ctx and rows.start != 1:
        return f"its context begins at row {rows.start}, not behind a start token"
    what = altered(tower.path, foreign=tower.foreign)
    if what:
        return f"the model was changed: {what}"
    plan = make_plan(tower, rows, n_ctx, PlanOptions(layout=options.chosen(tower.device)))
    if differs(plan.encode(tower, learned), own, tower.dtype):
        return "the model was changed: its features differ from those of a CLIP with these weights"
    return ""


def _sample(rows: PromptRows) -> PromptRows:
    """The shortest and the longest prompt, by tokens that are not padding."""
    length = (rows.tokens != rows.tokens[:, -1:]).sum(dim=1)
    return rows.of(torch.stack([length.argmin(), length.argmax()]))


def _arbitrary_words(rows: PromptRows, n_ctx: int) -> Int[Tensor, " context"]:
    """Token ids to put in the place of context vectors: ids of class names, which no model reads specially."""
    if not n_ctx:
        return torch.zeros(1, dtype=torch.long, device=rows.tokens.device)
    behind = (
        rows.source[:, rows.start + n_ctx] if rows.tokens.shape[1] > rows.start + n_ctx else rows.tokens[:, 0]
    )
    names = torch.where(behind < 0, rows.tokens[:, rows.start], behind)
    return names[torch.arange(n_ctx, device=names.device) % len(names)]


def _own_features(tower: TextTower, tokens: Tensor) -> Float[Tensor, "texts features"]:
    try:
        own: Any = tower.features(tower.model, tokens)
    except Exception as error:
        raise InputError(
            f"the model cannot encode text itself: its own path ends in {type(error).__name__}: {error}; "
            "pass a function encode(texts) -> (n, D) that can"
        ) from error
    if not isinstance(own, torch.Tensor) or own.ndim != 2 or len(own) != len(tokens):
        came = tuple(own.shape) if isinstance(own, torch.Tensor) else type(own).__name__
        raise InputError(f"the model must return one row of text features per text; it returned {came}")
    if not own.isfinite().all():
        raise InputError("the model's own text features are not finite: check its weights and their dtype")
    return own


def differs(found: Tensor, own: Tensor, dtype: torch.dtype) -> bool:
    """Whether rows are further from the model's own, computed in `dtype`, than rounding explains."""
    bound = _BOUNDS.get(dtype, 1e-1)
    if own.is_cuda and dtype == torch.float32:
        bound = 1e-2  # products may run in tf32
    found, own = found.cpu().double(), own.cpu().double()
    return found.shape != own.shape or not bool((found - own).norm(dim=-1).le(bound * own.norm(dim=-1)).all())


def _refuse(tower: TextTower, tokens: Tensor, own: Tensor) -> None:
    again = tower.features(tower.model, tokens)
    if differs(again, own, tower.dtype):
        raise InputError(
            "the model returns different features for the same text at each call, as dropout does in training mode: "
            "call model.eval() first"
        )
    raise InputError(
        f"learnable prompts do not reach this model ({tower.kind}): put in as embeddings, words give other "
        "features than as text; use the unchanged model, or keep your own encoder and pass its features to the loss"
    )
