"""Related words: of the same kind, in the list's format, clean, and the same each time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sar_reg.errors import InputError
from sar_reg.novel.source import NovelClassesError, NovelSource
from sar_reg.novel.wordnet.classes import WordNetClasses, load_wordnet
from sar_reg.novel.wordnet.graph import OFFENSIVE, TOPICS
from sar_reg.novel.wordnet.related_matching import readings, tokens
from sar_reg.novel.wordnet.related_meaning import understand
from sar_reg.novel.wordnet.related_words import Words, left_out
from tests import ROOT
from tests.novel.wordnet.kin import related

CLASSNAMES = ROOT / "examples" / "protocol" / "data" / "classnames"


def base(key: str) -> list[str]:
    names = (CLASSNAMES / f"{key}.txt").read_text(encoding="utf-8").splitlines()
    return names[: -(-len(names) // 2)]


def share_of_topic(names: Sequence[str], topic: str) -> float:
    wordnet = load_wordnet()
    return sum(
        any(TOPICS[wordnet.topic[s]] == topic for s in wordnet.index.get(name.lower().replace("_", " "), []))
        for name in names
    ) / len(names)


def test_it_is_a_source() -> None:
    assert isinstance(WordNetClasses(), NovelSource)


def test_cats_and_dogs_give_cats_and_dogs() -> None:
    names = related(["beagle", "tabby cat", "pug", "siamese cat"], 30)
    wordnet = load_wordnet()
    kin = wordnet.below(wordnet.index["carnivore"][0])
    assert sum(any(s in kin for s in wordnet.index[name]) for name in names) >= 28
    assert {"collie", "persian cat"} <= set(names)


def test_adjectives_give_adjectives() -> None:
    names = related(["banded", "blotchy", "dotted", "woven", "wrinkled"], 30)
    assert {"striped", "spotted"} <= set(names)
    assert share_of_topic(names, "adj.all") > 0.8


@pytest.mark.parametrize(
    ("key", "topic"),
    [
        ("food101", "noun.food"),
        ("oxford_flowers", "noun.plant"),
        ("sun397", "noun.artifact"),
        ("ucf101", "noun.act"),
    ],
)
def test_names_are_of_the_topic_of_the_list(key: str, topic: str) -> None:
    assert share_of_topic(related(base(key)), topic) > 0.8


def test_the_format_of_the_list_is_kept() -> None:
    assert all(name == name.lower() and " " not in name for name in related(base("oxford_pets")))
    actions = related(base("ucf101"))
    assert "Ice_Hockey" in actions
    assert all(word[0].isupper() for name in actions for word in name.split("_"))
    assert "IceHockey" in related([name.replace("_", "") for name in base("ucf101")])


def test_models_give_makers_of_the_list_with_kinds() -> None:
    cars = related(base("stanford_cars"), 100)
    assert all(name.split()[0].isdigit() for name in cars)
    assert {name.split()[1] for name in cars} <= {name.split()[1] for name in base("stanford_cars")}
    planes = related(base("fgvc_aircraft"), 60)
    assert {"Seaplane", "Airliner", "Boeing Seaplane"} & set(planes)


def test_a_word_that_all_names_share_is_kept() -> None:
    names = related(
        ["angry face", "crying face", "frightened face", "grinning face", "tired face", "bored face"], 15
    )
    assert all(name.endswith(" face") for name in names)
    assert {"happy face", "sad face"} & set(names)


def test_a_domain_helps_where_no_name_is_known() -> None:
    unknown = ["Zorblax 12", "Quuxel 9"]
    with pytest.raises(
        InputError, match=r"WordNet knows none of the 2 base classes.*Say what they are with domain="
    ):
        related(unknown, 5)
    assert {"Guitar", "Violin", "Piano"} & set(
        WordNetClasses(domain="musical instrument").generate(unknown, 60)
    )


def test_neither_base_nor_excluded_names_nor_their_plurals_come_back() -> None:
    pets = base("oxford_pets")
    free = related(pets, 60)
    left = related(pets, 60, exclude=[free[0] + "s", free[1].replace("_", " ").upper()])
    assert not {free[0], free[1]} & set(left)
    assert not set(pets) & set(free)
    assert len(set(free)) == len(free) == 60


def test_the_seed_decides() -> None:
    pets = base("oxford_pets")
    assert related(pets, seed=1) == related(pets, seed=1)
    assert related(pets, seed=1) != related(pets, seed=2)


def test_too_many_are_refused_with_those_found() -> None:
    with pytest.raises(
        NovelClassesError, match="5000 novel classes were asked for, but WordNet has"
    ) as caught:
        related(["beagle", "pug", "collie"], 5000)
    assert len(caught.value.names) > 100


def test_fewer_are_taken_where_that_is_allowed(caplog: pytest.LogCaptureFixture) -> None:
    source = WordNetClasses(allow_fewer=True)
    names = source.generate(["beagle", "pug", "collie"], 5000)
    assert 100 < len(names) < 5000
    assert f"WordNet has {len(names)} of the 5000 names asked for" in caplog.text
    assert source.describe()["allow_fewer"] is True
    with pytest.raises(NovelClassesError):
        source.generate(["nun"], 3)


def test_random_nouns_ignore_the_base_classes() -> None:
    source = WordNetClasses("random")
    names = source.generate(["beagle", "pug"], 200, seed=3)
    assert names == source.generate(["beagle", "pug"], 200, seed=3)
    assert len(set(names)) == 200
    assert share_of_topic(names, "noun.animal") < 0.3
    assert all(name == name.lower() for name in names)


def test_nothing_offensive_is_proposed() -> None:
    wordnet = load_wordnet()
    words = Words(wordnet)
    slurs = {s.word.lower() for i, f in enumerate(wordnet.flags) if f & OFFENSIVE for s in wordnet.senses[i]}
    assert len(slurs) > 150
    assert slurs <= words.banned
    for kind in ("animals", "people"):
        names = {
            "animals": ["donkey", "rooster", "raccoon", "spider"],
            "people": ["teacher", "doctor", "farmer", "king"],
        }
        found = {name.lower() for name in related(names[kind], 150)}
        assert not found & (slurs | left_out().never)


def test_names_are_read_jointly() -> None:
    wordnet = load_wordnet()

    def topic(names: list[str]) -> str:
        read = {u.name: u.reading.synset for u in understand(wordnet, names)}
        return TOPICS[wordnet.topic[read["crane"]]]

    assert topic(["crane", "heron", "stork", "flamingo"]) == "noun.animal"
    assert topic(["crane", "bulldozer", "forklift", "excavator"]) == "noun.artifact"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("2012 Acura RL Sedan", "sedan"), ("Apply_Eye_Makeup", "makeup"), ("indoor church", "church"),
        ("Annual Crop Land", "land"), ("pink primrose", "primrose"), ("Skate_Boarding", "skateboarding"),
        ("737-300", "airplane"), ("Sea or Lake", "lake"), ("bridge at night", "bridge"),
    ],
)  # fmt: skip
def test_the_words_of_a_name_are_found(name: str, word: str) -> None:
    wordnet = load_wordnet()
    likeliest = sorted(readings(wordnet, name), key=lambda r: -r.prior)[:6]
    assert any(word in {s.word.lower() for s in wordnet.senses[r.synset]} for r in likeliest)


def test_tokens_of_camel_case_and_separators() -> None:
    assert tokens("BalanceBeam") == ["Balance", "Beam"]
    assert tokens("Hammer_Throw (field)") == ["Hammer", "Throw", "field"]


def test_textures_stay_on_the_surface() -> None:
    names = set(related(base("dtd"), 200))
    assert {"crinkled", "tweed", "furrowed", "pebble-grained"} <= names
    assert not names & {"chewy", "tough-skinned", "razor-sharp", "baroque", "nylon", "hilly"}


def test_adjectives_of_another_kind_are_not_held_to_surfaces() -> None:
    assert {"sad", "joyful"} & set(related(["happy", "angry", "cheerful", "gloomy", "furious"], 40))


def test_parts_of_buildings_only_where_the_list_has_some() -> None:
    parts = {"attic", "porch", "basement", "veranda", "atrium"}
    seen_from_above = {name.lower() for name in related(base("eurosat"), 200)}
    assert not seen_from_above & parts
    assert not seen_from_above & {"galaxy", "mythology"}
    rooms = ["kitchen", "bedroom", "bathroom", "living room", "attic", "garage", "cellar", "corridor"]
    assert {"dining room", "hall", "den"} <= set(related(rooms, 60))


def test_other_words_for_an_excluded_name_are_excluded() -> None:
    fields = base("eurosat")
    assert "Pasture" in related(fields, 200)
    source = WordNetClasses()
    found = source.generate(fields, 200, exclude=["Pasture Land"])
    assert "Pasture" not in found
    assert found.provenance["outcome"]["dropped"]["excluded"] >= 1


def test_names_set_aside_are_dropped_after_ranking() -> None:
    listed = left_out()
    assert not listed.passes("International Terrorism")
    assert not listed.passes("Swastika")
    assert not listed.passes("has-been")
    assert not listed.passes("squaw grass")
    assert not listed.passes("Gypsy Cab")
    assert listed.passes("terrier")
