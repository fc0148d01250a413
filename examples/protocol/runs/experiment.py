"""What several runs share, opened once: model, data set, anchor bank, features of the test images."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass, fields
from functools import cache, cached_property, partial
from importlib.metadata import version
from typing import Any

import torch

from examples.protocol.data import base_new_split, few_shot, open_dataset
from examples.protocol.data.catalogue import catalogue
from examples.protocol.data.dataset import Dataset, Subset, fingerprint
from examples.protocol.data.features import EncodedImages, FeatureStore, Views, encode_in_order, loader
from examples.protocol.data.images import Pictures, TrainingImages
from examples.protocol.data.transforms import Kind, Transform, build, pixels_of
from examples.protocol.distributed import SINGLE_PROCESS, ProcessGroup
from examples.protocol.method import PromptMethod
from examples.protocol.recipe import Precision, Recipe
from examples.protocol.runs.config import RunSource
from examples.protocol.runs.loading import handcrafted_prompts, load_clip, open_source, open_testbed
from examples.protocol.runs.novel_names import expected_names, in_options_of_the_command, novel_source
from examples.protocol.runs.record import device_name, hash_tensors
from sar_reg import AnchorBank, build_anchor_bank
from sar_reg.files import content_key
from sar_reg.novel import NovelClassesError, read_names
from sar_reg.prompting import text_tower
from sar_reg.shapes import Tensor

NO_STORE = FeatureStore()


@dataclass(frozen=True)
class ExperimentSettings:
    """The settings of a recipe that an experiment depends on; runs with equal ones can share it."""

    shots: int
    augmentation: Kind
    views: int
    batch_size: int
    test_batch_size: int
    n_novel: int
    ensemble: bool
    precision: Precision

    @classmethod
    def of(cls, recipe: Recipe) -> ExperimentSettings:
        """Take them from a recipe."""
        return cls(**{field.name: getattr(recipe, field.name) for field in fields(cls)})


class Experiment:
    """A model and a data set, opened.

    Args:
        source: where they come from.
        settings: shots, batches, the bank's size and the model's precision.
        device: where the model goes.
        workers: processes that load images.
        store: keeps image features between runs.

    Attributes:
        official: whether the data set is one of the benchmark's, whose class lists are taken as they are.
    """

    def __init__(
        self,
        source: RunSource,
        settings: ExperimentSettings,
        device: torch.device,
        *,
        workers: int = 0,
        store: FeatureStore = NO_STORE,
    ) -> None:
        self.source = source
        self.settings = settings
        self.device = device
        self.workers = workers
        self.store = store
        self.dataset = open_source(
            source, source.dataset
        )  # first, so that a wrong folder is reported before weights are downloaded
        self.model, self.tokenizer = load_clip(source, settings.precision, device)
        self.official = self.dataset.key in catalogue()
        _warn_of_repeats(self.dataset.key, self.dataset.classnames)
        self._features: dict[str, Tensor] = {}

    @cached_property
    def tests(self) -> dict[str, Dataset]:
        """The test sets by name: base and new classes, or all classes and each target."""
        if self.source.final:
            return {"all": self.dataset}
        if self.source.targets:
            targets = {name: self._target(name) for name in self.source.targets}
            return {"source": self.dataset, **targets}
        base, new = self._split(self.dataset)
        return {"base": base, "new": new}

    def _split(self, dataset: Dataset) -> tuple[Subset, Subset]:
        names = read_names(self.source.base_classes) if self.source.base_classes else None
        return base_new_split(dataset, names)

    def _target(self, name: str) -> Dataset:
        if self.source.data == "testbed":
            return open_testbed(self.source.dataset, name)
        return open_dataset(name, self.source.data)

    def training_set(self, seed: int) -> Dataset:
        """The shots of the classes that are trained on: drawn from all classes, then cut to base."""
        drawn = few_shot(self.dataset, self.settings.shots, seed)
        return drawn if self.source.targets or self.source.final else self._split(drawn)[0]

    @cached_property
    def test_transform(self) -> Transform:
        """The transform of test images."""
        return build("none", pixels_of(self.model))

    @cached_property
    def classnames(self) -> tuple[str, ...]:
        """The classes that are trained on."""
        return next(iter(self.tests.values())).classnames

    @cached_property
    def held_out(self) -> tuple[str, ...]:
        """Names of test classes that are not trained on."""
        if self.source.final:
            return expected_names(self.source, self.classnames)
        known = set(self.classnames)
        return tuple(name for test in self.tests.values() for name in test.classnames if name not in known)

    @cached_property
    def templates(self) -> tuple[str, ...]:
        """The handcrafted prompts; a data set that is not the paper's has ImageNet's."""
        return handcrafted_prompts(self.source, ensemble=self.settings.ensemble)

    @cached_property
    def temperature(self) -> float:
        """CLIP's own τ."""
        return text_tower(self.model, self.tokenizer).temperature

    @cached_property
    def bank(self) -> AnchorBank:
        """Base and novel classes; no held-out class is among the novel ones, but for the oracle's."""
        try:
            return build_anchor_bank(
                self.model,
                self.tokenizer,
                self.classnames,
                novel=novel_source(self.source, self.held_out),
                n_novel=self.settings.n_novel,
                templates=self.templates,
                exclude=() if self.source.final or self.source.novel == "oracle" else self.held_out,
                allow_repeated=self.official,
            )
        except NovelClassesError as error:
            raise in_options_of_the_command(error) from error

    def zero_shot_rows(self, test: Dataset) -> Tensor:
        """Features of a test set's class names from the handcrafted prompts alone."""
        return build_anchor_bank(
            self.model,
            self.tokenizer,
            test.classnames,
            n_novel=0,
            templates=self.templates,
            allow_repeated=self.official,
        ).embeddings

    def pictures(self, seed: int, views: int) -> Pictures:
        """The training examples of a seed as a method sees them."""
        subset = self.training_set(seed)
        transform = build(self.settings.augmentation, pixels_of(self.model))
        return Pictures(subset, subset.train, transform, views=views, seed=seed)

    def training_images(self, seed: int, method: PromptMethod, group: ProcessGroup) -> TrainingImages:
        """The epochs of one run: features if the image side is frozen, else the views themselves."""
        pictures, size = self.pictures(seed, method.views), self.settings.batch_size
        if method.trains_image_side:
            return TrainingImages(pictures, None, batch_size=size, workers=self.workers, group=group)

        distinct = self.settings.views

        def encode(number: int, views: Views) -> Tensor:
            if self.settings.augmentation == "none":
                return self._kept(f"train/{seed}", pictures, views, method, group)
            if distinct:
                return self._kept(f"train/{seed}/{number}", pictures, views, method, group, (seed, number))
            return self._features_of(pictures, views, method, group, view=(seed, number))

        return EncodedImages(
            pictures, encode, distinct=distinct, batch_size=size, workers=self.workers, group=group
        )

    def test_images(self, name: str, method: PromptMethod) -> tuple[Tensor, Tensor]:
        """Image features and labels of a test set; kept for all runs if the image side is frozen."""
        test = self.tests[name]
        labels = torch.tensor([example.label for example in test.test])
        pictures = Pictures(test, test.test, self.test_transform)
        views = loader(pictures, self.workers)
        if method.trains_image_side:
            return self._encode(pictures, views, method), labels
        return self._kept(name, pictures, views, method), labels

    def feature_bytes(self, seed: int, epochs: int) -> int:
        """Size of the features that a run with a frozen image tower reads or writes."""
        lists = 1 if self.settings.augmentation == "none" else min(epochs, self.settings.views or epochs)
        train = len(self.training_set(seed).train) * lists
        test = sum(len(test.test) for test in self.tests.values())
        width = text_tower(self.model, self.tokenizer).embed_dim
        return (train + test) * width * (4 if self.settings.precision == "fp32" else 2)

    def _kept(
        self,
        name: str,
        pictures: Pictures,
        views: Views,
        method: PromptMethod,
        group: ProcessGroup = SINGLE_PROCESS,
        view: tuple[int, int] | None = None,
    ) -> Tensor:
        if name not in self._features:
            self._features[name] = self._features_of(pictures, views, method, group, view)
        return self._features[name]

    def _features_of(
        self,
        pictures: Pictures,
        views: Views,
        method: PromptMethod,
        group: ProcessGroup,
        view: tuple[int, int] | None = None,
    ) -> Tensor:
        """Features by a frozen image tower, from the store or computed; `view`: seed and epoch of a random one."""
        depends_on = {
            "tower": self.about["model"]["image_fingerprint"],
            "data": [self.source.dataset, pictures.dataset.key, self.about["data"]["fingerprint"]],
            "examples": content_key(examples=[(e.source, e.scene) for e in pictures.examples]),
            "transform": dict(pictures.transform.settings),
            "view": view,
            "batch": self.settings.test_batch_size,
            "precision": self.settings.precision,
            "computed_with": [*map(version, ("torch", "torchvision", "pillow")), device_name(self.device)],
        }
        encode = partial(self._encode, pictures, views, method, group)
        return self.store.features(depends_on, encode, device=self.device, group=group)

    def _encode(
        self, pictures: Pictures, views: Views, method: PromptMethod, group: ProcessGroup = SINGLE_PROCESS
    ) -> Tensor:
        size = self.settings.test_batch_size
        return encode_in_order(method, len(pictures), views, batch_size=size, group=group)

    @property
    def name(self) -> str:
        """How files of its runs begin."""
        style = "" if self.source.split == "scene" else f"-{self.source.split}"
        final = "-final" if self.source.final else ""
        return f"{self.source.dataset}{style}{final}{''.join(f'-to-{name}' for name in self.source.targets)}"

    @property
    def fingerprints(self) -> list[str]:
        """Of the model's two towers and of the data set."""
        model = self.about["model"]
        return [model["text_fingerprint"], model["image_fingerprint"], self.about["data"]["fingerprint"]]

    @cached_property
    def about(self) -> dict[str, Any]:
        """Fingerprints of model and data, for the record."""
        return {
            "model": {
                "name": self.source.model,
                "weights": self.source.pretrained,
                "text_fingerprint": text_tower(self.model, self.tokenizer).fingerprint(),
                "image_fingerprint": hash_tensors(self.model.visual.state_dict()),
            },
            "data": {
                "fingerprint": fingerprint(self.dataset),
                "test_transform": dict(self.test_transform.settings),
                "tests": {
                    name: {"classes": len(test.classnames), "images": len(test.test)}
                    for name, test in self.tests.items()
                },
            },
        }


@cache
def _warn_of_repeats(key: str, classnames: tuple[str, ...]) -> None:
    """Warn once per process that classes of one name cannot be distinguished; ImageNet has two such pairs."""
    repeated = [name for name, count in Counter(classnames).items() if count > 1]
    if repeated:
        warnings.warn(
            f"{key} has several classes called {', '.join(repeated)}: their prompts are the same, so their "
            "images cannot be distinguished; as in the official code, the first of them is predicted",
            stacklevel=3,
        )
