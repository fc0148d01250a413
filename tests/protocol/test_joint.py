"""Joint accuracy by hand: base and new classes in one list."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from examples.protocol.evaluation import harmonic_mean
from examples.protocol.runs.experiment import Experiment
from examples.protocol.runs.run import evaluate
from examples.protocol.runs.zero_shot import zero_shot
from tests.protocol.conftest import MakeRun


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
