"""Base lists that were fixed before the source was written: their names fit, or the log says that they need not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sar_reg.novel.wordnet.wordnet_classes import WordNetClasses
from tests import ROOT

CASES = json.loads((Path(__file__).parent / "fixed_lists.json").read_text(encoding="utf-8"))
READ: dict[str, dict[str, str]] = CASES["read"]


def test_there_are_fifteen_and_wordnet_does_not_know_five() -> None:
    assert len(CASES["lists"]) == 15
    assert len(CASES["lists"]) - len(READ) >= 5


@pytest.mark.parametrize("title", CASES["lists"])
def test_names_fit_or_the_log_says_why_not(title: str, caplog: pytest.LogCaptureFixture) -> None:
    found = WordNetClasses().generate(CASES["lists"][title], 100, seed=1)
    outcome = found.provenance["outcome"]
    if title not in READ:
        assert outcome["kind"] is None
        assert outcome["at_random"] == len(found) == 100
        assert (
            "it has no kind for most of them; the 100 novel classes are common nouns at random" in caplog.text
        )
        return
    names, unfit = (READ[title][key].split(", ") for key in ("names", "unfit"))
    assert list(found[: outcome["of_that_kind"]]) == names
    assert set(unfit) <= set(names)
    assert len(unfit) <= 0.15 * len(names)
    rest = 100 - len(names)
    assert (f"it has {len(names)} further members of {outcome['kind']}" in caplog.text) == (rest > 10)
    assert bool(caplog.text) == (rest > 10)


def test_the_shares_are_those_in_the_docs() -> None:
    page = (ROOT / "docs" / "choosing-words.md").read_text(encoding="utf-8")
    titles = {"breeds of dogs, plural": "breeds of dogs", "CIFAR-100, first half": "first half of CIFAR-100"}
    for title, read in READ.items():
        names, unfit = (len(read[key].split(", ")) for key in ("names", "unfit"))
        assert f"| {titles.get(title, title)} | {names}, {100 * unfit / names:.0f} %" in page
