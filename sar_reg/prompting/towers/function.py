"""Any function from texts to features: enough for a bank, too little for learnable prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch

from sar_reg.errors import InputError, counted
from sar_reg.shapes import Float, Tensor

_PROBE = ["a photo of a cat.", "a photo of a dog.", "a red car", "the sea at night", "mathematics", "bread"]


class FunctionTower:
    """A bare `encode(list[str]) -> (n, D)`; the bank calls it text by text batch, nothing is shared.

    Attributes:
        temperature: 0.01, CLIP's; pass `temperature` to the bank if the model's logit scale is not 100.
    """

    shareable = False
    why_not = "it is a function: its insides are not known"
    kind = "function"
    temperature = 0.01

    def __init__(self, encode: Callable[[list[str]], Any]) -> None:
        self._encode = encode
        probe = self.encode_texts(_PROBE)
        self.embed_dim = probe.shape[1]
        self.device, self.dtype = probe.device, probe.dtype

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        """Features of texts as the function returns them, checked for shape."""
        features: Any = self._encode(list(texts))
        if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != len(texts):
            came = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            raise InputError(
                f"encode(texts) must return a tensor of shape ({len(texts)}, D) for {counted(len(texts), 'text')}; "
                f"it returned {came}"
            )
        if features.layout != torch.strided or features.is_meta:
            raise InputError(
                f"encode(texts) must return a dense tensor; it returned one of {features.layout} on {features.device}"
            )
        if not features.is_floating_point():
            raise InputError(
                f"encode(texts) must return floating-point features; it returned {features.dtype}, as a tokenizer "
                "does; the first argument is the model, the second its tokenizer"
            )
        return features

    def fingerprint(self) -> str:
        """SHA-256 over the cosines, to two decimals, between six probe sentences: there are no weights to hash."""
        with torch.no_grad():
            features = self.encode_texts(_PROBE).cpu().double()
        unit = features / features.norm(dim=-1, keepdim=True)
        cosines = (unit @ unit.T * 100).round().long()
        return hashlib.sha256(cosines.numpy().astype("<i8", copy=False).tobytes()).hexdigest()
