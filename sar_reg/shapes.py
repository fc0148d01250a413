"""Tensor shapes in signatures: jaxtyping's annotations, without needing jaxtyping at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
else:
    try:
        from jaxtyping import Bool, Float, Int
    except ImportError:

        class _Shaped:
            """Stands in for a jaxtyping annotation: `Float[Tensor, "rows"]` is then just `Tensor`."""

            def __class_getitem__(cls, item):
                return item[0]

        Bool = Float = Int = _Shaped

__all__ = ["Bool", "Float", "Int", "Tensor"]
