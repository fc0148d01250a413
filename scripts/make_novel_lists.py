"""Make the committed novel classes of the eleven data sets: 200 related words and
200 random nouns for each.

    python scripts/make_novel_lists.py

The held-out classes of the benchmark are excluded, so that no new class is met
in training by its name.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sar_reg.files import write_atomic
from sar_reg.novel.wordnet.classes import Strategy, WordNetClasses

DATA = Path(__file__).parents[1] / "examples" / "protocol" / "data"
STRATEGIES: tuple[Strategy, ...] = ("related", "random")
N, SEED = 200, 1
# WordNet knows no types of aircraft and cars, so that these two get a description
DOMAINS = {"fgvc_aircraft": "aircraft", "stanford_cars": "motor vehicle"}


def make(key: str, strategy: Strategy) -> str:
    """The content of `novel/KEY.wordnet-STRATEGY.json`."""
    names = (DATA / "classnames" / f"{key}.txt").read_text(encoding="utf-8").splitlines()
    n_base = -(-len(names) // 2)
    source = WordNetClasses(strategy, domain=DOMAINS.get(key) if strategy == "related" else None)
    novel = source.generate(names[:n_base], N, exclude=names[n_base:], seed=SEED)
    about = {"dataset": key, "seed": SEED, "excluded": "the new classes", "made_by": novel.provenance}
    return json.dumps({**about, "names": novel.names}, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write the lists of the data sets named on the command line, or of all."""
    known = sorted(path.stem for path in (DATA / "classnames").glob("*.txt"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("keys", nargs="*", metavar="KEY", help=f"{', '.join(known)}; default: all")
    keys = parser.parse_args().keys
    if unknown := sorted(set(keys) - set(known)):
        parser.error(f"no data set is called {', '.join(unknown)}")
    for key in keys or known:
        for strategy in STRATEGIES:
            write_atomic(DATA / "novel" / f"{key}.wordnet-{strategy}.json", make(key, strategy))


if __name__ == "__main__":
    main()
