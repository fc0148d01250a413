"""Image features of a frozen image tower: encoded in one order and batch size, kept on disk between runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialize
from torch.utils.data import DataLoader

from examples.protocol.data.images import Batch, Pictures, TrainingImages
from examples.protocol.distributed import SINGLE_PROCESS, ProcessGroup
from examples.protocol.method import PromptMethod
from sar_reg.files import content_key, set_aside, write_atomic
from sar_reg.shapes import Float, Tensor


@dataclass(frozen=True)
class FeatureStore:
    """Features in a folder, one file per list of views, which runs, processes and machines can share.

    Attributes:
        folder: where the files go; None keeps nothing.
    """

    folder: Path | None = None

    def features(
        self,
        depends_on: Mapping[str, Any],
        encode: Callable[[], Float[Tensor, "images width"]],
        *,
        device: torch.device,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> Float[Tensor, "images width"]:
        """Read the features, or encode and write them. Both return the same values, bit for bit.

        Args:
            depends_on: everything that changes the features, as JSON values.
            encode: computes them; all processes of the group call it together.
            device: where they go.
            group: the processes that call this together.
        """
        if self.folder is None:
            return encode()
        path = self.folder / f"{content_key(**depends_on)}.safetensors"
        found = _read(path, device)
        if group.all_have(found is not None) and found is not None:
            return found
        features = encode()
        if group.first:
            about = {"depends_on": json.dumps(depends_on)}
            write_atomic(path, serialize({"features": features.cpu().contiguous()}, about))
        return features


def _read(path: Path, device: torch.device) -> Tensor | None:
    try:
        return load_file(path, device=str(device))["features"]
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError) as error:
        set_aside(path, error)
        return None


Views = Callable[[Sequence[list[int]]], Iterable[list[Tensor]]]
"""From batches of indices to the views of their images."""


@torch.no_grad()
def encode_in_order(
    method: PromptMethod, n: int, views: Views, *, batch_size: int, group: ProcessGroup = SINGLE_PROCESS
) -> Float[Tensor, "images width"]:
    """The method's features of the first view of n images, not normalised, on the model's device.

    Images are encoded in their order and in batches of one size, so the bits do not depend on the order in which a run
    uses them. The batches are shared out among the group's processes. Random generators are left as they were.
    """
    batches = list(torch.arange(n).split(batch_size))
    places = list(range(len(batches)))[group.rank :: group.size]
    mine = [batches[place].tolist() for place in places or [0]]  # at least one, for the shape of a feature
    device = method.tower.device
    with torch.random.fork_rng(devices=[]), method.autocast():
        parts = [method.encode_images(view.to(device, non_blocking=True)) for view, *_ in views(mine)]
    if group.size == 1:
        return torch.cat(parts)
    features = parts[0].new_zeros(n, parts[0].shape[1])
    for place, part in zip(places, parts, strict=False):
        features[batches[place].to(device)] = part
    group.add_up([features])  # the others' rows are zero here
    return features


def loader(pictures: Pictures, workers: int) -> Views:
    """Views of pictures in their present epoch."""
    pin = torch.cuda.is_available()
    return lambda batches: DataLoader(pictures, batch_sampler=batches, num_workers=workers, pin_memory=pin)


class EncodedImages(TrainingImages):
    """All epochs over the training examples of one run, as features of a frozen image tower.

    Args:
        pictures: the examples.
        encode: from the number of a list of views, and its views, to the features of all examples.
        distinct: how many lists of views there are, used in turn; 0 for one per epoch.
        batch_size: images per step.
        workers: processes that load images.
        group: the processes that share each batch.
    """

    def __init__(
        self,
        pictures: Pictures,
        encode: Callable[[int, Views], Float[Tensor, "images width"]],
        *,
        distinct: int = 0,
        batch_size: int,
        workers: int,
        group: ProcessGroup,
    ) -> None:
        super().__init__(pictures, None, batch_size=batch_size, workers=workers, group=group)
        self.encode = encode
        self.distinct = distinct

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, this process's part of each."""
        number = epoch % self.distinct if self.distinct else epoch
        self.features = self.encode(number, partial(self.views, number))
        yield from super().epoch(epoch)
