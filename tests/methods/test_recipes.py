"""The recipes against the settings of the authors' code and of the SAR paper."""

from __future__ import annotations

import pytest

from examples.protocol.recipe import Recipe, load_recipe
from sar_reg.bank import SPECIFIC
from tests import ROOT

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
