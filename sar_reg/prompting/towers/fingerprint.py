"""Which weights made a feature: a checksum that survives saving, loading and lossless changes of dtype."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sar_reg.shapes import Tensor


def hash_weights(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over names, shapes and float32 values in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().float().contiguous()
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def hash_similarities(features: Tensor) -> str:
    """SHA-256 over the cosines between probe features, to two decimals: all that a bare function shows."""
    unit = features.detach().cpu().double()
    unit = unit / unit.norm(dim=-1, keepdim=True)
    cosines = (unit @ unit.T * 100).round().long()
    return hashlib.sha256(cosines.numpy().astype("<i8", copy=False).tobytes()).hexdigest()
