"""Epochs of batches: the benchmark's sampler, its rule for the last batch, repeatable augmentation."""

from __future__ import annotations

import multiprocessing

import pytest
import torch

from examples.protocol.data.images import Batch, Pictures, TrainingImages, epoch_order
from examples.protocol.data.transforms import Pixels, build
from examples.protocol.distributed import ProcessGroup
from sar_reg.errors import InputError
from tests.fabricated.runs import Squares


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"), [(80, 32, [32, 32]), (64, 32, [32, 32]), (20, 32, [20]), (80, 4, [4] * 20)]
)
def test_a_smaller_last_batch_is_dropped_unless_it_is_alone(
    n: int, batch_size: int, sizes: list[int]
) -> None:
    order = epoch_order(n, batch_size, seed=1, epoch=0)
    assert [len(batch) for batch in order] == sizes
    seen = [i for batch in order for i in batch]
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(n))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    orders = [epoch_order(50, 50, seed=s, epoch=e)[0] for s in (1, 2) for e in (0, 1)]
    torch.manual_seed(5)
    assert epoch_order(50, 50, seed=1, epoch=0)[0] == orders[0]
    assert len({tuple(order) for order in orders}) == 4


def pictures(kind: str = "crop-flip", views: int = 2) -> Pictures:
    dataset = Squares()
    return Pictures(dataset, dataset.train, build(kind, Pixels(size=32)), views=views, seed=3)


def test_augmentation_repeats_and_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again = pictures(), pictures()
    again[7]
    assert all(torch.equal(a, b) for a, b in zip(first[4], again[4], strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_augmentation_differs_between_views_epochs_and_examples() -> None:
    images = pictures()
    views = images[4]
    assert not torch.equal(*views)
    images.epoch = 1
    assert not torch.equal(images[4][0], views[0])


def test_workers_change_nothing() -> None:
    def two_epochs(workers: int) -> list[Batch]:
        images = TrainingImages(pictures(), None, batch_size=8, workers=workers, group=ProcessGroup())
        return [*images.epoch(2), *images.epoch(3)]

    for alone, helped in zip(two_epochs(0), two_epochs(1), strict=True):
        assert torch.equal(alone.labels, helped.labels)
        assert all(torch.equal(a, b) for a, b in zip(alone.images, helped.images, strict=True))


def test_workers_live_through_all_epochs() -> None:
    images = TrainingImages(pictures(), None, batch_size=8, workers=1, group=ProcessGroup())
    list(images.epoch(0))
    (worker,) = multiprocessing.active_children()
    list(images.epoch(1))
    assert [child.pid for child in multiprocessing.active_children()] == [worker.pid]


def test_kept_features_follow_the_order_of_the_images() -> None:
    n = len(Squares().train)
    kept = TrainingImages(
        pictures("none"), torch.arange(n)[:, None], batch_size=8, workers=0, group=ProcessGroup()
    )
    for batch, rows in zip(kept.epoch(1), epoch_order(n, 8, seed=3, epoch=1), strict=True):
        assert batch.features.flatten().tolist() == rows
        assert batch.labels.tolist() == [Squares().train[i].label for i in rows]
        assert batch.images == []


def test_each_process_has_its_part_of_every_batch() -> None:
    images = [
        TrainingImages(pictures("none", 1), None, batch_size=9, workers=0, group=ProcessGroup(r, 2))
        for r in (0, 1)
    ]
    for one, two in zip(images[0].epoch(0), images[1].epoch(0), strict=True):
        assert (len(one.labels), len(two.labels), one.whole, two.whole) == (5, 4, 9, 9)


def test_more_processes_than_images_are_refused() -> None:
    with pytest.raises(InputError, match="a batch of 3 images cannot be shared out among 4 processes"):
        ProcessGroup(0, 4).my_share([1, 2, 3])


def test_parts_of_a_batch() -> None:
    batch = Batch([torch.arange(5.0)], torch.arange(5), torch.arange(5.0)[:, None], 10)
    parts = list(batch.parts(2))
    assert [part.labels.tolist() for part in parts] == [[0, 1, 2], [3, 4]]
    assert parts[1].images[0].tolist() == parts[1].features.flatten().tolist() == [3, 4]
    assert parts[1].whole == 10
