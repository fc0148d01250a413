"""A CLIP laid out as OpenAI's `clip` package has it: rows first, blocks in sequence, the mask inside each block."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, mask: Tensor) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width), gelu=QuickGELU(), c_proj=nn.Linear(4 * width, width)
            )
        )
        self.ln_2 = nn.LayerNorm(width)
        self.attn_mask = mask

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=self.attn_mask.to(x.dtype))[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int, heads: int, mask: Tensor) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block(width, heads, mask) for _ in range(layers)))

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(x)


class OpenAICLIP(nn.Module):
    """The text side only; an image side changes nothing here."""

    def __init__(self, width: int, layers: int, heads: int, features: int, *, causal: bool = True) -> None:
        super().__init__()
        mask = torch.full((77, 77), float("-inf")).triu(1) if causal else torch.zeros(77, 77)
        self.transformer = Transformer(width, layers, heads, mask)
        self.token_embedding = nn.Embedding(49408, width)
        self.positional_embedding = nn.Parameter(torch.empty(77, width))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, features))
        self.logit_scale = nn.Parameter(torch.tensor(100.0).log())

    def encode_text(self, text: Tensor) -> Tensor:
        x = self.token_embedding(text) + self.positional_embedding
        x = self.ln_final(self.transformer(x.permute(1, 0, 2)).permute(1, 0, 2))
        return x[torch.arange(len(x)), text.argmax(dim=-1)] @ self.text_projection
