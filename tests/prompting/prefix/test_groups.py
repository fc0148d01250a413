"""Packing classes by length."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from sar_reg.prompting.prefix.groups import Group, pack, padded_lengths


def test_rows_of_three_classes() -> None:
    last = torch.tensor([6, 9, 6])
    layout = pack(last, torch.tensor([0, 2, 1]), 5, None)

    assert layout.groups == (Group(0, 2, 2), Group(4, 1, 5))
    assert layout.column.tolist() == [5, 6, 5, 6, 5, 6, 7, 8, 9]
    assert layout.classes[layout.class_index].tolist() == [0, 0, 2, 2, 1, 1, 1, 1, 1]
    assert layout.ends.tolist() == [1, 3, 8]
    assert not layout.padded


def test_one_bucket_pads_to_the_longest() -> None:
    layout = pack(torch.tensor([6, 9, 6]), torch.tensor([0, 2, 1]), 5, 1)

    assert layout.groups == (Group(0, 3, 5),)
    assert layout.ends.tolist() == [1, 6, 14]
    assert layout.padded


@given(st.lists(st.integers(1, 12), min_size=1, max_size=20), st.integers(1, 4))
def test_buckets_are_the_best_ones(lengths: list[int], buckets: int) -> None:
    rounded = padded_lengths(lengths, buckets)

    distinct = sorted(set(lengths))
    choices = [
        {*chosen, distinct[-1]}
        for count in range(min(buckets, len(distinct)))
        for chosen in itertools.combinations(distinct, count)
    ]
    costs = [sum(min(c for c in chosen if c >= length) for length in lengths) for chosen in choices]
    assert sum(rounded[length] for length in lengths) == min(costs)
    assert len(set(rounded.values())) <= buckets
    assert all(rounded[length] >= length for length in lengths)
