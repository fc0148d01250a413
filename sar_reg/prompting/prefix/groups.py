"""Packing: where each class's own rows lie in one stream without padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from sar_reg.shapes import Int, Tensor


class Group(NamedTuple):
    """`classes` classes with `length` rows each, from stream row `start` on."""

    start: int
    classes: int
    length: int


@dataclass(frozen=True)
class Groups:
    """The rows after the first `shared` ones of some classes, sorted by their number and laid end to end.

    Attributes:
        shared: number of leading rows that are not in the stream.
        classes: the classes, in stream order.
        class_index: for each stream row, the position of its class in `classes`.
        column: for each stream row, its row in the prompt.
        ends: stream row of each class's end-of-text.
        groups: classes with equally many rows; a group is a view of the stream.
        padded: whether groups hold rows after end-of-text.
    """

    shared: int
    classes: Int[Tensor, " classes"]
    class_index: Int[Tensor, " rows"]
    column: Int[Tensor, " rows"]
    ends: Int[Tensor, " classes"]
    groups: tuple[Group, ...]
    padded: bool


def pack(
    last: Int[Tensor, " all"], classes: Int[Tensor, " classes"], shared: int, buckets: int | None
) -> Groups:
    """Lay out the rows `shared .. last` of some classes, which are sorted by `last`, their row of end-of-text.

    `buckets`: largest number of different lengths, chosen for the fewest padding rows; None keeps exact lengths.
    """
    last = last[classes]
    own = (last - shared + 1).tolist()
    length_of = padded_lengths(own, buckets) if buckets else {length: length for length in own}
    lengths = torch.tensor([length_of[length] for length in own], device=last.device)
    starts = lengths.cumsum(0) - lengths
    class_index = torch.repeat_interleave(torch.arange(len(classes), device=last.device), lengths)
    column = torch.arange(len(class_index), device=last.device) - starts[class_index] + shared
    distinct, counts = lengths.unique_consecutive(return_counts=True)
    groups: list[Group] = []
    start = 0
    for length, count in zip(distinct.tolist(), counts.tolist(), strict=True):
        groups.append(Group(start, count, length))
        start += length * count
    padded = any(length_of[length] != length for length in own)
    return Groups(shared, classes, class_index, column, starts + last - shared, tuple(groups), padded)


def padded_lengths(lengths: Sequence[int], buckets: int) -> dict[int, int]:
    """Round lengths up to at most `buckets` values so that the sum of the rounded lengths is least.

    >>> padded_lengths([2, 3, 3, 4, 9], 2)
    {2: 4, 3: 4, 4: 4, 9: 9}
    """
    distinct = sorted(set(lengths))
    counts = [lengths.count(length) for length in distinct]
    # least total and largest lengths of the buckets, for the first 0, 1, 2, … distinct lengths
    best: list[tuple[float, tuple[int, ...]]] = [(0, ()), *[(math.inf, ())] * len(distinct)]
    for _ in range(min(buckets, len(distinct))):
        extended = [
            min(
                (best[first][0] + length * sum(counts[first : end + 1]), (*best[first][1], length))
                for first in range(end + 1)
            )
            for end, length in enumerate(distinct)
        ]
        best = [(0, ()), *extended]
    return {length: next(top for top in best[-1][1] if top >= length) for length in distinct}
