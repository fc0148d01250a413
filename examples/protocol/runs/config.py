"""One run in plain values: what a sweep lists, a record names, and a resumed start recognises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from examples.protocol.recipe import Recipe
from sar_reg.errors import InputError

TESTBED_MODEL = ("testbed", "shipped")
"""Model and weights of every run on the testbed."""
SAR_SETTINGS = {"lam", "sample_size", "n_novel", "sampling", "direction", "reduction", "ensemble"}
"""The settings of SAR in a recipe; a run without SAR does not depend on them."""

MOST_WORKERS = 1024
LARGEST_SEED = 2**32 - 1
"""The largest seed that NumPy takes."""


def check_distinct(option: str, values: Sequence[object]) -> None:
    """Refuse values that an option names more than once.

    Raises:
        InputError: naming the repeated values; results of one run must not count as those of several.
    """
    repeated = [str(value) for value, times in Counter(values).items() if times > 1]
    if repeated:
        raise InputError(
            f"{option} names {', '.join(repeated)} more than once; pass each value once, since a repeated run is not "
            "an independent one"
        )


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse seeds that a random generator does not take, and repeated ones.

    Raises:
        InputError: for a seed outside 0..`LARGEST_SEED`, or one that is given twice.
    """
    check_distinct("--seeds", seeds)
    for seed in seeds:
        if not 0 <= seed <= LARGEST_SEED:
            raise InputError(
                f"--seeds takes whole numbers in 0..{LARGEST_SEED}, such as --seeds 1 2 3, not {seed}"
            )


def check_resources(workers: int, out: Path) -> None:
    """Refuse more loading processes than any machine has cores, and a file in place of the folder of records.

    Raises:
        InputError: naming the option.
    """
    if not 0 <= workers <= MOST_WORKERS:
        bound = "0 or more" if workers < 0 else f"at most {MOST_WORKERS}"
        raise InputError(f"--workers must be {bound}, not {workers}")
    there = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not there.is_dir():
        raise InputError(f"--out must be a folder, and {there} is a file")


@dataclass(frozen=True)
class RunSource:
    """Where model, images and novel names come from."""

    dataset: str
    """Key of the data set."""
    data: str = "testbed"
    """`testbed`, the folder with the benchmark's data sets, or a folder of your own data (one folder per class)."""
    split: Literal["scene", "style"] = "scene"
    """Testbed only: test icons in other scenes, or of other styles than the training icons."""
    model: str = "ViT-B-16-quickgelu"
    """open_clip's name of the model, or `testbed`: the small one in this repository, for trials without network."""
    pretrained: str = "openai"
    """open_clip's name of the weights, or a file; the testbed's are in the repository."""
    novel: str = ""
    """related or random (WordNet), list (the testbed's), llm (a language model's), oracle, or a file of names; empty
    for related."""
    base_classes: str = ""
    """File with the names of the base classes, one a line; empty for the first half of all."""
    targets: tuple[str, ...] = ()
    """Train on all classes and test on these data sets too, instead of on base and new classes."""

    final: bool = False
    """Your own photos: train on every image of every class, measure nothing, and keep the result for use."""
    expected: str = ""
    """With --final: file with the names of classes that will come later; they are the first novel classes."""

    def __post_init__(self) -> None:
        check_distinct("--targets", self.targets)
        own = self.split if self.data == "testbed" else self.dataset
        if own in self.targets:
            raise InputError(f"--targets {own} is what is tested on anyway as the source; name other targets")
        if self.final and (self.data == "testbed" or self.targets or self.base_classes):
            raise InputError(
                "--final trains on all classes of your own photos: pass --data FOLDER, and neither --base-classes nor "
                "--targets"
            )
        if self.expected and not self.final:
            raise InputError(
                "--expected names classes to come, which only a last fit uses; pass --final as well"
            )
        if self.data != "testbed":
            if self.model == TESTBED_MODEL[0]:  # one's own images, offline
                if self.pretrained not in (RunSource.pretrained, TESTBED_MODEL[1]):
                    raise InputError(
                        f"--model testbed has weights of its own, so --pretrained {self.pretrained} has no effect; "
                        "leave it out, or pass another --model"
                    )
                object.__setattr__(self, "pretrained", TESTBED_MODEL[1])
            return
        asked = (self.model, self.pretrained)
        if asked not in ((RunSource.model, RunSource.pretrained), TESTBED_MODEL):
            raise InputError(
                f"the testbed has a model of its own, so --model and --pretrained ({', '.join(asked)}) have no effect; "
                "leave them out, or pass --data FOLDER"
            )
        for name, value in zip(("model", "pretrained"), TESTBED_MODEL, strict=True):
            object.__setattr__(self, name, value)  # a record names the model that was used


@dataclass(frozen=True)
class RunConfig:
    """One training run."""

    method: str
    source: RunSource
    recipe: Recipe
    seed: int
    sar: bool

    @property
    def title(self) -> str:
        """How tables and logs call it."""
        return f"{self.method} + SAR" if self.sar else self.method

    def settings(self) -> dict[str, Any]:
        """What decides the result, as JSON values; SAR's settings only if SAR is on."""
        without = {"test_batch_size"} if self.sar else {"test_batch_size", "novel", *SAR_SETTINGS}
        settings = {"method": self.method, "sar": self.sar, "seed": self.seed}
        parts = {
            "source": asdict(self.source) | {"targets": list(self.source.targets)},
            "recipe": asdict(self.recipe),
        }
        return settings | {
            part: {name: value for name, value in values.items() if name not in without}
            for part, values in parts.items()
        }
