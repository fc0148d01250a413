"""Images on their way into the loop: epochs of batches, and features kept where nothing changes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from examples.protocol.data.dataset import Dataset, Example
from examples.protocol.data.transforms import Transform
from examples.protocol.distributed import ProcessGroup
from examples.protocol.method import PromptMethod
from sar_reg.shapes import Float, Int, Tensor


@dataclass(frozen=True)
class Batch:
    """A batch, or the part of it that one process computes; `features` where they were kept."""

    images: list[Float[Tensor, "batch 3 height width"]]
    labels: Int[Tensor, " batch"]
    features: Float[Tensor, "batch width"] | None
    whole: int
    """Images in the batch over all processes."""

    def parts(self, n: int) -> Iterator[Batch]:
        """Cut into at most `n` parts of nearly equal size."""
        for rows in torch.arange(len(self.labels)).chunk(n):
            features = None if self.features is None else self.features[rows]
            yield Batch([view[rows] for view in self.images], self.labels[rows], features, self.whole)

    def to(self, device: torch.device) -> Batch:
        """The batch on the device where the model is."""
        features = None if self.features is None else self.features.to(device)
        images = [view.to(device, non_blocking=True) for view in self.images]
        return Batch(images, self.labels.to(device), features, self.whole)


class Pictures(TorchDataset[list[Tensor]]):
    """The transformed views of examples; what is random in them depends on (seed, epoch, example) alone."""

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

    def __getitem__(self, index: int) -> list[Tensor]:
        image = self.dataset.image(self.examples[index])
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed also asks for GPUs, which takes longer than most pictures
            torch.default_generator.manual_seed(mixed(self.seed, self.epoch, index))
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
        self.workers = workers
        self.group = group

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, this process's part of each."""
        order = epoch_order(len(self.labels), self.batch_size, seed=self.pictures.seed, epoch=epoch)
        mine = [self.group.my_share(batch) for batch in order]
        if self.features is not None:
            views = [[] for _ in mine]
        else:
            self.pictures.epoch = epoch
            views = DataLoader(self.pictures, batch_sampler=mine, num_workers=self.workers)
        for whole, rows, images in zip(order, mine, views, strict=True):
            features = None if self.features is None else self.features[rows]
            yield Batch(images, self.labels[rows], features, len(whole))


@torch.no_grad()
def image_features(
    method: PromptMethod, pictures: Pictures, *, batch_size: int, workers: int = 0
) -> Float[Tensor, "images width"]:
    """The method's features of all pictures, not normalised, in order, on the model's device."""
    loader = DataLoader(pictures, batch_size=batch_size, num_workers=workers)
    with method.autocast():
        return torch.cat([method.encode_images(views[0].to(method.tower.device)) for views in loader])
