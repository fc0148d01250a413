"""The study of uniformity sees what is not uniform."""

from __future__ import annotations

import numpy as np

from benchmarks.sampled_kl_uniformity import chi_squares, control_sets, drawn_sets, study


def test_uniform_sets_pass_and_neighbouring_ones_are_found() -> None:
    generator = np.random.default_rng(1)
    n, k, draws = 23, 7, 1000
    controls = np.array([chi_squares(control_sets(n, k, draws, generator)) for _ in range(50)])
    windows = np.zeros((draws, n - 1), dtype=np.float32)
    for row, start in enumerate(generator.integers(0, n - 1, draws)):
        windows[row, (start + np.arange(k)) % (n - 1)] = 1  # each class alike, pairs not
    single, pairs = chi_squares(windows)
    assert single < 3 * controls[:, 0].max()
    assert pairs > 5 * controls[:, 1].max()
    favoured = control_sets(n, k, draws, generator)
    favoured[:200] = favoured[0]
    assert chi_squares(favoured)[0] > 2 * controls[:, 0].max()


def test_the_row_itself_is_left_out() -> None:
    sets = drawn_sets(11, 4, 50, "ring")
    assert sets.shape == (50, 10)
    assert (sets.sum(axis=1) == 4).all()


def test_a_study_has_a_p_value_for_each_sampling() -> None:
    rows = study(11, 4, 300, 20)
    assert [row["sampling"] for row in rows] == ["ring", "independent"]
    assert all(0 < row[name] <= 1 for row in rows for name in ("p_classes", "p_pairs"))
