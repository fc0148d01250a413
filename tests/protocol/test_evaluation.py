"""Accuracies by hand: harmonic mean, means over seeds, and base and new classes in one list."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from examples.protocol.evaluation import harmonic_mean, percent_equal, predict, summary
from examples.protocol.runs.experiment import Experiment
from examples.protocol.runs.handcrafted import zero_shot
from examples.protocol.runs.run import evaluate
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


def by_hand(experiment: Experiment, rows: torch.Tensor) -> dict[str, float]:
    """Percent of base and new test images that the rows of all seven classes tell apart."""
    got = {}
    for name, labels in (("base", range(4)), ("new", range(4, 7))):
        examples = [e for e in experiment.dataset.test if e.label in labels]
        images = torch.stack([experiment.test_transform(experiment.dataset.image(e)) for e in examples])
        features = normalize(experiment.model.encode_image(images), dim=1)
        predicted = (features @ normalize(rows, dim=1).T).argmax(dim=1).tolist()
        right = sum(p == e.label for p, e in zip(predicted, examples, strict=True))
        got[name] = 100 * right / len(examples)
    return got | {"h": harmonic_mean(got["base"], got["new"])}


def test_all_classes_in_one_list(make_run: MakeRun, experiment: Experiment) -> None:
    method = make_run(epochs=1).build()
    names = experiment.dataset.classnames
    with torch.no_grad():
        learned = method.for_classes(names).encode_text()
    handcrafted = torch.cat([experiment.zero_shot_rows(test) for test in experiment.tests.values()])
    _, joint = evaluate(experiment, method)
    assert joint is not None
    assert joint["learned"] == by_hand(experiment, learned)
    assert joint["handcrafted_new"] == by_hand(
        experiment, torch.cat([normalize(learned[:4], dim=1), handcrafted[4:]])
    )
    assert joint["blended"] == by_hand(experiment, normalize(learned, dim=1) + handcrafted)
    assert zero_shot(experiment)[1] == {"handcrafted": by_hand(experiment, handcrafted)}


def test_the_record_holds_them_and_the_class_names(make_run: MakeRun) -> None:
    run = make_run()
    record = run.start()
    assert record["joint"] == evaluate(run.experiment, run.load())[1]
    assert record["classnames"] == {
        "trained": list(run.experiment.classnames),
        "new": ["emerald", "fuchsia", "golden ring"],
    }
    assert record["results"]["base"] >= record["joint"]["learned"]["base"]


def test_one_list_is_harder_than_two(experiment: Experiment) -> None:
    alone, together = zero_shot(experiment)
    assert together is not None
    assert together["handcrafted"]["base"] <= alone["base"]
    assert together["handcrafted"]["new"] <= alone["new"]
