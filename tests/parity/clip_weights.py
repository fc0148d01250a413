"""The CLIP of the recorded runs: random weights that any machine can make again.

Each parameter is drawn on its own from numpy's `RandomState(crc32(f"{seed}/{name}"))`, standard normal,
times a std and plus a mean that depend on its kind, rounded to fp32 and then to fp16.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

TINY = {
    "embed_dim": 64,
    "image_size": 32,
    "patch": 8,
    "v_width": 192,
    "v_layers": 12,
    "t_width": 128,
    "t_layers": 12,
    "vocab": 49408,
    "context": 77,
}


def mean_std(name: str, sizes: Mapping[str, int]) -> tuple[float, float]:
    """Mean and std by kind of parameter; the first rule that fits counts."""
    side = "v" if name.startswith("visual.") else "t"
    width, layers = sizes[f"{side}_width"], sizes[f"{side}_layers"]
    kind = name.removeprefix("visual.")
    if "." in kind and kind.split(".")[-2].startswith("ln_"):
        return (1.0, 0.1) if kind.endswith("weight") else (0.0, 0.05)
    if kind.endswith("bias"):
        return 0.0, 0.02
    if name in ("token_embedding.weight", "positional_embedding"):
        return 0.0, 1.0 if name.startswith("token") else 0.5
    if kind == "conv1.weight":
        return 0.0, 1 / math.sqrt(3 * sizes["patch"] ** 2)
    if kind.endswith("in_proj_weight"):
        return 0.0, 1.5 / math.sqrt(width)
    if kind.endswith(("out_proj.weight", "c_proj.weight")):
        return 0.0, 1 / math.sqrt(2 * layers * width)
    if kind.endswith("c_fc.weight"):
        return 0.0, 1 / math.sqrt(2 * width)
    return 0.0, 1 / math.sqrt(width)


def draw(name: str, shape: tuple[int, ...], seed: int, sizes: Mapping[str, int]) -> np.ndarray:
    """One parameter's values, fp16."""
    if name == "logit_scale":
        return np.asarray(math.log(100.0), dtype=np.float16)
    mean, std = mean_std(name, sizes)
    generator = np.random.RandomState(zlib.crc32(f"{seed}/{name}".encode()))
    return (mean + std * generator.standard_normal(shape)).astype(np.float32).astype(np.float16)


def checksum(weights: Mapping[str, np.ndarray]) -> str:
    """Sha256 over names and little-endian fp16 bytes, by name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].astype("<f2").tobytes())
    return digest.hexdigest()


def empty_clip(sizes: Mapping[str, int]) -> CLIP:
    """open_clip's CLIP with OpenAI's layout in the given sizes."""
    vision = CLIPVisionCfg(
        layers=sizes["v_layers"],
        width=sizes["v_width"],
        head_width=64,
        patch_size=sizes["patch"],
        image_size=sizes["image_size"],
    )
    text = CLIPTextCfg(
        context_length=sizes["context"],
        vocab_size=sizes["vocab"],
        width=sizes["t_width"],
        heads=sizes["t_width"] // 64,
        layers=sizes["t_layers"],
    )
    return CLIP(sizes["embed_dim"], vision, text, quick_gelu=True)


@lru_cache(maxsize=4)
def tiny_clip(seed: int, sizes: tuple[tuple[str, int], ...] = tuple(TINY.items())) -> tuple[CLIP, str]:
    """The frozen model in fp32, and the checksum of its weights; made once a session."""
    model = empty_clip(dict(sizes))
    weights = {
        name: draw(name, tuple(value.shape), seed, dict(sizes)) for name, value in model.state_dict().items()
    }
    model.load_state_dict({name: torch.from_numpy(value).float() for name, value in weights.items()})
    return model.eval().requires_grad_(False), checksum(weights)


@lru_cache(maxsize=1)
def tokenizer() -> Any:
    """CLIP's tokenizer."""
    return open_clip.tokenizer.SimpleTokenizer()
