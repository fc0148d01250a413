"""Keep learned features close to those of the frozen CLIP, as KgCoOp, TCP and CoPrompt do."""

from __future__ import annotations

import torch
from torch.nn.functional import cosine_similarity

from sar_reg.shapes import Float, Tensor


def cosine_gap(
    learned: Float[Tensor, "rows width"],
    teacher: Float[Tensor, "rows width"],
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, ""]:
    """`1 − mean_i cos(learned_i, teacher_i)`, in 0 … 2; rows may have any length.

    >>> round(float(cosine_gap(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.eye(2))), 6)
    0.0
    """
    with torch.autocast(learned.device.type, enabled=False):
        return 1 - cosine_similarity(learned.to(dtype), teacher.to(dtype), dim=1, eps=1e-7).mean()
