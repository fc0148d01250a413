"""Images on their way into the loop: epochs of batches, and features that are kept if nothing changes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from examples.protocol.data.dataset import Dataset, Example
from examples.protocol.data.transforms import Transform
from examples.protocol.distributed import ProcessGroup
from sar_reg.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class Batch:
    """A batch, or the part of it that one process computes; `features` if they were kept."""

    images: list[Float[Tensor, "batch 3 height width"]]
    labels: Int[Tensor, " batch"]
    features: Float[Tensor, "batch width"] | None
    whole: int
    """Images in the batch over all processes."""

    def parts(self, n: int) -> Iterator[Batch]:
        """Cut into at most `n` parts of nearly equal size."""
        start = 0
        for labels in self.labels.chunk(n):
            rows = slice(start, start + len(labels))
            features = None if self.features is None else self.features[rows]
            yield Batch([view[rows] for view in self.images], labels, features, self.whole)
            start = rows.stop

    def to(self, device: torch.device) -> Batch:
        """The batch on the device where the model is; from pinned memory, without waiting for it."""
        features = None if self.features is None else self.features.to(device, non_blocking=True)
        images = [view.to(device, non_blocking=True) for view in self.images]
        return Batch(images, self.labels.to(device, non_blocking=True), features, self.whole)


def pinned(tensor: Tensor) -> Tensor:
    """The tensor in pinned memory, from which a GPU copies asynchronously; unchanged without a GPU."""
    return tensor.pin_memory() if torch.cuda.is_available() and not tensor.is_cuda else tensor


class Pictures(TorchDataset[list[Tensor]]):
    """The transformed views of examples; their randomness depends on (seed, epoch, example) alone."""

    def __init__(
        self,
        dataset: Dataset,
        examples: Sequence[Example],
        transform: Transform,
        views: int = 1,
        seed: int = 0,
    ) -> None:
        self.dataset = dataset
        self.examples = examples
        self.transform = transform
        self.views = views
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int | tuple[int, int]) -> list[Tensor]:
        """The views of one example, in the present epoch or in that of `(epoch, index)`."""
        epoch, index = index if isinstance(index, tuple) else (self.epoch, index)
        image = self.dataset.image(self.examples[index])
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed also asks for GPUs, which takes longer than most pictures
            torch.default_generator.manual_seed(mixed(self.seed, epoch, index))
            return [self.transform(image) for _ in range(self.views)]


def mixed(*numbers: int) -> int:
    """One 63-bit seed out of several numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 0x5851F42D4C957F2D + number + 0x14057B7EF767814F) % 2**63
    return seed


def epoch_order(n: int, batch_size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Shuffled batches of indices; a last, smaller batch is dropped unless it is the only one."""
    generator = torch.Generator().manual_seed(mixed(seed, epoch))
    order = torch.randperm(n, generator=generator).tolist()
    batches = [order[i : i + batch_size] for i in range(0, n, batch_size)]
    return batches if len(batches) == 1 or len(batches[-1]) == batch_size else batches[:-1]


class TrainingImages:
    """All epochs over the training examples of one run."""

    def __init__(
        self,
        pictures: Pictures,
        features: Tensor | None,
        *,
        batch_size: int,
        workers: int,
        group: ProcessGroup,
    ) -> None:
        self.pictures = pictures
        self.features = features
        self.labels = torch.tensor([example.label for example in pictures.examples])
        self.batch_size = batch_size
        self.group = group
        self._batches: list[list[tuple[int, int]]] = []
        # workers outlive an epoch: the epoch's number travels with each index
        self._loader = DataLoader(
            pictures,
            batch_sampler=_Listed(self._batches),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, this process's part of each."""
        order = epoch_order(len(self.labels), self.batch_size, seed=self.pictures.seed, epoch=epoch)
        mine = [self.group.my_share(batch) for batch in order]
        views = self.views(epoch, mine) if self.features is None else [[] for _ in mine]
        for whole, batch, images in zip(order, mine, views, strict=True):
            rows = torch.tensor(batch)
            features = None
            if self.features is not None:
                features = self.features[pinned(rows).to(self.features.device, non_blocking=True)]
            yield Batch(images, pinned(self.labels[rows]), features, len(whole))

    def views(self, epoch: int, batches: Sequence[Sequence[int]]) -> Iterable[list[Tensor]]:
        """The views of the examples in each batch."""
        self._batches[:] = [[(epoch, index) for index in batch] for batch in batches]
        return self._loader


class _Listed(Sampler[list[tuple[int, int]]]):
    """Batches from a list that is filled again before each epoch."""

    def __init__(self, batches: list[list[tuple[int, int]]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)
