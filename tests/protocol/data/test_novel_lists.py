"""The committed novel classes: complete, distinct, without base or held-out classes, and reproducible."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sar_reg.novel.same_name import KnownNames
from scripts.make_novel_lists import DATA, KEYS, class_names, make


def committed(key: str) -> Path:
    return DATA / "novel" / f"{key}.wordnet-related.json"


@pytest.mark.parametrize("key", KEYS)
def test_two_hundred_distinct_names_none_of_them_a_class(key: str) -> None:
    listed = json.loads(committed(key).read_text(encoding="utf-8"))
    classes = KnownNames(class_names(key))
    assert len(listed["names"]) == len(set(listed["names"])) == 200
    assert [name for name in listed["names"] if classes.match(name)] == []
    assert listed["provenance"]["strategy"] == "related"
    assert (listed["dataset"], listed["seed"]) == (key, 1)


@pytest.mark.parametrize("key", ["dtd", "oxford_pets", "animals"])
def test_the_command_makes_the_committed_list_again(key: str) -> None:
    assert make(key) == committed(key).read_text(encoding="utf-8")
