"""What a bank says about its words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import sar_reg
from sar_reg.errors import InputError
from sar_reg.novel import Oracle, WordList

NAMES = ("tabby cat", "A310", "lynx", "Pugs", "Airbus A320", "beagle", "hot-dog")
PROVENANCE = {
    "source": "llm",
    "model": "gpt-4o",
    "outcome": {
        "asked": 5, "kept": 5, "dropped": {"duplicate": 3, "excluded": 2, "empty": 0}, "last": "2026-11-24T10:00:00Z",
    },
}  # fmt: skip


@pytest.fixture
def bank() -> sar_reg.AnchorBank:
    angles = torch.tensor([0.0, 1.5, 0.1, 0.2, 1.4, 0.3, 0.9])
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    return sar_reg.AnchorBank(NAMES, 2, rows, 0.01, ("a {}.",), "f", PROVENANCE)


def test_overlap_tells_same_names_from_other_spellings(bank: sar_reg.AnchorBank) -> None:
    overlap = bank.overlap(["BEAGLE", "pug", "the hotdog", "A320", "persian cat"])
    assert overlap.exact == ("beagle",)
    assert overlap.other_spelling == (("Pugs", "pug"), ("Airbus A320", "A320"), ("hot-dog", "the hotdog"))
    assert (overlap.new_classes, overlap.similar) == (5, ())
    assert str(overlap).splitlines()[:3] == [
        "Overlap with 5 new classes: 1 the same, 3 in another spelling",
        "  beagle",
        "  Pugs ~ pug",
    ]


def test_overlap_by_features_lists_the_closest_first(bank: sar_reg.AnchorBank) -> None:
    features = torch.tensor([[5.0, 0.5], [0.85, 5.0]])
    overlap = bank.overlap(["bobcat", "jet"], features, threshold=0.99)
    assert [pair[0] for pair in overlap.similar] == ["lynx", "Airbus A320", "Pugs"]
    assert [pair[1] for pair in overlap.similar] == ["bobcat", "jet", "bobcat"]
    assert overlap.similar[0][2] == pytest.approx(1.0, abs=1e-4)
    assert "  lynx ~ bobcat (cosine 1.000)" in str(overlap)
    with pytest.raises(
        InputError, match=re.escape("features must have shape (3, 2), a row for each new class")
    ):
        bank.overlap(["a", "b", "c"], features)


def test_report_says_where_the_names_come_from_and_what_they_are_close_to(bank: sar_reg.AnchorBank) -> None:
    report = bank.report(["pug"], sample=9)
    assert report.nearest[0][:2] == ("lynx", "tabby cat")
    assert ("Airbus A320", "A310") in [pair[:2] for pair in report.nearest]
    assert len(report.nearest) == 5
    lines = str(report).splitlines()
    assert lines[:5] == [
        "2 base and 5 novel classes",
        "Novel classes from: llm gpt-4o, 2026-11-24T10:00:00Z",
        "  asked 5, kept 5, dropped 5",
        "  dropped: 3 duplicate, 2 excluded",
        "Nearest base class of 5 novel classes, by cosine of the text features:",
    ]
    assert lines[5].split() == ["lynx", "tabby", "cat", "0.995"]
    assert lines[-2:] == ["Overlap with 1 new class: 0 the same, 1 in another spelling", "  Pugs ~ pug"]
    assert max(map(len, lines)) <= 80
    assert json.loads(json.dumps(report.as_dict()))["overlap"]["other_spelling"] == [["Pugs", "pug"]]


def test_one_class_is_not_called_classes() -> None:
    bank = sar_reg.AnchorBank(("cat", "dog"), 1, torch.eye(2), 0.01, ("a {}.",))
    assert repr(bank) == "AnchorBank(1 base + 1 novel class, width 2, 1 template, temperature 0.01)"
    lines = str(bank.report(["dog"])).splitlines()
    assert lines[0] == "1 base and 1 novel class"
    assert lines[2].startswith("Nearest base class of 1 novel class, ")
    assert lines[-2] == "Overlap with 1 new class: 1 the same, 0 in another spelling"


def test_the_sample_depends_on_the_seed_and_can_be_empty(bank: sar_reg.AnchorBank) -> None:
    assert bank.report(sample=2, seed=1).nearest == bank.report(sample=2, seed=1).nearest
    assert len({bank.report(sample=2, seed=seed).nearest for seed in range(8)}) > 1
    assert bank.report(sample=0).nearest == ()
    assert bank.report().overlap is None
    base_only = sar_reg.AnchorBank(NAMES[:2], 2, bank.embeddings[:2], 0.01)
    assert str(base_only.report()) == "2 base and 0 novel classes\nNovel classes from: unknown"


def test_the_oracle_is_marked(bank: sar_reg.AnchorBank) -> None:
    marked = sar_reg.AnchorBank(
        NAMES, 2, bank.embeddings, 0.01, provenance={"source": "oracle", "looks_at_test_classes": True}
    )
    assert "  MADE FROM THE TEST CLASSES: an upper reference, not a result" in str(marked.report())


def test_how_many_names_are_of_the_kind_of_the_base_classes(bank: sar_reg.AnchorBank) -> None:
    result = {"asked": 5, "kept": 5, "dropped": {}, "kind": "feline", "of_that_kind": 2}
    told = sar_reg.AnchorBank(
        NAMES, 2, bank.embeddings, 0.01, provenance={"source": "wordnet", "outcome": result}
    )
    assert '  kinds of "feline", as the base classes are: 2' in str(told.report()).splitlines()


def test_a_list_keeps_the_origin_that_its_file_tells(bank: sar_reg.AnchorBank, tmp_path: Path) -> None:
    path = tmp_path / "novel.json"
    path.write_text(json.dumps({"names": ["lynx", "puma"], "source": PROVENANCE}))
    words = WordList(path)
    assert words.describe()["origin"] == PROVENANCE
    listed = sar_reg.AnchorBank(
        NAMES, 2, bank.embeddings, 0.01, provenance=words.generate(["cat"], 2).provenance
    )
    assert str(listed.report()).splitlines()[1:4] == [
        "Novel classes from: word list novel.json",
        "  the list was made by: llm gpt-4o, 2026-11-24T10:00:00Z",
        "  asked 2, kept 2, dropped 0",
    ]


def test_the_oracles_mark_stays_on_a_list_made_from_it(tmp_path: Path) -> None:
    path = tmp_path / "novel.json"
    path.write_text(json.dumps({"names": ["lynx"], "provenance": Oracle(["lynx"]).describe()}))
    assert WordList(path).describe()["looks_at_test_classes"] is True
    assert "looks_at_test_classes" not in WordList(["lynx"]).describe()
