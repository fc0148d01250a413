"""Small random models with CLIP's vocabulary, their weights large enough that every part matters."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from torch import nn

NAMES = (
    "cat",
    "golden retriever",
    "yellow_lady's slipper",
    "black-footed ferret, a polecat",
    "airplane",
    "dog",
)
WIDTH, BLOCKS = 32, 4


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights of fan-in scale, norms and biases away from their neutral values."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("logit_scale"):
                continue
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            if weight.ndim < 2:
                noise = 0.1 * noise + (
                    1.0 if "ln_" in name or ("norm" in name and name.endswith("weight")) else 0.0
                )
            elif "embedding" not in name:
                noise = noise * weight[0].numel() ** -0.5
            weight.copy_(noise)
    return model.eval()


def clip(
    *, custom: bool = False, quick_gelu: bool = True, dtype: torch.dtype = torch.float64, **text: Any
) -> Any:
    """An open_clip model of the caller's own; `text` goes into its text configuration."""
    return copy.deepcopy(_clip(custom, quick_gelu, dtype, **text))


@lru_cache(maxsize=8)
@torch.inference_mode(mode=False)
def _clip(custom: bool, quick_gelu: bool, dtype: torch.dtype, **text: Any) -> Any:
    """Drawing the weights takes several times as long as copying them."""
    vision = CLIPVisionCfg(layers=3, width=48, head_width=24, patch_size=8, image_size=32)
    settings: dict[str, Any] = {
        "context_length": 77,
        "vocab_size": 49408,
        "width": WIDTH,
        "heads": 2,
        "layers": BLOCKS,
    }
    build = CustomTextCLIP if custom else CLIP
    with torch.random.fork_rng(devices=[]):
        model = build(16, vision, CLIPTextCfg(**(settings | text)), quick_gelu=quick_gelu)
    return randomise(model).to(dtype)


def learnable(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    """A tensor to be learned."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
