"""Data sets of the testbed: sizes, splits, scenes, novel words, and the shipped files with their licences."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pytest
import torch

from examples.protocol.data.dataset import Example, base_new_split, few_shot
from examples.testbed import DATASETS, DEVELOPMENT, open_dataset, words
from examples.testbed.datasets import SCENES, IconDataset
from examples.testbed.model import DATA, normalised
from examples.testbed.rebuild import packages
from examples.testbed.rebuild.record import checksums
from sar_reg.errors import InputError

# Classes and drawings of each data set.
COUNTS = {
    "animals": (77, 201),
    "food": (55, 140),
    "travel": (124, 298),
    "objects": (127, 307),
    "activities": (42, 94),
    "smileys": (88, 188),
}

MEANS = (105.905, 119.298, 131.059)  # of three pictures of food


@pytest.fixture(scope="module")
def food() -> IconDataset:
    return open_dataset("food")


def drawings_and_labels(examples: tuple[Example, ...]) -> dict[str, int]:
    return {example.source: example.label for example in examples}


@pytest.mark.parametrize("name", DATASETS)
def test_counts(name: str) -> None:
    dataset = open_dataset(name)
    assert (len(dataset.classnames), len(dataset.drawings)) == COUNTS[name]
    for part, scenes in SCENES.items():
        assert len(getattr(dataset, part)) == COUNTS[name][1] * scenes
    assert list(dataset.classnames) == sorted(set(dataset.classnames))


@pytest.mark.parametrize("name", DATASETS)
def test_base_and_new_classes_are_disjoint_halves(name: str) -> None:
    dataset = open_dataset(name)
    base, new = base_new_split(dataset)
    assert base.classnames + new.classnames == dataset.classnames
    assert len(base.classnames) == math.ceil(len(dataset.classnames) / 2)


@pytest.mark.parametrize("name", DATASETS)
def test_style_split_tests_other_styles(name: str) -> None:
    dataset = open_dataset(name, split="style")
    train, test = drawings_and_labels(dataset.train), drawings_and_labels(dataset.test)
    assert not set(train) & set(test)
    assert sorted(train.values()) == list(range(len(dataset.classnames)))
    assert set(test.values()) == set(train.values())
    style_of = {label: source.split("/")[0] for source, label in train.items()}
    assert all(source.split("/")[0] != style_of[label] for source, label in test.items())


def test_no_scene_is_used_twice() -> None:
    seeds: list[int] = []
    for name in DATASETS:
        dataset = open_dataset(name)
        seeds += [example.scene for part in (dataset.train, dataset.val, dataset.test) for example in part]
    assert len(seeds) == len(set(seeds))


def test_pictures_are_the_same_everywhere(food: IconDataset) -> None:
    pixels = np.stack([np.asarray(food.image(example)) for example in food.test[::400]])
    assert pixels.shape == (3, 40, 40, 3)
    # Half a grey level of rounding is all that another processor may change.
    assert pixels.mean(axis=(1, 2, 3)) == pytest.approx(np.array(MEANS), abs=0.02)
    again = np.stack([np.asarray(food.image(example)) for example in food.test[::400]])
    assert hashlib.sha256(pixels.tobytes()).digest() == hashlib.sha256(again.tobytes()).digest()


def test_batch_equals_single_pictures(food: IconDataset) -> None:
    examples = food.test[::200]
    single = [torch.from_numpy(np.asarray(food.image(e)).copy()).permute(2, 0, 1) / 255 for e in examples]
    assert torch.equal(food.images(examples), normalised(torch.stack(single)))


def test_few_shot_draw_finds_enough_examples(food: IconDataset) -> None:
    assert len(few_shot(food, 16, 1).train) == 16 * len(food.classnames)


@pytest.mark.parametrize("name", DATASETS)
def test_novel_words_hold_no_class_name(name: str) -> None:
    dataset = open_dataset(name)
    novel = dataset.novel_words()
    assert 200 <= len(set(novel)) == len(novel) <= 400
    assert not {word.casefold() for word in novel} & {name.casefold() for name in dataset.classnames}


def test_words() -> None:
    found = words()
    assert found == sorted(set(found))
    assert 5_000 < len(found) < 10_000
    assert {"zebra", "violin", "cathedral", "bread"} <= set(found)


def test_development_data_set_is_one_of_them() -> None:
    assert DEVELOPMENT == "food"
    assert DEVELOPMENT in DATASETS


def test_unknown_data_set() -> None:
    with pytest.raises(InputError, match="unknown testbed data set 'cars': expected one of animals, food"):
        open_dataset("cars")


def test_unknown_split() -> None:
    with pytest.raises(InputError, match="unknown split 'colour': expected 'scene' or 'style'"):
        open_dataset("food", split="colour")  # type: ignore[arg-type]


def test_shipped_files_are_the_recorded_ones() -> None:
    assert checksums() == json.loads((DATA / "checksums.json").read_text(encoding="utf-8"))


def test_everything_shipped_is_small() -> None:
    total = sum(
        path.stat().st_size for path in DATA.parent.rglob("*") if path.is_file() and path.suffix != ".pyc"
    )
    assert total < 10_000_000


def test_every_package_stands_in_the_licence_list() -> None:
    text = (DATA.parent / "LICENSES.md").read_text(encoding="utf-8")
    styles = packages.COLOUR_STYLES | packages.OUTLINE_STYLES | packages.HELD_OUT_STYLES
    for name, version in (styles | packages.LISTS | dict([packages.TEACHER])).items():
        assert f"{name}` {version}" in text, name
    assert "WordNet" in (DATA / "WORDNET_LICENSE").read_text(encoding="utf-8")


def test_downstream_drawings_are_of_styles_that_pre_training_never_saw() -> None:
    seen = packages.COLOUR_STYLES | packages.OUTLINE_STYLES
    assert not set(packages.HELD_OUT_STYLES) & set(seen)
    for entry in json.loads((DATA / "datasets.json").read_text(encoding="utf-8")).values():
        assert {source.split("/")[0] for source in entry["sources"]} == set(packages.HELD_OUT_STYLES)
