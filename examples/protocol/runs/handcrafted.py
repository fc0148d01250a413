"""Accuracy of the handcrafted prompts alone, the baseline of every trained method."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from examples.protocol.distributed import ProcessGroup
from examples.protocol.evaluation import percent_equal, predict
from examples.protocol.joint import ImageSet, Rows, joint_accuracy
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import Recipe
from examples.protocol.runs.experiment import Experiment
from examples.protocol.runs.record import Record, environment, identity, read_record, write_record
from examples.protocol.runs.run import with_h
from sar_reg.shapes import Tensor


def zero_shot_record(
    experiment: Experiment, out: Path, group: ProcessGroup, *, fresh: bool = False
) -> Record:
    """The record of the handcrafted prompts on an experiment: from its file unless `fresh`, or computed and written."""
    settings = {
        "method": "zero-shot",
        "sar": False,
        "seed": None,
        "source": {
            **dataclasses.asdict(experiment.source),
            "targets": list(experiment.source.targets),
            "novel": "",
        },
        "recipe": {"precision": experiment.settings.precision, "ensemble": experiment.settings.ensemble},
    }
    code = identity([settings, experiment.fingerprints])
    path = out / f"{experiment.name}-zero-shot-{code[:8]}.json"
    found = None if fresh else read_record(path)
    group.wait()  # so that no process finds what another has just written
    if found is not None and found["identity"] == code:
        return found
    results, joint = zero_shot(experiment)
    record = {
        "identity": code,
        "title": "zero-shot",
        **settings,
        **experiment.about,
        "templates": list(experiment.templates),
        "results": results,
        "joint": joint,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **environment(experiment.device),
    }
    if group.first:
        write_record(path, record)
    return record


def zero_shot(experiment: Experiment) -> tuple[dict[str, float], dict[str, dict[str, float]] | None]:
    """Accuracy of the handcrafted prompts and the frozen towers: by test set, and with all classes in one list."""
    names = experiment.classnames
    frozen = PromptMethod(
        experiment.model,
        experiment.tokenizer,
        names,
        n_base=len(names),
        recipe=Recipe(precision=experiment.settings.precision),
        dataset=experiment.source.dataset,
    )
    results: dict[str, float] = {}
    images: dict[str, ImageSet] = {}
    rows: dict[str, Tensor] = {}
    for name, test in experiment.tests.items():
        images[name] = ImageSet(*experiment.test_images(name, frozen), test.classnames)
        rows[name] = experiment.zero_shot_rows(test)
        logits = frozen.classify(images[name].features, rows[name])
        results[name] = percent_equal(predict(logits, test.classnames), images[name].labels)
    if "new" not in results:
        return results, None
    joint = joint_accuracy(frozen, images["base"], images["new"], Rows(rows["base"], rows["new"]))
    return with_h(results), {"handcrafted": joint}
