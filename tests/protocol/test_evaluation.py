"""Accuracies by hand, the harmonic mean, and means over seeds."""

from __future__ import annotations

import math

import pytest
import torch

from examples.protocol.evaluation import harmonic_mean, percent_equal, predict, summary
from examples.protocol.runs.experiment import Experiment
from examples.protocol.runs.run import evaluate
from examples.protocol.runs.zero_shot import zero_shot
from tests.protocol.conftest import MakeRun


def test_accuracy_counts_images() -> None:
    assert percent_equal(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1])) == pytest.approx(200 / 3)


def test_h_of_zero_is_zero() -> None:
    assert harmonic_mean(0.0, 0.0) == 0.0
    assert harmonic_mean(80.0, 0.0) == 0.0


def test_h_is_that_of_the_means() -> None:
    got = summary([{"base": 90.0, "new": 50.0, "h": 64.3}, {"base": 70.0, "new": 70.0, "h": 70.0}])
    assert (got["base"], got["new"]) == (80.0, 60.0)
    assert got["h"] == pytest.approx(2 * 80 * 60 / 140)
    assert got["base_std"] == pytest.approx(math.sqrt(200))
    assert math.isnan(summary([{"base": 1.0}])["base_std"])


def test_base_and_new_are_told_apart_among_their_own_names(make_run: MakeRun, experiment: Experiment) -> None:
    run = make_run()
    method = run.build()
    got, _ = evaluate(experiment, method)
    for name, classes in (("base", range(4)), ("new", range(4, 7))):
        names = [experiment.dataset.classnames[i] for i in classes]
        pictures = [e for e in experiment.dataset.test if e.label in classes]
        images = torch.stack([experiment.test_transform(experiment.dataset.image(e)) for e in pictures])
        predicted = method.for_classes(names)(images).argmax(1)
        right = sum(int(p) == e.label - classes[0] for p, e in zip(predicted, pictures, strict=True))
        assert got[name] == 100 * right / len(pictures)
    assert got["h"] == harmonic_mean(got["base"], got["new"])


def test_zero_shot_is_the_handcrafted_classifier(experiment: Experiment) -> None:
    method = torch.nn.functional
    base = experiment.tests["base"]
    images = torch.stack([experiment.test_transform(base.image(e)) for e in base.test])
    features = method.normalize(experiment.model.encode_image(images), dim=-1)
    right = (features @ experiment.zero_shot_rows(base).T).argmax(1) == torch.tensor(
        [e.label for e in base.test]
    )
    assert zero_shot(experiment)[0]["base"] == 100 * right.double().mean().item()


def test_image_features_of_the_frozen_side_are_computed_once(
    experiment: Experiment, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make_run().build()
    first = experiment.test_images("new", method)[0]
    monkeypatch.setattr(type(method), "encode_images", None)
    assert experiment.test_images("new", method)[0] is first


def test_of_equal_logits_and_of_classes_of_one_name_the_first_is_predicted() -> None:
    logits = torch.tensor([[0.5, 0.1, 0.5], [0.1, 0.5, 0.5000001], [0.6, 0.5, 0.4]])
    assert predict(logits, ["a", "b", "c"]).tolist() == [0, 2, 0]
    assert predict(logits, ["a", "b", "b"]).tolist() == [0, 1, 0]
