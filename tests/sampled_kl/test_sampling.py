"""Which classes are drawn: sets, uniformity, and the same integers everywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_reg import sample_classes
from sar_reg.errors import InputError
from sar_reg.sampled_kl.sampling import ring_order

MASK = (1 << 64) - 1
SAMPLINGS = ("ring", "independent")


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(2, 60), k=st.integers(1, 80), seed=st.integers(-(2**70), 2**70), step=st.integers(0, 2**62),
    sampling=st.sampled_from(SAMPLINGS),
)  # fmt: skip
def test_rows_are_sets_of_others(n: int, k: int, seed: int, step: int, sampling: str) -> None:
    drawn = sample_classes(n, k, seed=seed, step=step, sampling=sampling)
    assert drawn.dtype == torch.int64
    assert drawn.shape == (n, min(k, n - 1))
    for row, others in enumerate(drawn.tolist()):
        assert len(set(others)) == len(others)
        assert row not in others
        assert min(others) >= 0
        assert max(others) < n
    as_tensor = sample_classes(n, k, seed=seed, step=torch.tensor(step), sampling=sampling)
    assert torch.equal(as_tensor, drawn)


def test_order_is_splitmix64_of_python_integers() -> None:
    """The int64 arithmetic of tensors wraps exactly as 64-bit unsigned arithmetic does."""

    def mix(x: int) -> int:
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
        return x ^ (x >> 31)

    gamma = 0x9E3779B97F4A7C15
    for seed, step in ((0, 0), (7, 3), (-1, 10**12)):
        stream = mix((step * gamma + seed * 0xD1B54A32D192ED03) & MASK)
        keys = [mix((stream + i * gamma) & MASK) for i in range(1, 1001)]
        signed = [key - (1 << 64) if key >> 63 else key for key in keys]
        expected = sorted(range(1000), key=signed.__getitem__)
        assert ring_order(1000, seed=seed, step=step, device=torch.device("cpu")).tolist() == expected


def test_pinned_draws() -> None:
    """These integers are part of every run record: a change makes old runs impossible to repeat."""
    assert sample_classes(6, 2, seed=1, step=2).tolist() == PINNED["ring"]
    assert sample_classes(6, 2, seed=1, step=2, sampling="independent").tolist() == PINNED["independent"]


PINNED = {
    "ring": [[2, 3], [5, 4], [3, 1], [1, 5], [0, 2], [4, 0]],
    "independent": [[3, 5], [3, 0], [3, 5], [0, 5], [1, 5], [2, 0]],
}


def test_every_class_is_drawn_equally_often_on_the_ring() -> None:
    counts = torch.bincount(sample_classes(50, 9, seed=3, step=8).flatten(), minlength=50)
    assert counts.eq(9).all()


def test_ring_compares_no_pair_twice_below_half() -> None:
    drawn = sample_classes(41, 20, seed=0, step=0)
    pairs = {frozenset((row, other)) for row, others in enumerate(drawn.tolist()) for other in others}
    assert len(pairs) == 41 * 20


def chi_square(counts: np.ndarray, expected: float) -> float:
    """Two-sided p-value of counts of equal expectation, by the normal limit of the chi-square distribution."""
    degrees = counts.size - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    # Wilson and Hilferty: the cube root of chi-square / degrees is nearly normal.
    z = ((statistic / degrees) ** (1 / 3) - (1 - 2 / (9 * degrees))) / (2 / (9 * degrees)) ** 0.5
    return float(torch.erfc(torch.tensor(abs(z) / 2**0.5)))


@pytest.mark.parametrize(("n", "k"), [(11, 4), (23, 7), (23, 20)])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_sets_of_one_row_are_uniform(
    sampling: str, n: int, k: int, record_property: Callable[[str, object], None]
) -> None:
    """Over many steps, each other class is equally frequent in a row's set, and so is each pair of them.

    Classes within one set exclude each other, so the naive chi-square is scaled by its exact expectation.
    """
    draws, row = 4000, 3
    sets = np.zeros((draws, n), dtype=np.int64)
    for step in range(draws):
        sets[step, sample_classes(n, k, seed=5, step=step, sampling=sampling)[row].numpy()] = 1
    others = [i for i in range(n) if i != row]
    sets = sets[:, others]
    if k > (n - 1) / 2:  # the classes left out are uniform in the same way, and nearly independent
        sets, k = 1 - sets, n - 1 - k
    share = k / (n - 1)
    single = sets.sum(axis=0)
    # Var of a count is draws·share·(1 - share)·(n-1)/(n-2) in the plane where counts add up to draws·k.
    spread = (1 - share) * (n - 1) / (n - 2)
    p_single = chi_square(draws * share + (single - draws * share) / spread**0.5, draws * share)
    upper = np.triu_indices(n - 1, 1)
    pair = (sets.T @ sets)[upper]
    both = share * (k - 1) / (n - 2)
    z = (pair - draws * both) / (draws * both * (1 - both)) ** 0.5
    record_property("p_marginal", p_single)
    record_property("pair_variance_ratio", float(z.var()))
    assert p_single > 1e-4
    # Pair counts: variance of a binomial up to their weak dependence, and no pair far off.
    assert 0.6 < z.var() < 1.5
    assert np.abs(z).max() < 5


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_steps_and_seeds_are_unrelated(sampling: str) -> None:
    """Two draws share as many pairs as two independent ones would: N K · K / (N - 1)."""
    n, k = 60, 10
    for other in ({"seed": 0, "step": 1}, {"seed": 1, "step": 0}, {"seed": -1, "step": 2**40}):
        shared = []
        for offset in range(60):
            a = sample_classes(n, k, seed=0, step=100 * offset, sampling=sampling)
            b = sample_classes(n, k, seed=other["seed"], step=100 * offset + other["step"], sampling=sampling)
            shared.append((a[:, :, None] == b[:, None, :]).sum().item())
        expected = n * k * k / (n - 1)
        assert abs(np.mean(shared) - expected) < 0.06 * expected


def test_the_same_in_another_process() -> None:
    code = (
        "from sar_reg import sample_classes\n"
        "print([sample_classes(70, 9, seed=4, step=s, sampling=m).sum(0).tolist() for s in (0, 9) for m in "
        f"{SAMPLINGS}])"
    )
    here = [
        sample_classes(70, 9, seed=4, step=s, sampling=m).sum(0).tolist() for s in (0, 9) for m in SAMPLINGS
    ]
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(here)


def test_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = sample_classes(30, 5, seed=0, step=0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(sample_classes(30, 5, seed=0, step=0), first)


@pytest.mark.parametrize(("n", "k", "sampling", "message"), [
    (1, 1, "ring", "n must be an int of 2 or more, not 1"),
    (5, 0, "ring", "k must be an int of 1 or more, not 0"),
    (5, 2, "blocks", "sampling must be one of 'ring', 'independent', not 'blocks'"),
])  # fmt: skip
def test_refused(n: int, k: int, sampling: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample_classes(n, k, seed=0, step=0, sampling=sampling)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("draw", "message"), [
    ({"seed": 1.5}, "seed must be an int, not 1.5"),
    ({"seed": True}, "seed must be an int, not True"),
    ({"step": np.float64(3)}, "step must be an int or a 0-d int64 tensor, not np.float64"),
    ({"step": torch.tensor(3, device="meta"), "device": "cpu"}, "step is on meta, but the classes are drawn on cpu"),
    ({"step": torch.tensor(3, dtype=torch.int32)}, r"must be int64 of shape \(\), not torch.int32 of shape \(\)"),
    ({"step": torch.arange(5)}, r"must be int64 of shape \(\), not torch.int64 of shape \(5,\)"),
])  # fmt: skip
def test_no_silent_other_draw(draw: dict[str, Any], message: str, sampling: str) -> None:
    with pytest.raises(InputError, match=message):
        sample_classes(5, 2, **({"seed": 0, "step": 0} | draw), sampling=sampling)


@pytest.mark.parametrize("device", ["foo", "cuda:99", 1.5, torch.device("cuda:99"), ""])
def test_devices_that_do_not_exist(device: Any) -> None:
    with pytest.raises(InputError, match=r"device must be one that PyTorch has here, such as .* not "):
        sample_classes(5, 2, seed=0, step=0, device=device)


def test_numpy_integers() -> None:
    found = sample_classes(np.int32(9), np.int64(4), seed=np.int64(3), step=np.uint8(2))
    assert torch.equal(found, sample_classes(9, 4, seed=3, step=2))


@pytest.mark.parametrize(
    ("n", "k", "message"),
    [
        (5.0, 2, "^n must be an int of 2 or more, not 5.0$"),
        (5, 2.0, "^k must be an int of 1 or more, not 2.0$"),
        (5, None, "^k must be an int of 1 or more, not None$"),
        (5, torch.tensor(2), r"^k must be an int of 1 or more, not tensor\(2\)$"),
    ],
)
def test_sizes_that_are_no_integers(n: int, k: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample_classes(n, k, seed=0, step=0)
