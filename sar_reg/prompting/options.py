"""The checks of a prompt encoder's options."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

from sar_reg.class_names import spoken
from sar_reg.errors import InputError


def check_options(
    classnames: Sequence[str],
    n_ctx: int,
    infix: str,
    class_position: str,
    chunk_size: int | None,
    buckets: int | None,
) -> None:
    """Refuse the first option that does not fit."""
    if not classnames:
        raise InputError("classnames must be a list of at least one name, none of them empty")
    if type(n_ctx) is not int or n_ctx < 1:
        raise InputError(
            f"n_ctx must be an int of at least 1, not {n_ctx}; plain sentences are what build_anchor_bank encodes"
        )
    if class_position not in ("end", "middle", "front"):
        raise InputError(f'class_position must be "end", "middle" or "front", not "{class_position}"')
    if infix and class_position != "end":
        raise InputError(f'infix words need class_position="end", not "{class_position}"')
    if any(option is not None and option < 1 for option in (chunk_size, buckets)):
        raise InputError(f"chunk_size and buckets must be at least 1 or None, not {chunk_size} and {buckets}")


def are_names(names: Any) -> bool:
    """Whether this is a list, a tuple or an array of names."""
    if not isinstance(names, Iterable) or isinstance(names, str | Set):
        return False
    return all(isinstance(name, str) and spoken(name).strip() for name in names)
