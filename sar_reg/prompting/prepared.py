"""A model's text tower as it is now, with the plans of some prompts: rebuilt when the model has changed or moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sar_reg.prompting.prefix.plan import PlanOptions, PrefixPlan, make_plan
from sar_reg.prompting.prefix.rows import moved
from sar_reg.prompting.prompts import PromptRows
from sar_reg.prompting.towers import TextTower, text_tower
from sar_reg.prompting.towers.watch import Watch
from sar_reg.prompting.verify import verified
from sar_reg.shapes import Tensor


class Prepared:
    """What an encoder needs of a model for its prompts; a copy or a pickle is prepared for a copy of the model.

    Attributes:
        tower: the tower, compared with the model's own encoding.
        rows: the prompts, on the tower's device.
        plans: for a context that all classes share, and for one of each class; empty if nothing is shared.
    """

    def __init__(self, tower: TextTower, rows: PromptRows, n_ctx: int, options: PlanOptions) -> None:
        self.rows = rows.to(tower.device)
        self._arguments = n_ctx, options
        self._prepare(tower)

    def __reduce__(self) -> tuple[Any, ...]:
        return Prepared, (self.tower, self.rows, *self._arguments)

    def _prepare(self, tower: TextTower) -> None:
        n_ctx, options = self._arguments
        self.tower = verified(tower, self.rows, n_ctx, options)
        self._watch = Watch(self.tower.path)
        self.plans: tuple[PrefixPlan, ...] = ()
        if self.tower.shareable:
            self.plans = tuple(
                make_plan(self.tower, self.rows, n_ctx, options, class_specific=each)
                for each in (False, True)
            )

    def follow(self) -> None:
        """Rebuild the plans if the model was moved or modified since the last call."""
        if not torch.compiler.is_compiling() and self._watch.changed():
            tower = text_tower(self.tower.model, self.tower.given)
            assert isinstance(tower, TextTower)
            self._prepare(tower)
        before, device = self.rows.tokens.device, self.tower.device
        if before == device:
            return
        self.rows = self.rows.to(device)
        _, options = self._arguments
        if options.chosen(before) == options.chosen(device):
            self.plans = tuple(moved(plan, device) for plan in self.plans)
        else:
            self._prepare(self.tower)

    def move(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Move or cast the model, as `nn.Module._apply` does."""
        self.follow()
        self.tower.model._apply(fn)  # pyright: ignore[reportPrivateUsage]
        self._watch.begin()  # a move makes new buffers, and that is no change
        self.follow()
