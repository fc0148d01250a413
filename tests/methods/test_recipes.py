"""The recipes against the settings of the authors' code and of the SAR paper, and against recorded official runs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from examples.protocol.recipe import Recipe, load_recipe
from examples.protocol.schedule import learning_rate, make_optimizer, set_rate
from sar_reg.bank import SPECIFIC
from tests import GOLDEN, ROOT

EXAMPLES = ROOT / "examples"
METHODS = ("coop", "kgcoop", "tcp", "maple", "coprompt")

LAM = {
    "coop": {"eurosat": 0.5, "dtd": 0.5, "ucf101": 0.5, "fgvc_aircraft": 0.5},
    "kgcoop": {},
    "tcp": {},
    "maple": {"eurosat": 0.75, "dtd": 0.5, "ucf101": 0.5, "fgvc_aircraft": 0.75},
    "coprompt": {"eurosat": 0.75, "dtd": 0.5, "ucf101": 0.5, "fgvc_aircraft": 0.8},
}
"""SAR paper, section 4, implementation details; 0.1 on all other data sets."""

COPROMPT = {
    "imagenet": (12, 4, 8.0, 8),
    "caltech101": (12, 4, 4.0, 8),
    "oxford_pets": (12, 2, 0.1, 8),
    "stanford_cars": (12, 4, 4.0, 8),
    "oxford_flowers": (9, 4, 8.0, 8),
    "food101": (9, 4, 0.5, 5),
    "fgvc_aircraft": (9, 4, 2.0, 8),
    "sun397": (12, 4, 8.0, 8),
    "dtd": (12, 2, 8.0, 8),
    "eurosat": (12, 2, 0.1, 8),
    "ucf101": (12, 4, 2.0, 8),
}
"""Depth, context, weight and epochs of trainers/constants.py."""


def recipe(method: str, protocol: str, dataset: str) -> Recipe:
    return load_recipe(EXAMPLES / method / "recipe.toml", protocol, dataset)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dataset", SPECIFIC)
def test_the_papers_weights_and_what_all_share(method: str, dataset: str) -> None:
    got = recipe(method, "paper", dataset)
    assert got.lam == LAM[method].get(dataset, 0.1)
    assert (got.shots, got.n_novel, got.sample_size, got.weight_decay) == (16, 200, 64, 5e-4)
    assert got.augmentation == ("randaugment" if method == "coprompt" else "crop-flip")


@pytest.mark.parametrize("dataset", SPECIFIC)
def test_each_methods_official_settings(dataset: str) -> None:
    def core(r: Recipe) -> tuple[object, ...]:
        return r.optimizer, r.lr, r.batch_size, r.epochs

    short = dataset in ("imagenet", "sun397")
    assert core(recipe("coop", "paper", dataset)) == ("sgd", 0.002, 32, 100)
    assert core(recipe("coop", "official", dataset))[3] == (50 if dataset == "imagenet" else 200)
    assert core(recipe("kgcoop", "paper", dataset)) == ("sgd", 0.002, 128, 100)
    assert core(recipe("tcp", "paper", dataset)) == ("adam", 0.002, 32, 25 if short else 50)
    assert core(recipe("maple", "paper", dataset)) == ("sgd", 0.0035, 4, 5)
    depth, n_ctx, weight, epochs = COPROMPT[dataset]
    got = recipe("coprompt", "paper", dataset)
    assert core(got) == ("sgd", 0.0035, 4, epochs)
    assert (got.depth, got.n_ctx, got.reg_weight) == (depth, n_ctx, weight)


def test_what_one_method_alone_has() -> None:
    assert recipe("kgcoop", "paper", "dtd").reg_weight == 8.0
    tcp, maple = recipe("tcp", "paper", "dtd"), recipe("maple", "paper", "dtd")
    assert (tcp.adam_eps, tcp.class_block, tcp.reg_weight, tcp.ctx_init) == (1e-3, 8, 8.0, "")
    assert (maple.depth, maple.n_ctx, maple.ctx_init) == (9, 2, "a photo of a")


def test_four_shots_and_other_domains() -> None:
    assert all(recipe("coop", "paper_4shot", key).lam == 1.0 for key in SPECIFIC)
    for method in ("tcp", "coprompt"):
        for key in SPECIFIC:
            four, sixteen = recipe(method, "paper_4shot", key), recipe(method, "paper", key)
            assert (four.shots, four.lam, four.epochs) == (4, sixteen.lam, sixteen.epochs)
    other = {m: recipe(m, "domain_generalisation", "imagenet") for m in METHODS}
    assert [other[m].epochs for m in METHODS] == [50, 100, 25, 2, 8]
    assert [other[m].lam for m in METHODS] == [0.1] * 5
    assert (other["maple"].depth, other["maple"].lr) == (3, 0.0026)


@pytest.mark.parametrize("method", METHODS)
def test_the_testbed_has_one_setting_for_all_its_data_sets(method: str) -> None:
    settings = {str(recipe(method, "testbed", key)) for key in ("animals", "food", "objects", "travel")}
    assert len(settings) == 1


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
