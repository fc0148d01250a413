"""Attention of many short sequences that all begin with the same rows."""

from __future__ import annotations

import torch

from sar_reg.shapes import Float, Tensor


def by_head(x: Float[Tensor, "rows width"], heads: int) -> Float[Tensor, "heads rows head"]:
    """Heads first, contiguous: what batched matrix products take without copying again."""
    return x.unflatten(-1, (heads, -1)).transpose(0, 1).contiguous()


def attend(
    queries: Float[Tensor, "asking width"],
    keys: Float[Tensor, "own width"],
    values: Float[Tensor, "own width"],
    shared_keys: Float[Tensor, "heads shared head"],
    shared_values: Float[Tensor, "heads shared head"],
    mask: Float[Tensor, "mask asked length"] | None,
    classes: int,
) -> Float[Tensor, "asking width"]:
    """One softmax over the shared keys and the class's own: `softmax([q k_sᵀ | q kᵀ + mask] / √d) [v_s | v]`.

    The rows of `classes` equally long sequences lie end to end; all of them, or one per class, ask. `mask`,
    `(1 or classes, asking per class, length)`, is added to the own scores. The shared keys and values are never
    copied per class, so their gradient is one matrix product over all rows.
    """
    heads, split, _ = shared_keys.shape
    q, k, v = by_head(queries, heads), by_head(keys, heads), by_head(values, heads)
    q = q * q.shape[-1] ** -0.5
    to_shared = q @ shared_keys.mT
    per_class = heads * classes, -1, q.shape[-1]
    to_own = q.view(per_class) @ k.view(per_class).mT
    to_own = to_own.unflatten(0, (heads, classes))
    if mask is not None:
        to_own = to_own + mask
    scores = torch.cat([to_shared, to_own.flatten(1, 2)], dim=-1)
    weights = scores.softmax(dim=-1).to(v.dtype)
    own = weights[..., split:].unflatten(1, (classes, -1)).flatten(0, 1)
    read = weights[..., :split] @ shared_values + (own @ v.view(per_class)).view_as(q)
    return read.transpose(0, 1).flatten(1)
