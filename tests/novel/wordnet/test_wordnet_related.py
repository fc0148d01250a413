"""Related words: of the kinds of the list, in its format, none of them a class, and the same each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sar_reg.errors import InputError
from sar_reg.novel.source import NovelClassesError, NovelNames, NovelSource
from sar_reg.novel.wordnet.graph import OFFENSIVE
from sar_reg.novel.wordnet.loading import load_wordnet
from sar_reg.novel.wordnet.naming import ClassWords, blocklist
from sar_reg.novel.wordnet.wordnet_classes import WordNetClasses
from tests import ROOT

CLASSNAMES = ROOT / "examples" / "protocol" / "data" / "classnames"
INSTRUMENTS = ["violin", "trumpet", "snare drum", "clarinet", "grand piano", "harp", "accordion", "banjo"]


def base(key: str) -> list[str]:
    names = (CLASSNAMES / f"{key}.txt").read_text(encoding="utf-8").splitlines()
    return names[: -(-len(names) // 2)]


def related(names: Sequence[str], n: int = 40, **options: object) -> NovelNames:
    return WordNetClasses().generate(names, n, **options)  # pyright: ignore[reportArgumentType]


def share_below(names: Sequence[str], word: str) -> float:
    wordnet = load_wordnet()
    kin = wordnet.below(wordnet.index[word][0])
    return sum(any(s in kin for s in wordnet.index[name.lower()]) for name in names) / len(names)


def test_it_is_a_source() -> None:
    assert isinstance(WordNetClasses(), NovelSource)


def test_cats_and_dogs_give_cats_and_dogs() -> None:
    found = related(["beagle", "tabby cat", "pug", "siamese cat"], 30)
    assert share_below(found, "domestic animal") == 1
    assert share_below(found, "domestic cat") > 0
    assert found.provenance["outcome"] == {
        "asked": 30, "kept": 30, "dropped": {"excluded": 1}, "kind": "domestic animal", "of_that_kind": 30,
        "at_random": 0, "found": 4,
    }  # fmt: skip


def test_several_kinds_get_names_in_proportion() -> None:
    names = ["lion", "wolf", "zebra", "otter", "camel", "squirrel", "sofa", "armchair", "bookcase"]
    found = related(names, 60)
    assert found.provenance["outcome"]["kind"] == "placental, furniture"
    assert share_below(found, "furniture") == pytest.approx(1 / 3, abs=0.03)
    assert share_below(found, "placental") == pytest.approx(2 / 3, abs=0.03)


def test_names_are_read_jointly() -> None:
    assert share_below(related(["crane", "heron", "stork", "flamingo"], 20), "bird") == 1
    assert share_below(related(["crane", "bulldozer", "tractor", "excavator"], 10), "bird") == 0


def test_adjectives_are_placed_in_clusters() -> None:
    found = related(["banded", "blotchy", "dotted", "woven", "wrinkled"], 25)
    assert {"striped", "spotted"} <= set(found)
    assert found.provenance["outcome"]["kind"] == "patterned"
    assert related(base("dtd"), 80).provenance["outcome"]["kind"] == "similar adjectives"
    # the meanings of these that WordNet has are in clusters of their own
    moods = related(["happy", "angry", "gloomy", "anxious", "bored"], 15)
    assert moods.provenance["outcome"]["kind"] is None


def test_common_names_come_first() -> None:
    words = ClassWords(load_wordnet())
    good = [words.commonness(name) for name in related(INSTRUMENTS, 60)]
    assert sum(good[:20]) > 1.5 * sum(good[20:40])
    assert sum(good[20:40]) > sum(good[40:60])


def test_what_is_beyond_the_kind_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    few = related(INSTRUMENTS, 60)
    assert share_below(few, "musical instrument") == 1
    assert not caplog.messages
    many = related(INSTRUMENTS, 250)
    count = many.provenance["outcome"]["of_that_kind"]
    assert 60 < count < 200
    assert share_below(many[:count], "musical instrument") == 1
    shown = f"only {count} of {len(many)} names are in the category musical instrument; "
    assert shown in caplog.messages[-1]
    assert "Describe the classes by a domain, use an LLM or a word list" in caplog.messages[-1]


def test_when_fewer_than_half_are_known_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    found = WordNetClasses(domain="dog").generate(["beagle", "Zorblax", "Quuxel"], 20)
    assert share_below(found, "dog") == 1
    assert "WordNet knows 1 of 3 classes: the names are members of dog" in caplog.text


def test_proper_nouns_give_proper_nouns_and_never_common_ones() -> None:
    found = related(["France", "Germany", "Turkey", "Chad", "Jordan", "China"], 40)
    assert {"Italy", "Spain"} <= set(found)
    assert not {"turkey", "china"} & {name.lower() for name in found}
    assert all(name[0].isupper() for name in found)


@pytest.mark.parametrize(
    "names",
    [
        ["A", "B", "C", "D"],
        ["1", "2", "3"],
        ["737-300", "A310", "MD-11"],
        ["Zorblax", "Quuxel"],
        ["M4x10 nut"],
    ],
)
def test_letters_codes_and_unknown_words_fall_back(names: list[str]) -> None:
    found = related(names, 20)
    outcome = found.provenance["outcome"]
    assert (outcome["kind"], outcome["found"], outcome["at_random"]) == (None, 0, 20)


def test_the_format_of_the_list_is_kept() -> None:
    assert all(name == name.lower() and " " not in name for name in related(base("oxford_pets")))
    actions = related(base("ucf101"))
    assert any("_" in name for name in actions)
    assert all(word[0].isupper() for name in actions for word in name.split("_"))
    assert all(" " not in name for name in related([name.replace("_", "") for name in base("ucf101")]))


def test_plurals_give_plurals() -> None:
    assert {"poodles", "corgis"} <= set(related(["beagles", "pugs", "border collies"], 60))
    assert {"wolves", "foxes"} & set(related(["lions", "tigers", "bears", "zebras"], 60))
    assert {"cattle", "wild sheep"} <= set(related(["cats", "dogs", "horses", "sheep", "geese", "mice"], 40))
    assert "poodle" in related(["beagle", "pug", "border collie"], 60)


@pytest.mark.parametrize(
    ("names", "never"),
    [
        (["cat", "dog", "cow"], {"domestic cat", "house cat", "domestic dog", "moo-cow", "beagle"}),
        (["mosque", "church", "temple"], {"masjid", "musjid", "church building"}),
        (["smooth newt", "bullfrog", "axolotl"], {"common newt", "newt", "Triturus vulgaris", "red eft"}),
        (["sofa", "armchair", "bookcase"], {"couch", "lounge", "settee"}),
        (["car", "bus", "truck"], {"auto", "automobile", "motorcar", "autobus", "motorbus", "motortruck"}),
    ],
)
def test_no_class_comes_back_in_other_words(names: list[str], never: set[str]) -> None:
    for strategy in ("related", "random"):
        found = WordNetClasses(strategy, allow_fewer=True).generate(names, 6000)
        assert not never & {name.lower() for name in found}


def test_neither_base_nor_excluded_names_nor_their_plurals_come_back() -> None:
    pets = base("oxford_pets")
    free = related(pets, 60)
    left = related(pets, 60, exclude=[free[0] + "s", free[1].replace("_", " ").upper()])
    assert not {free[0], free[1]} & set(left)
    assert not set(pets) & set(free)
    assert len(set(free)) == len(free) == 60


def test_other_words_for_an_excluded_name_are_excluded() -> None:
    buildings = ["church", "castle", "barn", "skyscraper", "library", "stadium"]
    free = related(buildings, 80)
    assert "restaurant" in free
    assert not {"restaurant", "eatery"} & set(related(buildings, 200, exclude=["eating house"]))
    assert not {"mosque", "masjid"} & set(related(buildings, 200, exclude=["Musjid"]))


def test_the_seed_decides() -> None:
    pets = base("oxford_pets")
    assert related(pets, seed=1) == related(pets, seed=1)
    assert related(pets, seed=1) != related(pets, seed=2)


def test_too_many_are_refused_with_those_found(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(
        NovelClassesError,
        match=r"asked for 100000 novel classes, but WordNet has \d+; ask for fewer, pass allow_fewer=True",
    ) as caught:
        related(["beagle", "pug", "collie"], 100_000)
    assert len(caught.value.names) > 1000
    source = WordNetClasses(allow_fewer=True)
    names = source.generate(["beagle", "pug", "collie"], 100_000)
    assert list(names) == caught.value.names
    assert f"WordNet has {len(names)} of the 100000 names that were requested" in caplog.text
    assert source.describe()["allow_fewer"] is True


def test_random_nouns_ignore_the_base_classes() -> None:
    source = WordNetClasses("random")
    names = source.generate(["beagle", "pug"], 200, seed=3)
    assert names == source.generate(["beagle", "pug"], 200, seed=3)
    assert names != source.generate(["beagle", "pug"], 200, seed=4)
    assert len(set(names)) == names.provenance["outcome"]["at_random"] == 200
    assert share_below(names, "animal") < 0.3
    ill = ClassWords(load_wordnet()).not_at_random
    assert not [name for name in names if ill.issuperset(load_wordnet().index[name])]


def test_nothing_odious_is_given() -> None:
    wordnet = load_wordnet()
    slurs = {s.word.lower() for i, f in enumerate(wordnet.flags) if f & OFFENSIVE for s in wordnet.senses[i]}
    assert len(slurs) > 150
    banned = slurs | blocklist()["words"]
    lists = [["teacher", "doctor", "farmer", "king"], ["man", "woman", "child"], ["gorilla", "chimpanzee"],
             ["doll", "kite", "yo-yo"], ["heart", "kidney", "lung"], ["boy", "girl"], ["fool", "genius"]]  # fmt: skip
    for strategy in ("related", "random"):
        for names in lists:
            found = WordNetClasses(strategy, allow_fewer=True).generate(names, 3000)
            parts = {part for name in found for part in (name.lower(), *name.lower().split())}
            assert not parts & banned


@pytest.mark.parametrize(
    ("word", "odious"),
    [("squaw grass", True), ("Gypsy cab", True), ("swastika", True), ("sex kitten", True), ("whores", True),
     ("coon-hunting", True), ("white supremacist", False), ("terrier", False), ("cocker spaniel", False),
     ("grape", False)],
)  # fmt: skip
def test_odious_words_are_found_inside_phrases(word: str, odious: bool) -> None:
    assert ClassWords(load_wordnet()).odious(word) == odious


def test_branches_of_wordnet_are_never_given() -> None:
    words = ClassWords(load_wordnet())
    index = load_wordnet().index
    for name in ("white supremacist", "prostitute", "swastika", "murder", "thumbscrew"):
        assert words.blocked.issuperset(s for s in index.get(name, [])[:1]) or words.odious(name), name


@pytest.mark.parametrize("names", [["mushroom", "toadstool", "truffle"], ["dinosaur", "mammoth"]])
def test_scientific_names_are_not_given(names: list[str]) -> None:
    found = WordNetClasses(allow_fewer=True).generate(names, 400)
    latin = {"entoloma aprile", "cortinarius atkinsonianus", "mononychus olecranus", "smiledon californicus"}
    assert not latin & set(found)
    assert not any(name.startswith("genus ") for name in found)


@pytest.mark.parametrize("domain", ["Aircraft", " aircraft", "aircraft"])
def test_a_domain_steers_where_no_name_is_known(domain: str) -> None:
    found = WordNetClasses(domain=domain).generate(["Zorblax 12", "Quuxel 9"], 10)
    assert share_below([name.lower() for name in found], "aircraft") == 1
    assert found.provenance["outcome"]["kind"] == "aircraft"


def test_what_is_not_a_list_a_number_or_a_domain_is_refused() -> None:
    for names in ("beagle", None, 3, {"beagle": 1}, ["beagle", 3]):
        with pytest.raises(InputError, match="base_classes"):
            related(names, 5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="base_classes must hold at least one class name"):
        related([], 5)
    with pytest.raises(InputError, match="exclude must be a list of class names, not one string"):
        related(["beagle"], 5, exclude="pug")
    for n in (-1, 2.5, True):
        with pytest.raises(InputError, match="n must be an int of 0 or more"):
            related(["beagle"], n)  # pyright: ignore[reportArgumentType]
    for names in (["Zorblax"], ["beagle"]):
        with pytest.raises(
            InputError, match='does not know the domain "breeds of cats and dogs"; pass one noun'
        ):
            WordNetClasses(domain="breeds of cats and dogs").generate(names, 5)
    with pytest.raises(InputError, match="domain must be a noun"):
        WordNetClasses(domain=" ")


def test_a_sentence_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="has 400 words; pass class names of at most 40"):
        related([" ".join(["dog"] * 400)], 5)


def test_a_class_that_comes_twice_does_no_harm() -> None:
    assert share_below(related(3 * ["violin"] + ["harp"], 20), "musical instrument") == 1


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
        assert "it has no category for most of them; used instead: 100 common nouns at random" in caplog.text
        return
    names, unfit = (READ[title][key].split(", ") for key in ("names", "unfit"))
    assert list(found[: outcome["of_that_kind"]]) == names
    assert set(unfit) <= set(names)
    assert len(unfit) <= 0.15 * len(names)
    rest = 100 - len(names)
    assert (f"only {len(names)} of 100 names are in the category {outcome['kind']}" in caplog.text) == (
        rest > 10
    )
    assert bool(caplog.text) == (rest > 10)


def test_the_shares_are_those_in_the_docs() -> None:
    page = (ROOT / "docs" / "choosing-words.md").read_text(encoding="utf-8")
    titles = {"breeds of dogs, plural": "breeds of dogs", "CIFAR-100, first half": "first half of CIFAR-100"}
    for title, read in READ.items():
        names, unfit = (len(read[key].split(", ")) for key in ("names", "unfit"))
        assert f"| {titles.get(title, title)} | {names}, {100 * unfit / names:.0f} %" in page
