"""Text towers: the only place that touches the insides of open_clip, transformers or OpenAI's clip models."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from sar_reg.errors import InputError
from sar_reg.prompting.towers.frozen import Frozen, frozen_twins
from sar_reg.prompting.towers.function import FunctionTower
from sar_reg.prompting.towers.huggingface import hugging_face_tower
from sar_reg.prompting.towers.open_clip import custom_text_clip_tower, open_clip_tower
from sar_reg.prompting.towers.openai_clip import has_openai_layout, openai_clip_tower
from sar_reg.prompting.towers.tower import Block, Stack, TextTower

__all__ = ["Block", "Frozen", "FunctionTower", "Stack", "TextTower", "frozen_twins", "text_tower"]


def text_tower(model: Any, tokenizer: Any = None) -> TextTower | FunctionTower:
    """The text side of a model, whichever library it comes from.

    Args:
        model: open_clip's `CLIP` or `CustomTextCLIP`, transformers' `CLIPModel`, a model laid out as OpenAI's
            `clip` builds it, a function `encode(list[str]) -> (n, D)`, or a tower made here before.
        tokenizer: the model's tokenizer. open_clip models with CLIP's vocabulary may leave it out; functions
            have none.

    Raises:
        InputError: if the model is of no known kind, or needs a tokenizer.
    """
    if isinstance(tokenizer, nn.Module):
        raise InputError("model and tokenizer are swapped; the order is (model, tokenizer)")
    if isinstance(model, TextTower | FunctionTower):
        return model
    model = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    if _is_instance(model, "open_clip.model", "CLIP"):
        return open_clip_tower(model, tokenizer)
    if _is_instance(model, "open_clip.model", "CustomTextCLIP"):
        return custom_text_clip_tower(model, tokenizer)
    if _is_instance(model, "transformers.models.clip.modeling_clip", "CLIPModel"):
        return hugging_face_tower(model, tokenizer)
    if isinstance(model, nn.Module) and has_openai_layout(model):
        return openai_clip_tower(model, tokenizer)
    if callable(model) and not isinstance(model, nn.Module):
        if tokenizer is not None:
            raise InputError("a function encode(texts) -> (n, D) has no tokenizer; pass tokenizer=None")
        return FunctionTower(model)
    raise InputError(
        f"expected an open_clip CLIP or CustomTextCLIP, a transformers CLIPModel, a model in the layout of "
        f"OpenAI's clip, or a function encode(texts) -> (n, D); got {type(model).__name__}. "
        f"For any other model give a function: lambda texts: model.encode(texts)."
    )


def _is_instance(model: Any, module: str, name: str) -> bool:
    # a model of a library exists only where that library was imported before
    library = sys.modules.get(module)
    return library is not None and isinstance(model, getattr(library, name))
