"""The committed novel classes: complete, distinct, without base or held-out classes, and reproducible."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sar_reg.novel.same_name import KnownNames
from scripts.make_novel_lists import DATA, STRATEGIES, make

KEYS = sorted(path.stem for path in (DATA / "classnames").glob("*.txt"))


def committed(key: str, strategy: str) -> Path:
    return DATA / "novel" / f"{key}.wordnet-{strategy}.json"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("key", KEYS)
def test_two_hundred_distinct_names_none_of_them_a_class(key: str, strategy: str) -> None:
    listed = json.loads(committed(key, strategy).read_text(encoding="utf-8"))
    classes = KnownNames((DATA / "classnames" / f"{key}.txt").read_text(encoding="utf-8").splitlines())
    assert len(listed["names"]) == len(set(listed["names"])) == 200
    assert [name for name in listed["names"] if classes.match(name)] == []
    assert listed["made_by"]["strategy"] == strategy
    assert (listed["dataset"], listed["seed"]) == (key, 1)


@pytest.mark.parametrize(
    ("key", "strategy"), [("dtd", "related"), ("oxford_pets", "related"), ("eurosat", "random")]
)
def test_the_command_makes_the_committed_list_again(key: str, strategy: str) -> None:
    assert make(key, strategy) == committed(key, strategy).read_text(encoding="utf-8")  # pyright: ignore
