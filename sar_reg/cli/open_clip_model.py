"""A model of open_clip with its tokenizer, by name and weights."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from sar_reg.errors import InputError, did_you_mean, require

MODEL, PRETRAINED = "ViT-B-16-quickgelu", "openai"


class Loaded(NamedTuple):
    """A model in evaluation mode and its tokenizer."""

    model: Any
    tokenizer: Any


def load_open_clip(name: str, pretrained: str, device: str = "cpu", *, offline: bool = False) -> Loaded:
    """Load a model for inference.

    Args:
        name: model name in open_clip, or `hf-hub:...`.
        pretrained: a tag of open_clip, or a file with weights.
        device: where the model goes.
        offline: use only weights that are on this machine.

    Raises:
        InputError: if open_clip does not know the name, cannot load these weights, or they are not named.
        MissingExtraError: without open_clip.
    """
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    open_clip: Any = require("open_clip", extra="open_clip")
    if ":" not in name and name not in open_clip.list_models():
        raise InputError(
            f"open_clip has no model {name!r}{did_you_mean(name, open_clip.list_models())}; "
            "see python -c 'import open_clip; print(open_clip.list_models())'"
        )
    if ":" not in name and not pretrained.strip():  # open_clip would leave the weights random
        raise InputError("the weights are not named; pass a tag of open_clip or a file to --pretrained")
    try:
        model = open_clip.create_model(name, pretrained=pretrained, device=device, precision="fp32")
        return Loaded(model.eval().requires_grad_(False), open_clip.get_tokenizer(name))
    except Exception as error:  # a file that is not a model can raise any of a dozen types
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"open_clip cannot load {name} with weights {pretrained!r:.200} ({type(error).__name__}: {reason}); "
            "name a tag of open_clip or a file with this model's weights (see `python -m sar_reg doctor`)"
        ) from error
