"""Record zero-shot accuracies and checksums, with which tests compare the repository."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from examples.testbed.datasets import DATASETS, Split, open_dataset
from examples.testbed.model import DATA, load_model
from examples.testbed.zero_shot import zero_shot
from sar_reg.files import write_atomic

RECORDS = ("checksums.json", "zero_shot.json")


def record(_work: Path) -> None:
    """Write `zero_shot.json` (percent, base and new) and `checksums.json` (sha256 of every shipped file)."""
    model, tokenizer = load_model()
    found: dict[Split, dict[str, list[float]]] = {"scene": {}, "style": {}}
    for split, scores in found.items():
        for name in DATASETS:
            pair = zero_shot(model, tokenizer, open_dataset(name, split=split))
            scores[name] = [round(score, 2) for score in pair]
            print(split, name, *scores[name], flush=True)
    write_atomic(DATA / "zero_shot.json", json.dumps(found, indent=1) + "\n")
    write_atomic(DATA / "checksums.json", json.dumps(checksums(), indent=1) + "\n")


def checksums() -> dict[str, str]:
    """Sha256 of every file in the data folder but the records themselves."""
    files = sorted(path for path in DATA.iterdir() if path.name not in RECORDS)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
