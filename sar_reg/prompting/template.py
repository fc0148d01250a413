"""The text around a class name: where context vectors, fixed words and the name stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sar_reg.checks import whole_number
from sar_reg.errors import InputError

ClassPosition = Literal["end", "middle", "front"]


@dataclass(frozen=True)
class ContextTemplate:
    """`context | infix | class name | suffix`, or its two other orders; shown as "X X X X of a {}.".

    Attributes:
        n_ctx: number of context vectors.
        infix: fixed words between context and name.
        suffix: what follows the name.
        class_position: "end", "middle" (half of the context before the name) or "front".

    Raises:
        InputError: if an attribute does not fit.
    """

    n_ctx: int
    infix: str = ""
    suffix: str = "."
    class_position: ClassPosition = "end"

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_ctx", whole_number(self.n_ctx, "n_ctx", least=1))
        for name in ("infix", "suffix"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f'{name} must be a string ("" for nothing), not {getattr(self, name)!r:.60}')
        if self.class_position not in ("end", "middle", "front"):
            raise InputError(
                f'class_position must be "end", "middle" or "front", not {self.class_position!r:.60}'
            )
        if self.infix and self.class_position != "end":
            raise InputError(f'infix words need class_position="end", not "{self.class_position}"')

    @property
    def before(self) -> int:
        """How many of the context vectors stand before the name."""
        return {"end": self.n_ctx, "middle": self.n_ctx // 2, "front": 0}[self.class_position]

    def text(self, name: str) -> str:
        """The text that is tokenised: a placeholder for each context vector, all of them before the name."""
        opening = " ".join(["X"] * self.n_ctx + ([self.infix] if self.infix else []))
        return f"{opening} {name}{self.suffix}"

    def __str__(self) -> str:
        words = f"{_placeholders(self.before)} {self.infix} {{}} {_placeholders(self.n_ctx - self.before)}"
        return " ".join(words.split()) + self.suffix


def _placeholders(count: int) -> str:
    return " ".join(["X"] * min(count, 4)) + (" ..." if count > 4 else "")
