"""The testbed's small CLIP: open_clip's architecture with the weights in `data/`."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.transform import PreprocessCfg
from safetensors.torch import load_file
from torch import Tensor

from examples.testbed.scenes import IMAGE_SIZE
from examples.testbed.tokenizer import CutTokenizer

DATA = Path(__file__).parent / "data"
CONTEXT_LENGTH = 32
EMBED_DIM = 128


def untrained_model(vocab_size: int) -> open_clip.CLIP:
    """The model with random weights, for 40 px images with CLIP's mean and standard deviation."""
    vision = open_clip.CLIPVisionCfg(image_size=IMAGE_SIZE, patch_size=8, width=128, layers=4, head_width=64)
    text = open_clip.CLIPTextCfg(
        context_length=CONTEXT_LENGTH, vocab_size=vocab_size, width=128, layers=3, heads=4
    )
    model = open_clip.CLIP(EMBED_DIM, vision, text)
    open_clip.model.set_model_preprocess_cfg(model, vars(PreprocessCfg(size=IMAGE_SIZE)))
    return model


def load_tokenizer() -> CutTokenizer:
    """The tokenizer of the weights in `data/`."""
    pieces = json.loads((DATA / "vocabulary.json").read_text(encoding="utf-8"))
    return CutTokenizer(pieces, CONTEXT_LENGTH)


def load_model(device: str | torch.device = "cpu") -> tuple[open_clip.CLIP, CutTokenizer]:
    """The pre-trained CLIP in float32, frozen and in evaluation mode, with its tokenizer."""
    tokenizer = load_tokenizer()
    model = untrained_model(tokenizer.vocab_size)
    weights = {name: tensor.float() for name, tensor in load_file(DATA / "model.safetensors").items()}
    model.load_state_dict(weights)
    return model.requires_grad_(False).eval().to(device), tokenizer


def normalised(pictures: Tensor) -> Tensor:
    """Pictures `(n, 3, h, w)` in [0, 1], normalised as the image tower expects them."""
    mean = torch.tensor(OPENAI_DATASET_MEAN)[:, None, None]
    deviation = torch.tensor(OPENAI_DATASET_STD)[:, None, None]
    return (pictures - mean) / deviation
