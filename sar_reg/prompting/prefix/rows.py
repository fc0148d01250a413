"""Some rows of the prompts, embedded at each call from the model's weights as they are then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch

from sar_reg.prompting.prompts import PromptRows
from sar_reg.prompting.towers import Stack, TextTower
from sar_reg.shapes import Float, Int, Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Rows:
    """Where tokens and context vectors stand in some rows.

    Attributes:
        tokens: the token of each row; any token where a context vector stands.
        columns: the position of each row in its prompt.
        places: the rows that hold context vectors.
        vectors: which context vector stands in each of them.
        classes: and of which class.
    """

    tokens: Int[Tensor, " rows"]
    columns: Int[Tensor, " rows"]
    places: Int[Tensor, " learned"]
    vectors: Int[Tensor, " learned"]
    classes: Int[Tensor, " learned"]

    def embed(self, tower: TextTower, context: Tensor | None) -> Float[Tensor, "rows width"]:
        """Token embeddings or context vectors, plus positions."""
        words = tower.embed(self.tokens).to(tower.dtype)
        if context is not None and len(self.places):
            chosen = context[self.vectors] if context.ndim == 2 else context[self.classes, self.vectors]
            words = words.index_copy(0, self.places, chosen.to(words.dtype))
        return words + stack_of(tower).positions()[self.columns].to(tower.dtype)

    def with_deep(
        self, x: Float[Tensor, "rows width"], deep: Sequence[Float[Tensor, "context width"]], block: int
    ) -> Float[Tensor, "rows width"]:
        """`x` with the vectors of the deep prompt that enters before `block`, if one does."""
        if not len(self.places) or not 1 <= block <= len(deep):
            return x
        return x.index_copy(0, self.places, deep[block - 1][self.vectors].to(x.dtype))


def rows_of(rows: PromptRows, classes: Int[Tensor, " rows"], columns: Int[Tensor, " rows"]) -> Rows:
    """The rows `columns[i]` of the prompts of `classes[i]`."""
    source = rows.source[classes, columns]
    places = (source < 0).nonzero().flatten()
    return Rows(source.clamp(min=0), columns, places, -1 - source[places], classes[places])


def stack_of(tower: TextTower) -> Stack:
    """The parts of a tower that is known to share."""
    assert tower.stack is not None, tower.why_not
    return tower.stack


def moved(value: T, device: torch.device) -> T:
    """A dataclass with all its tensors on another device, those in its parts and tuples too."""
    new: Any = value
    if isinstance(value, torch.Tensor):
        new = value.to(device)
    elif type(value) is tuple:
        new = tuple(moved(part, device) for part in value)
    elif is_dataclass(value) and not isinstance(value, type):
        parts: dict[str, Any] = {f.name: moved(getattr(value, f.name), device) for f in fields(value)}
        new = replace(value, **parts)
    return new
