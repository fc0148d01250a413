"""The committed names of the data sets: class lists (counts, the seam of base and new, spelling) and novel classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm

from sar_reg.novel.same_name import KnownNames
from scripts.make_novel_lists import DATA, KEYS, class_names, make
from tests import ROOT

FOLDER = ROOT / "examples" / "protocol" / "data"
SIZES = {
    "imagenet": (500, 500), "caltech101": (50, 50), "oxford_pets": (19, 18), "stanford_cars": (98, 98),
    "oxford_flowers": (51, 51), "food101": (51, 50), "fgvc_aircraft": (50, 50), "sun397": (199, 198),
    "dtd": (24, 23), "eurosat": (5, 5), "ucf101": (51, 50),
}  # fmt: skip
SEAMS = {
    "imagenet": ("cleaver", "cliff dwelling"),
    "caltech101": ("helicopter", "ibis"),
    "oxford_pets": ("keeshond", "leonberger"),
    "stanford_cars": ("1998 Eagle Talon Hatchback", "2012 FIAT 500 Abarth"),
    "oxford_flowers": ("petunia", "wild pansy"),
    "food101": ("grilled_salmon", "guacamole"),
    "fgvc_aircraft": ("Cessna 525", "Cessna 560"),
    "sun397": ("indoor ice_skating_rink", "outdoor ice_skating_rink"),
    "dtd": ("marbled", "matted"),
    "eurosat": ("Industrial Buildings", "Pasture Land"),
    "ucf101": ("Long_Jump", "Lunges"),
}


def read(key: str) -> list[str]:
    return (FOLDER / "classnames" / f"{key}.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("key", SIZES)
def test_sizes_and_the_seam_between_base_and_new(key: str) -> None:
    names = read(key)
    base, new = SIZES[key]
    assert len(names) == base + new
    assert -(-len(names) // 2) == base
    assert (names[base - 1], names[base]) == SEAMS[key]


@pytest.mark.parametrize("key", SIZES)
def test_names_are_tidy_and_distinct(key: str) -> None:
    names = read(key)
    assert all(name == " ".join(name.split()) and name for name in names)
    repeated = {name for name in names if names.count(name) > 1}
    assert repeated == ({"missile", "sunglasses"} if key == "imagenet" else set())


def test_the_folder_order_of_the_original_data_is_kept() -> None:
    assert read("caltech101")[:4] == ["face", "leopard", "motorbike", "accordion"]
    assert read("oxford_flowers")[0] == "pink primrose"
    assert read("food101")[16:18] == ["cheese_plate", "cheesecake"]
    imagenet = read("imagenet")
    assert [i for i, name in enumerate(imagenet) if name == "missile"] == [657, 744]
    assert [i for i, name in enumerate(imagenet) if name == "sunglasses"] == [836, 837]


@pytest.mark.parametrize("key", ["imagenet_a", "imagenet_r"])
def test_the_classes_of_imagenet_a_and_r_are_those_that_timm_lists(key: str) -> None:
    listed = (Path(timm.__file__).parent / "data" / "_info" / f"{key}_indices.txt").read_text("utf-8")
    imagenet = read("imagenet")
    assert read(key) == [imagenet[int(index)] for index in listed.split()]
    assert len(set(read(key))) == 200


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
