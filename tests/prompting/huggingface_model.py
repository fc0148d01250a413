"""A small transformers CLIPModel with CLIP's vocabulary, both built from what open_clip ships."""

from __future__ import annotations

from functools import cache
from typing import Any

import open_clip

from tests.prompting.models import BLOCKS, WIDTH, randomise

IMAGE_SIZE = 16


@cache
def clip_tokenizer() -> Any:
    """Transformers' CLIPTokenizer from the vocabulary that open_clip ships."""
    from transformers import CLIPTokenizer

    shipped = open_clip.SimpleTokenizer()
    special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {special.get(token, token): number for token, number in shipped.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(shipped.bpe_ranks))


def clip_model(eos_token_id: int = 49407) -> Any:
    """A CLIPModel with random weights, float64; older configurations have 2 as `eos_token_id`."""
    from transformers import CLIPConfig, CLIPModel

    text = {
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": BLOCKS,
        "num_attention_heads": 2,
    }
    text |= {"eos_token_id": eos_token_id, "vocab_size": 49408}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": IMAGE_SIZE, "patch_size": 8}
    config = CLIPConfig(
        text_config=text, vision_config=vision, projection_dim=16, logit_scale_init_value=4.6052
    )
    return randomise(CLIPModel(config)).double()
