"""Reading WordNet, and what it makes of a class name: the whole, its head, or nothing."""

from __future__ import annotations

import hashlib
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from threading import Barrier

import pytest

from sar_reg.errors import InputError, MissingExtraError
from sar_reg.novel.wordnet import loading
from sar_reg.novel.wordnet.graph import INSTANCE
from sar_reg.novel.wordnet.loading import load_wordnet
from sar_reg.novel.wordnet.lookup import look_up, tokens
from sar_reg.novel.wordnet.naming import blocklist
from sar_reg.novel.wordnet.wordnet_classes import WordNetClasses
from tests.novel.wordnet.tiny_wndb import write_wndb


@pytest.fixture
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_loaded", {})


@pytest.mark.usefixtures("nothing_loaded")
def test_eight_threads_read_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wndb(tmp_path)
    reads: list[str | None] = []
    read = loading._read

    def counted(root: str | None) -> object:
        reads.append(root)
        return read(root)

    monkeypatch.setattr(loading, "_read", counted)
    barrier = Barrier(8)

    def load(_: int) -> int:
        barrier.wait()
        return id(load_wordnet(tmp_path))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(load, range(8)))) == 1
    assert reads == [str(tmp_path)]


def test_threads_name_the_same_classes() -> None:
    source = WordNetClasses()
    with ThreadPoolExecutor(4) as pool:
        lists = list(pool.map(lambda _: source.generate(["beagle", "pug"], 20, seed=1), range(4)))
    assert all(names == lists[0] for names in lists)


@pytest.mark.usefixtures("nothing_loaded")
def test_a_folder_of_the_user_is_read(tmp_path: Path) -> None:
    source = WordNetClasses(wordnet_root=write_wndb(tmp_path / "dict"))
    found = source.generate(["pug"], 3)
    assert {name.split()[-1] for name in found} <= {"collie", "hound", "spitz", "setter", "terrier"}
    assert found.provenance["outcome"]["kind"] == "dog"
    assert source.describe()["wordnet"] == "9.9 (dict)"
    with pytest.raises(InputError, match="cannot read WordNet"):
        load_wordnet(tmp_path / "nowhere")


@pytest.mark.usefixtures("nothing_loaded")
@pytest.mark.parametrize("packed", [False, True])
def test_the_corpus_of_nltk_is_read(tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    nltk_data = pytest.importorskip("nltk.data")
    monkeypatch.setattr(nltk_data, "path", [str(tmp_path)])
    with pytest.raises(
        InputError, match=r"nltk finds no WordNet corpus. Run `python -m nltk.downloader wordnet`"
    ):
        load_wordnet("nltk")
    folder = write_wndb(tmp_path / "corpora" / "wordnet")
    if packed:
        shutil.make_archive(str(folder), "zip", folder.parent, "wordnet")
        shutil.rmtree(folder)
    assert load_wordnet("nltk").index["pug"]


@pytest.mark.usefixtures("nothing_loaded")
def test_without_nltk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk.data", None)
    with pytest.raises(MissingExtraError, match=r'pip install "\.\[wordnet\]" in a clone'):
        load_wordnet("nltk")


def test_what_the_package_ships_is_small_and_carries_its_licence() -> None:
    data = resources.files("sar_reg.novel").joinpath("data")
    sizes = {entry.name: len(entry.read_bytes()) for entry in data.iterdir()}
    assert sum(sizes.values()) < 1_500_000
    licence = data.joinpath("WORDNET_LICENSE.txt").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in licence
    assert "without fee or" in licence


def test_the_packaged_wordnet_is_whole() -> None:
    wordnet = load_wordnet()
    assert wordnet.version == "3.0"
    assert len(wordnet) > 90_000
    beagle = wordnet.index["beagle"][0]
    assert {"dog", "mammal", "entity"} <= {wordnet.senses[a][0].word for a in wordnet.ancestors(beagle)}
    assert all(wordnet.flags[synset] & INSTANCE for synset in wordnet.index["france"])


def test_describe_and_repr_say_what_names_depend_on() -> None:
    source = WordNetClasses("random", domain="dog")
    assert repr(source) == (
        "WordNetClasses(strategy='random', wordnet_root=None, domain='dog', filtering='strict', allow_fewer=False)"
    )
    assert source.describe() == {
        "source": "wordnet", "strategy": "random", "domain": "dog", "wordnet": "3.0 (packaged)",
        "blocklist": blocklist()["digest"], "filtering": "strict",
    }  # fmt: skip
    outcome = {
        "asked": 3,
        "kept": 3,
        "dropped": {},
        "kind": None,
        "of_that_kind": 0,
        "at_random": 3,
        "found": 1,
    }
    assert source.generate(["pug"], 3).provenance == {**source.describe(), "outcome": outcome}


def test_the_digest_is_that_of_both_lists() -> None:
    folder = resources.files("sar_reg.novel").joinpath("data")
    packaged = b"".join(folder.joinpath(name).read_bytes() for name in ("blocklist.json", "profanity.txt"))
    assert blocklist()["digest"] == hashlib.sha256(packaged).hexdigest()[:12]


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(InputError, match='strategy must be "related" or "random", not \'nouns\''):
        WordNetClasses("nouns")  # pyright: ignore[reportArgumentType]


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
