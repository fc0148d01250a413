"""What WordNet makes of a class name: the whole, its head, or nothing."""

from __future__ import annotations

import pytest

from sar_reg.novel.wordnet.loading import load_wordnet
from sar_reg.novel.wordnet.lookup import look_up, tokens


@pytest.mark.parametrize(
    ("name", "word", "whole"),
    [
        ("2012 Acura RL Sedan", "sedan", False), ("Apply_Eye_Makeup", "makeup", False), ("tabby_cat", "tabby", True),
        ("indoor church", "church", False), ("Annual Crop Land", "land", False), ("pink primrose", "primrose", False),
        ("Skate_Boarding", "skateboarding", True), ("bridge at night", "bridge", False), ("HotDog", "hot dog", True),
        ("Potato___Late_blight", "late blight", False), ("crane (bird)", "crane", True),
        ("lawn-mower", "lawn mower", True),
    ],
)  # fmt: skip
def test_the_whole_name_or_its_head_is_found(name: str, word: str, whole: bool) -> None:
    wordnet = load_wordnet()
    found = look_up(wordnet, name)
    assert found[0].whole == whole
    assert any(word in {s.word.lower() for s in wordnet.senses[r.synset]} for r in found)
    assert sum(r.share for r in found) <= (1.0 if whole else 0.1) + 1e-9


@pytest.mark.parametrize(
    "name", ["A", "x", "7", "737-300", "M3x8 pan head", "iPhone 12 mini X2", "", "_", "Zorblax"]
)
def test_letters_codes_and_unknown_words_mean_nothing(name: str) -> None:
    assert look_up(load_wordnet(), name) == []


def test_plurals_are_known_as_such() -> None:
    wordnet = load_wordnet()
    assert all(r.plural for r in look_up(wordnet, "border collies"))
    assert all(r.plural for r in look_up(wordnet, "wolves"))
    assert not any(r.plural for r in look_up(wordnet, "glass"))


def test_tokens_of_camel_case_and_separators() -> None:
    assert tokens("BalanceBeam") == ["Balance", "Beam"]
    assert tokens("Hammer_Throw (field)") == ["Hammer", "Throw", "field"]
