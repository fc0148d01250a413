"""Move the run records of 27 November 2026 from one file per run to archives, and correct what they say.

Run once, in the commit that removes the files: `python -m examples.paper.migrate_records`. Records of the testbed
named open_clip's default model, which those runs did not use; they now name the testbed's own. The folder after --out,
a path on the machine of that day, becomes the default one. A run's identity covers the model's name and the names of
its bank, so it is computed again. Before, the script computes the old identity from the record and compares: it refuses
records of which it cannot reproduce it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import cache
from pathlib import Path

from examples.paper.pack import RESULTS, pack
from examples.protocol.data import base_new_split
from examples.protocol.runs.config import TESTBED_MODEL
from examples.protocol.runs.loading import open_testbed
from examples.protocol.runs.record import Record, identity


@cache
def trained_classes(dataset: str, split: str, *, every: bool) -> list[str]:
    """The names a run was trained on."""
    opened = open_testbed(dataset, split)
    return list(opened.classnames if every else base_new_split(opened)[0].classnames)


def identities(record: Record) -> list[str]:
    """The identity by today's rule, and by that before 26 November 2026, which had the bank's rows in it."""
    settings = {name: record[name] for name in ("method", "sar", "seed", "source", "recipe")}
    model = record["model"]
    prints = [model["text_fingerprint"], model["image_fingerprint"], record["data"]["fingerprint"]]
    if record["method"] == "zero-shot":
        return [identity([settings, prints])]
    shots, bank = record["training"]["shots_fingerprint"], record["bank"]
    if bank is None:
        return [identity([settings, prints, shots, None])]
    source = record["source"]
    names = trained_classes(source["dataset"], source["split"], every=bool(source["targets"]))
    made_from = [[*names, *bank["novel"]], bank["templates"]]
    return [identity([settings, prints, shots, content]) for content in (made_from, bank["sha256"])]


def main() -> None:
    """Correct all records into a folder, pack it, remove the old files."""
    paths = sorted(RESULTS.parents[1].glob("*/results/**/*.json"))
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["identity"] not in identities(record):
                sys.exit(f"{path}: its identity does not follow from its content")
            record["source"]["model"], record["source"]["pretrained"] = TESTBED_MODEL
            record["identity"] = identities(record)[0]
            command = record["command"]
            if "--out" in command:
                command[command.index("--out") + 1] = "runs"
            out = Path(folder) / ("table2" if path.parent.name == "table2" else "")
            out.mkdir(exist_ok=True)
            (out / f"{record['identity']}.json").write_text(json.dumps(record), encoding="utf-8")
        print(pack(Path(folder), RESULTS))
    for path in paths:
        path.unlink()


if __name__ == "__main__":
    main()
