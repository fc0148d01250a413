"""Reading a WNDB folder, and the compact form that the package ships."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from sar_reg.errors import InputError
from sar_reg.novel.wordnet.graph import ADJECTIVE, INSTANCE, NOUN, OFFENSIVE, UNFIT, WordNet
from sar_reg.novel.wordnet.loading import unpack
from sar_reg.novel.wordnet.wndb import read_wndb
from scripts.build_wordnet import DATA, pack
from tests.novel.wordnet.tiny_wndb import BREEDS, ENTRIES, write_wndb


def opener(folder: Path) -> Callable[[str], IO[bytes]]:
    return lambda name: (folder / name).open("rb")


@pytest.fixture
def small(tmp_path: Path) -> WordNet:
    return read_wndb(opener(write_wndb(tmp_path)))


def synset(wordnet: WordNet, word: str) -> int:
    return wordnet.index[word][0]


def test_words_counts_topics_and_version(small: WordNet) -> None:
    dog = synset(small, "dog")
    assert small.version == "9.9"
    assert len(small) == len(ENTRIES)
    assert [(s.word, s.count, s.rank) for s in small.senses[dog]] == [("dog", 42, 1), ("domestic dog", 0, 1)]
    assert (small.topic[dog], small.kind[dog]) == (5, NOUN)
    assert small.kind[synset(small, "dotted")] == ADJECTIVE


def test_parents_children_and_sizes(small: WordNet) -> None:
    thing, dog, pug = (synset(small, word) for word in ("thing", "dog", "pug"))
    assert small.ancestors(pug) == {pug: 0, dog: 1, thing: 2}
    assert small.above[pug] == (pug, dog, thing)
    assert list(small.sizes[:, dog]) == [5 + len(BREEDS), 6 + len(BREEDS)]  # rex is a proper noun
    assert small.below(dog) >= {pug, synset(small, "collie"), synset(small, "rex")}


def test_a_satellite_adjective_hangs_below_its_head_and_not_the_other_way(small: WordNet) -> None:
    spotted, dotted = synset(small, "spotted"), synset(small, "dotted")
    assert small.parents[dotted] == (spotted,)
    assert small.parents[spotted] == ()
    assert small.links[spotted] == (synset(small, "thing"),)


def test_flags_for_proper_nouns_slang_and_offence(small: WordNet) -> None:
    flags = {word: small.flags[synset(small, word)] for word in ("dog", "rex", "pooch", "cur")}
    assert flags == {"dog": 0, "rex": INSTANCE, "pooch": UNFIT, "cur": OFFENSIVE}


def test_mentions_in_definitions_and_uses_as_verb(small: WordNet) -> None:
    assert small.mentions["dog"] == 6  # "the dog barked", "a small dog", ..., and "dogs" once
    assert small.elsewhere["dog"] == 7


def test_siblings_with_one_definition_are_linked(small: WordNet) -> None:
    pug, collie = synset(small, "pug"), synset(small, "collie")
    assert small.links[pug] == small.links[collie] == ()
    breeds = {synset(small, name) for name in BREEDS}
    assert all(small.links[breed] and breeds.issuperset(small.links[breed]) for breed in breeds)


def test_the_compact_form_keeps_everything(small: WordNet) -> None:
    packed = unpack(pack(small))
    assert (packed.version, len(packed)) == (small.version, len(small))
    for field in ("kind", "topic", "flags", "senses", "parents", "links"):
        assert getattr(packed, field) == getattr(small, field), field
    assert packed.mentions == {word: count for word, count in small.mentions.items() if word in small.index}
    assert packed.elsewhere == {word: count for word, count in small.elsewhere.items() if word in small.index}


def test_the_packaged_file_is_what_packing_makes() -> None:
    packaged = DATA.joinpath("wordnet.json.gz").read_bytes()
    # the compressed bytes depend on the version of zlib
    assert gzip.decompress(pack(unpack(packaged))) == gzip.decompress(packaged)


def test_packing_is_reproducible(small: WordNet) -> None:
    assert pack(small) == pack(small)


@pytest.mark.parametrize("missing", ["data.noun", "data.adj", "index.sense"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (write_wndb(tmp_path) / missing).unlink()
    with pytest.raises(InputError, match=f"cannot read WordNet.*{missing}.*in WNDB format"):
        read_wndb(opener(tmp_path))


def test_a_file_in_another_format_is_refused(tmp_path: Path) -> None:
    (write_wndb(tmp_path) / "data.noun").write_text("dog\tan animal\n")
    with pytest.raises(InputError, match="cannot read WordNet"):
        read_wndb(opener(tmp_path))
