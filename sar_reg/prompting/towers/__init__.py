"""Text towers: the only place that touches the insides of open_clip, transformers or OpenAI's clip models."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from sar_reg.errors import InputError
from sar_reg.prompting.towers.frozen import Frozen, frozen_twins
from sar_reg.prompting.towers.function import FunctionTower
from sar_reg.prompting.towers.huggingface import FULL_LENGTH, clip_tower, full_length_tower
from sar_reg.prompting.towers.open_clip import open_clip_tower
from sar_reg.prompting.towers.openai_clip import has_openai_layout, openai_clip_tower
from sar_reg.prompting.towers.tokens import Tokenizer
from sar_reg.prompting.towers.tower import Block, Stack, TextTower
from sar_reg.prompting.towers.usable import refuse_unusable, unwrapped

__all__ = ["Block", "Frozen", "FunctionTower", "Stack", "TextTower", "frozen_twins", "text_tower"]


def text_tower(model: object, tokenizer: Tokenizer | None = None) -> TextTower | FunctionTower:
    """The text side of a model, whichever library it comes from.

    Args:
        model: open_clip's `CLIP`, `CustomTextCLIP` or `CoCa`, a dual encoder of transformers such as
            `CLIPModel`, a model laid out as OpenAI's `clip` builds it, one of these inside DataParallel,
            torch.compile or peft's LoRA, a function `encode(list[str]) -> (n, D)`, or a tower made here before.
        tokenizer: the model's tokenizer. open_clip models with CLIP's vocabulary may leave it out; functions
            have none.

    Raises:
        InputError: if the model is of no known kind, or needs a tokenizer.
    """
    if isinstance(tokenizer, nn.Module):
        raise InputError("model and tokenizer are swapped; the order is (model, tokenizer)")
    if isinstance(model, TextTower):
        if tokenizer is None or tokenizer is model.given:
            return model
        model = model.model
    if isinstance(model, FunctionTower) and tokenizer is None:
        return model
    model = unwrapped(model)
    if isinstance(model, nn.Module):
        refuse_unusable(model)
    if _is_instance(model, "open_clip.model", "CLIP", "CustomTextCLIP") or _is_instance(
        model, "open_clip.coca_model", "CoCa"
    ):
        return open_clip_tower(model, tokenizer)
    if _is_instance(model, "transformers", "CLIPModel", "CLIPTextModelWithProjection"):
        return clip_tower(model, tokenizer)
    if _is_instance(model, "transformers", *FULL_LENGTH):
        return full_length_tower(model, tokenizer)
    if isinstance(model, nn.Module) and has_openai_layout(model):
        return openai_clip_tower(model, tokenizer)
    if isinstance(model, FunctionTower) or (callable(model) and not isinstance(model, nn.Module)):
        if tokenizer is not None or isinstance(model, FunctionTower):
            raise InputError("a function encode(texts) -> (n, D) has no tokenizer; pass tokenizer=None")
        return FunctionTower(model)
    raise InputError(
        f"expected an open_clip CLIP, CustomTextCLIP or CoCa, a transformers CLIPModel, CLIPTextModelWithProjection, "
        f"{', '.join(FULL_LENGTH)}, a model in the layout of OpenAI's clip, or a function encode(texts) -> (n, D); "
        f"got {type(model).__name__}; for any other model pass a function: lambda texts: model.encode(texts)"
    )


def _is_instance(model: Any, module: str, *names: str) -> bool:
    # by name first: a model of a library exists only where that library was imported, and looking up a class of
    # transformers imports it
    library = sys.modules.get(module)
    found = {kind.__name__ for kind in type(model).__mro__} & set(names)
    return library is not None and any(isinstance(model, getattr(library, name)) for name in found)
