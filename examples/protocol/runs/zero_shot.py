"""What the handcrafted prompts alone reach: the line that every trained method is compared with."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from examples.protocol.distributed import ProcessGroup
from examples.protocol.evaluation import percent_equal, predict
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import Recipe
from examples.protocol.runs.experiment import Experiment
from examples.protocol.runs.record import Record, environment, identity, read_record, write_record
from examples.protocol.runs.run import with_h


def zero_shot_record(experiment: Experiment, out: Path, group: ProcessGroup) -> Record:
    """The record of the handcrafted prompts on a experiment: from its file, or computed and written."""
    settings = {
        "method": "zero-shot",
        "sar": False,
        "seed": None,
        "source": {
            **dataclasses.asdict(experiment.source),
            "targets": list(experiment.source.targets),
            "novel": "",
        },
        "recipe": {"precision": experiment.setup.precision, "ensemble": experiment.setup.ensemble},
    }
    code = identity([settings, experiment.fingerprints])
    path = out / f"{experiment.name}-zero-shot-{code[:8]}.json"
    found = read_record(path)
    group.wait()  # until all have looked, lest one finds what another has just written
    if found is not None and found["identity"] == code:
        return found
    record = {
        "identity": code,
        "title": "zero-shot",
        **settings,
        **experiment.about,
        "templates": list(experiment.templates),
        "results": zero_shot(experiment),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **environment(experiment.device),
    }
    if group.first:
        write_record(path, record)
    return record


def zero_shot(experiment: Experiment) -> dict[str, float]:
    """Accuracy of the handcrafted prompts and the frozen towers on every test set."""
    names = experiment.classnames
    frozen = PromptMethod(
        experiment.model,
        experiment.tokenizer,
        names,
        n_base=len(names),
        recipe=Recipe(precision=experiment.setup.precision),
        dataset=experiment.source.dataset,
    )
    results = {}
    for name, test in experiment.tests.items():
        features, labels = experiment.test_images(name, frozen)
        logits = frozen.classify(features, experiment.zero_shot_rows(test))
        results[name] = percent_equal(predict(logits, test.classnames), labels)
    return with_h(results)
