"""Make the committed novel classes: 200 words related to the base classes of each data set.

    python scripts/make_novel_lists.py

The new classes of the benchmark are excluded, so that no new class is met
in training by its name.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from examples import testbed
from examples.protocol.data.catalogue import TABLE_3
from sar_reg.files import write_atomic
from sar_reg.novel import WordNetClasses

DATA = Path(__file__).parents[1] / "examples" / "protocol" / "data"
PAPER = sorted(TABLE_3)  # the shifted sets have ImageNet's classes
KEYS = (*PAPER, *testbed.DATASETS)
N, SEED = 200, 1
# WordNet knows no types of aircraft and cars, so that these two get a description
DOMAINS = {"fgvc_aircraft": "aircraft", "stanford_cars": "motor vehicle"}


def class_names(key: str) -> Sequence[str]:
    """All classes of a data set of the paper or of the testbed, the base classes first."""
    if key in testbed.DATASETS:
        return testbed.open_dataset(key).classnames
    return (DATA / "classnames" / f"{key}.txt").read_text(encoding="utf-8").splitlines()


def make(key: str) -> str:
    """The content of `novel/KEY.wordnet-related.json`."""
    names = class_names(key)
    n_base = -(-len(names) // 2)
    source = WordNetClasses("related", domain=DOMAINS.get(key))
    novel = source.generate(names[:n_base], N, exclude=names[n_base:], seed=SEED)
    about = {"dataset": key, "seed": SEED, "excluded": "the new classes", "provenance": novel.provenance}
    return json.dumps({**about, "names": novel.names}, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write the lists of the data sets named on the command line, or of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("keys", nargs="*", metavar="KEY", help=f"{', '.join(KEYS)}; default: all")
    keys = parser.parse_args().keys
    if unknown := sorted(set(keys) - set(KEYS)):
        parser.error(f"no data set is called {', '.join(unknown)}")
    for key in keys or KEYS:
        write_atomic(DATA / "novel" / f"{key}.wordnet-related.json", make(key))


if __name__ == "__main__":
    main()
