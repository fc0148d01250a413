"""Are the sampled sets uniform? p-values for how often classes, and pairs of
classes, are in one row's set.

    python benchmarks/sampled_kl_uniformity.py [--draws 4000] [--controls 400]

The statistic is chi-square of the counts. Classes of one set exclude each
other, so it does not follow the usual chi-square distribution. The distribution
is simulated with as many sets per control, drawn by numpy's shuffling. The
p-value is the fraction of controls that are at least as far from uniform. Writes
sampled_kl_uniformity.json and .md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from sar_reg import sample_classes
from sar_reg.files import write_atomic
from sar_reg.sampled_kl.validation import Sampling

CASES = ((23, 7), (60, 20), (101, 16))
ROW = 3


def chi_squares(sets: np.ndarray) -> tuple[float, float]:
    """Chi-square of single classes and of pairs; `sets` is (draws, others), one where a class is in the set."""
    draws, others = sets.shape
    k = sets[0].sum()
    single, pairs = sets.sum(axis=0), (sets.T @ sets)[np.triu_indices(others, 1)]
    expected = draws * k / others, draws * k * (k - 1) / (others * (others - 1))
    classes, couples = (((o - e) ** 2 / e).sum() for o, e in zip((single, pairs), expected, strict=True))
    return float(classes), float(couples)


def drawn_sets(n: int, k: int, draws: int, sampling: Sampling) -> np.ndarray:
    """The sets that `sample_classes` draws for one row over many steps."""
    sets = np.zeros((draws, n), dtype=np.float32)
    for step in range(draws):
        sets[step, sample_classes(n, k, seed=0, step=step, sampling=sampling)[ROW].numpy()] = 1
    return np.delete(sets, ROW, axis=1)


def control_sets(n: int, k: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Uniform sets of the same size by numpy's shuffling."""
    sets = np.zeros((draws, n - 1), dtype=np.float32)
    sets[:, :k] = 1
    return generator.permuted(sets, axis=1)


def study(n: int, k: int, draws: int, controls: int) -> list[dict[str, object]]:
    """One row per kind of sampling: p-values for single classes and for pairs."""
    generator = np.random.default_rng(0)
    simulated = np.array([chi_squares(control_sets(n, k, draws, generator)) for _ in range(controls)])
    rows: list[dict[str, object]] = []
    for sampling in ("ring", "independent"):
        observed = np.array(chi_squares(drawn_sets(n, k, draws, sampling)))
        single, pairs = (1 + (simulated >= observed).sum(axis=0)) / (1 + controls)
        rows.append(
            {"n": n, "k": k, "sampling": sampling, "draws": draws, "p_classes": single, "p_pairs": pairs}
        )
    return rows


def main() -> None:
    """All cases, then the record and its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--controls", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    rows = [row for n, k in CASES for row in study(n, k, arguments.draws, arguments.controls)]
    lines = ["| N | K | sampling | draws | p, single classes | p, pairs |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {r['n']} | {r['k']} | {r['sampling']} | {r['draws']} | {r['p_classes']:.3f} | {r['p_pairs']:.3f} |"
        for r in rows
    ]
    record = {"controls": arguments.controls, "rows": rows}
    write_atomic(arguments.out / "sampled_kl_uniformity.json", json.dumps(record, indent=1) + "\n")
    write_atomic(arguments.out / "sampled_kl_uniformity.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
