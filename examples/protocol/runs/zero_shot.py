"""What the handcrafted prompts alone reach: the line that every trained method is compared with."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from examples.protocol.runs.experiment import Bench
from examples.protocol.distributed import Ranks
from examples.protocol.evaluation import percent_equal
from examples.protocol.method import PromptMethod
from examples.protocol.runs.record import Record, environment, identity, read_record, write_record
from examples.protocol.runs.run import with_h


def zero_shot_record(bench: Bench, out: Path, ranks: Ranks) -> Record:
    """The record of the handcrafted prompts on a bench: from its file, or computed and written."""
    settings = {
        "method": "zero-shot",
        "sar": False,
        "seed": None,
        "source": {**dataclasses.asdict(bench.source), "targets": list(bench.source.targets), "novel": ""},
        "recipe": {"precision": bench.recipe.precision, "ensemble": bench.recipe.ensemble},
    }
    code = identity([settings, bench.fingerprints])
    path = out / f"{bench.name}-zero-shot-{code[:8]}.json"
    found = read_record(path)
    ranks.wait()  # until all have looked, lest one finds what another has just written
    if found is not None and found["identity"] == code:
        return found
    record = {
        "identity": code,
        "title": "zero-shot",
        **settings,
        **bench.about,
        "templates": list(bench.templates),
        "results": zero_shot(bench),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **environment(bench.device),
    }
    if ranks.first:
        write_record(path, record)
    return record


def zero_shot(bench: Bench) -> dict[str, float]:
    """Accuracy of the handcrafted prompts and the frozen towers on every test set."""
    names = bench.classnames
    frozen = PromptMethod(
        bench.model,
        bench.tokenizer,
        names,
        n_base=len(names),
        recipe=bench.recipe,
        dataset=bench.source.dataset,
    )
    results = {}
    for name, test in bench.tests.items():
        features, labels = bench.test_images(name, frozen)
        predicted = frozen.classify(features, bench.zero_shot_rows(test)).argmax(dim=1)
        results[name] = percent_equal(predicted, labels)
    return with_h(results)
