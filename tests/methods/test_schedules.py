"""Learning rates and optimiser settings of the methods' recipes against those recorded from official runs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from examples.protocol.recipe import Recipe
from examples.protocol.schedule import learning_rate, make_optimizer, set_rate
from tests import GOLDEN

RECORDED = json.loads((GOLDEN / "protocol.json").read_text(encoding="utf-8"))["lr"]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda r: f"{r['optimizer']}-{r['lr']}-{r['epochs']}")
def test_recorded_rates_and_groups(recorded: dict[str, Any]) -> None:
    recipe = Recipe(lr=recorded["lr"], epochs=recorded["epochs"], optimizer=recorded["optimizer"])
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(2))], recipe)
    (group,) = optimizer.param_groups
    for name, value in recorded["group"].items():
        assert group[name] == (tuple(value) if isinstance(value, list) else value), name
    rates = []
    for epoch in range(recipe.epochs):
        set_rate(optimizer, learning_rate(epoch, recipe.lr, recipe.epochs))
        rates.append(group["lr"])
    assert rates == pytest.approx(recorded["sequence"], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("epochs", [2, 5, 8, 25, 50, 100])
def test_the_closed_form(epochs: int) -> None:
    rates = [learning_rate(epoch, 0.0035, epochs) for epoch in range(epochs)]
    assert rates[0] == 1e-5
    assert rates[1] == 0.0035
    assert rates[-1] == pytest.approx(0.00175 * (1 + math.cos(math.pi * (epochs - 2) / epochs)))
    assert rates[-1] > 0


def test_tcps_epsilon() -> None:
    recipe = replace(Recipe(), optimizer="adam", adam_eps=1e-3)
    (group,) = make_optimizer([torch.nn.Parameter(torch.zeros(2))], recipe).param_groups
    assert (group["eps"], group["betas"], group["weight_decay"]) == (1e-3, (0.9, 0.999), 5e-4)


def test_a_rate_that_is_a_tensor_is_changed_in_place() -> None:
    tensor = torch.nn.Parameter(torch.zeros(2))
    rate = torch.tensor(0.5)
    optimizer = torch.optim.SGD([tensor], lr=rate, fused=True)
    set_rate(optimizer, 0.25)
    tensor.grad = torch.ones(2)
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert tensor.tolist() == [-0.25, -0.25]
