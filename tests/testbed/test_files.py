"""The shipped files: what they are, how big, under which licences, and which styles they show."""

from __future__ import annotations

import json

from examples.testbed.model import DATA
from examples.testbed.rebuild import packages
from examples.testbed.rebuild.record import checksums

FOLDER = DATA.parent


def test_shipped_files_are_the_recorded_ones() -> None:
    assert checksums() == json.loads((DATA / "checksums.json").read_text(encoding="utf-8"))


def test_everything_shipped_is_small() -> None:
    total = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert total < 10_000_000


def test_every_package_stands_in_the_licence_list() -> None:
    text = (FOLDER / "LICENSES.md").read_text(encoding="utf-8")
    styles = packages.COLOUR_STYLES | packages.OUTLINE_STYLES | packages.HELD_OUT_STYLES
    for name, version in (styles | packages.LISTS | dict([packages.TEACHER])).items():
        assert f"{name}` {version}" in text, name
    assert "WordNet" in (DATA / "WORDNET_LICENSE").read_text(encoding="utf-8")


def test_downstream_drawings_are_of_styles_that_pre_training_never_saw() -> None:
    seen = packages.COLOUR_STYLES | packages.OUTLINE_STYLES
    assert not set(packages.HELD_OUT_STYLES) & set(seen)
    for entry in json.loads((DATA / "datasets.json").read_text(encoding="utf-8")).values():
        assert {source.split("/")[0] for source in entry["sources"]} == set(packages.HELD_OUT_STYLES)
