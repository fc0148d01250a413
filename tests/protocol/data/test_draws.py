"""The few-shot draw and the base/new rule against those recorded from the official code."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from PIL import Image

from examples.protocol.data.dataset import Example, base_new_split, few_shot, fingerprint
from sar_reg.errors import InputError
from tests import GOLDEN

RECORDED = json.loads((GOLDEN / "protocol.json").read_text())["fewshot"]


@dataclass(frozen=True)
class Listed:
    key: str
    classnames: tuple[str, ...]
    train: tuple[Example, ...]
    val: tuple[Example, ...]
    test: tuple[Example, ...]

    def image(self, example: Example) -> Image.Image:
        return Image.new("RGB", (example.label + 1, 4))


def listed(record: dict) -> Listed:
    names = {label: name for _, label, name in record["train"]}
    parts = [
        tuple(Example(path, label) for path, label, _ in record[part]) for part in ("train", "val", "test")
    ]
    return Listed("fabricated", tuple(names[label] for label in sorted(names)), *parts)


def pairs(examples: tuple[Example, ...]) -> list[list]:
    return [[example.source, example.label] for example in examples]


@pytest.mark.parametrize(
    ("number", "draw"), [(i, draw) for i, record in enumerate(RECORDED) for draw in record["draws"]]
)
def test_draw_and_split_are_the_official_ones(number: int, draw: dict) -> None:
    drawn = few_shot(listed(RECORDED[number]), draw["shots"], draw["seed"])
    base, new = base_new_split(drawn)
    for name, subset in (("all", drawn), ("base", base), ("new", new)):
        for part in ("train", "val", "test"):
            assert pairs(getattr(subset, part)) == draw[name][part], (name, part)
        assert dict(enumerate(subset.classnames)) == {int(k): v for k, v in draw[name]["names"].items()}


def test_seeds_and_shots_change_the_draw() -> None:
    dataset = listed(RECORDED[0])
    draws = {fingerprint(few_shot(dataset, shots, seed)) for shots in (1, 4) for seed in (1, 2)}
    assert len(draws) == 4
    assert fingerprint(few_shot(dataset, 4, 2)) in draws


def test_val_that_is_the_test_list_is_kept_whole() -> None:
    record = listed(RECORDED[0])
    imagenet_like = Listed("imagenet", record.classnames, record.train, record.test, record.test)
    drawn = few_shot(imagenet_like, 1, 1)
    assert drawn.val == record.test
    assert drawn.train == few_shot(record, 1, 1).train


def test_named_base_classes() -> None:
    base, new = base_new_split(listed(RECORDED[0]), ["class 5", "class 0"])
    assert base.classnames == ("class 0", "class 5")
    assert new.classnames == ("class 1", "class 2", "class 3", "class 4", "class 6")
    assert {example.source.split("/")[1] for example in base.test if example.label == 1} == {"005"}
    assert base.image(base.test[0]).size == (base.test[0].label + 1, 4)
    assert base.key == "fabricated"


def test_refusals() -> None:
    dataset = listed(RECORDED[0])
    with pytest.raises(InputError, match="shots of at least 1, got 0"):
        few_shot(dataset, 0, 1)
    with pytest.raises(InputError, match="no training images of: class 9"):
        base_new_split(dataset, ["class 1", "class 9"])
    with pytest.raises(InputError, match="7 base and 0 new classes"):
        base_new_split(dataset, dataset.classnames)
