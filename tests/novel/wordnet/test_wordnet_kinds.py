"""Names of the kind of the list come first, and nothing odious among them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from sar_reg.errors import InputError
from sar_reg.novel.source import NovelClassesError
from sar_reg.novel.wordnet.classes import WordNetClasses, load_wordnet
from sar_reg.novel.wordnet.related_words import Words, left_out
from tests import ROOT
from tests.novel.wordnet.kin import related, share_below

DOCS = ROOT / "docs"
NOVEL = ROOT / "examples" / "protocol" / "data" / "novel"
INSTRUMENTS = ["violin", "trumpet", "snare drum", "clarinet", "grand piano", "harp", "accordion", "banjo"]


READ = json.loads((Path(__file__).parent / "read_lists.json").read_text(encoding="utf-8"))
OWN = {**READ["own"], **READ["unseen"]}
SUBJECTS = {
    "oxford_pets": "pets", "dtd": "textures", "fgvc_aircraft": "aircraft", "sun397": "scenes", "ucf101": "actions",
    "food101": "food", "eurosat": "satellite", "oxford_flowers": "flowers", "stanford_cars": "cars",
}  # fmt: skip


def shares_on_the_page() -> str:
    page = (DOCS / "choosing-words.md").read_text(encoding="utf-8")
    return page.partition("Names that did not fit")[2].partition("For pets")[0]


def split(names: str) -> list[str]:
    return names.split(", ") if names else []


@pytest.mark.parametrize("kind", OWN)
def test_lists_that_were_read_are_those_that_are_made_and_their_shares_those_in_the_docs(kind: str) -> None:
    base, names, unfit = (split(OWN[kind][key]) for key in ("base", "names", "unfit"))
    # rounding may swap neighbours in the order
    assert len(set(related(base, 100)) & set(names)) >= 97
    assert set(unfit) <= set(names)
    assert f" {kind} {len(unfit)} %" in shares_on_the_page()


@pytest.mark.parametrize("key", SUBJECTS)
def test_shares_of_the_committed_lists_are_those_in_the_docs(key: str) -> None:
    names = json.loads((NOVEL / f"{key}.wordnet-related.json").read_text(encoding="utf-8"))["names"]
    unfit = split(READ["paper"][key])
    assert set(unfit) <= set(names)
    assert len(set(unfit)) == len(unfit)
    assert len(unfit) <= 0.1 * len(names) == 20
    assert f" {SUBJECTS[key]} {100 * len(unfit) / len(names):g} %" in shares_on_the_page()


@pytest.mark.parametrize("kind", READ["dropped"])
def test_shares_with_what_was_set_aside_after_reading_are_told_where_they_are_above_a_tenth(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = set(split(READ["dropped"][kind]))
    kept = dataclasses.replace(left_out(), set_aside=left_out().set_aside - dropped)
    monkeypatch.setattr("sar_reg.novel.wordnet.classes.left_out", lambda: kept)
    if kind == "actions":
        names = (NOVEL.parent / "classnames" / "ucf101.txt").read_text(encoding="utf-8").splitlines()
        half = -(-len(names) // 2)
        made, unfit = related(names[:half], 200, exclude=names[half:], seed=1), READ["paper"]["ucf101"]
    else:
        made, unfit = related(split(READ["own"][kind]["base"]), 100), READ["own"][kind]["unfit"]
    written = {name.lower().replace("_", " ") for name in made}
    assert dropped <= written
    count = len(dropped) + len(set(split(unfit)) & set(made))
    page = " ".join((DOCS / "choosing-words.md").read_text(encoding="utf-8").split())
    told = page.partition("after reading these same lists, ")[2].partition(". For pets")[0]
    share = f"{100 * count / len(made):g} %"
    told_of = f"{kind} {share}" in told or f"{kind} would be at {share}" in told
    assert told_of == (count > 0.1 * len(made))


def test_shares_of_the_first_names_are_those_in_the_docs() -> None:
    for group, line in (("own", "the tuned lists"), ("unseen", "the others")):
        first = [
            name in split(row["unfit"]) for row in READ[group].values() for name in split(row["names"])[:40]
        ]
        assert (
            f"| {line}, their first 40 names | 40 | {100 * sum(first) / len(first):.0f} % on average |"
            in (shares_on_the_page())
        )
    assert max(len(split(row["unfit"])) for row in READ["own"].values()) <= 10


def test_names_of_the_kind_of_the_list_come_first_and_what_is_beyond_them_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = WordNetClasses()
    few = source.generate(INSTRUMENTS, 100)
    assert share_below(few, "musical instrument") == 1
    assert few.provenance["outcome"]["of_that_kind"] == 100
    assert not caplog.messages

    counts = set[int]()
    for n in (160, 250):
        many = source.generate(INSTRUMENTS, n)
        count = many.provenance["outcome"]["of_that_kind"]
        assert share_below(many[:count], "musical instrument") == 1
        assert f'WordNet has {count} names for further kinds of "musical instrument"' in caplog.messages[-1]
        assert f"the other {n - count} of the {n} novel classes" in caplog.messages[-1]
        counts.add(count)
    assert len(counts) == 1
    assert len(caplog.messages) == 2


def test_the_kind_is_wide_enough_for_the_names_that_are_wanted() -> None:
    assert share_below(related(["beagle"], 20), "dog") == 1
    assert share_below(related(["apple", "pear", "quince"], 60), "edible fruit") == 1
    # 29 kinds of pome in WordNet, cultivars of apple and pear
    assert "strawberry" in related(["apple", "pear", "quince"], 60)


def test_rare_words_and_then_capitalised_ones_of_the_kind_come_before_neighbours() -> None:
    words = Words(load_wordnet())
    names = related(["beagle", "pug"], 110)
    assert share_below(names, "dog") == 1
    good = [words.commonness(name) for name in names]
    assert sum(good[:25]) > 2 * sum(good[25:50])
    # kinds of hunting dog run out, kinds of dog do not
    assert share_below(related(["beagle"], 120), "dog") == 1
    excluded = related(["beagle"], 70)
    assert share_below(related(["beagle"], 60, exclude=excluded), "dog") == 1
    capitalised = related(["beagle", "pug"], 130)
    assert capitalised.index("golden retriever") < capitalised.index("weimaraner")


def test_one_cat_among_dogs_gives_cats_too() -> None:
    cats = share_below(related(["beagle", "pug", "collie", "boxer", "tabby cat"], 40), "domestic cat")
    assert cats >= 3 / 40


def test_lists_of_many_kinds_name_none() -> None:
    found = WordNetClasses().generate(["violin", "oak", "beagle", "truck"], 20)
    assert "kind" not in found.provenance["outcome"]


def test_diseases_are_proposed_for_lists_of_diseases_alone() -> None:
    assert (
        share_below(related(["pneumonia", "asthma", "tuberculosis", "bronchitis", "pleurisy"], 60), "disease")
        == 1
    )
    assert share_below(related(["nurse", "doctor", "hospital", "pneumonia"], 60), "disease") == 0
    # known are two of five
    assert share_below(related(["pneumonia", "asthma", "Zorblax", "Quuxel", "Fnord"], 20), "disease") == 0


@pytest.mark.parametrize(
    "names",
    [
        ["frenchman", "german"],
        ["chinese", "indian", "mexican", "thai", "italian", "japanese"],
        ["American", "Mexican", "Canadian", "Brazilian", "Cuban"],
        ["Zeus", "Apollo", "Hera"],
        ["nun"],
    ],
)
def test_peoples_and_gods_are_not_proposed(names: list[str]) -> None:
    with pytest.raises(NovelClassesError, match="no word for these base classes' kin that may be proposed"):
        related(names, 3)


@pytest.mark.parametrize("names", [["mushroom"], ["dinosaur"], ["cat"]])
def test_scientific_names_are_not_proposed(names: list[str]) -> None:
    found = related(names, 60)
    latin = {"entoloma aprile", "cortinarius atkinsonianus", "mononychus olecranus", "smiledon californicus"}
    assert not latin & set(found)
    assert not any(name.startswith("genus ") for name in found)


@pytest.mark.parametrize(
    ("names", "never"),
    [
        (["man", "woman", "child", "baby"], {"ponce", "eunuch", "stud", "brachycephalic", "shop girl"}),
        (["happy"], {"lascivious", "sexy"}),
        (["boy"], {"catamite", "sod", "ejaculator"}),
        (["blood", "sweat", "tears"], {"cum"}),
        (["heart", "kidney"], {"phallus", "button"}),
        (["doll", "teddy", "kite", "yo-yo"], {"golliwog"}),
        (["woman"], {"comfort woman", "concubine", "hag", "prostitute"}),
        (["fool"], {"white supremacist", "subnormal"}),
        (["blind person"], {"cripple"}),
        (["gorilla", "chimpanzee", "orangutan"], {"human race", "modern man", "human being"}),
    ],
)
def test_harmless_lists_give_nothing_odious(names: list[str], never: set[str]) -> None:
    assert not never & set(related(names, 60))


def test_tops_of_wordnets_trees_have_kin() -> None:
    assert "pasta" in related(["italian food", "thai food", "indian food"], 20)
    assert len(related(["standing person", "sitting person", "lying person"], 20)) == 20


@pytest.mark.parametrize("domain", ["Aircraft", " aircraft", "aircraft"])
def test_a_domain_is_found_as_people_write_it(domain: str) -> None:
    assert "Helicopter" in WordNetClasses(domain=domain).generate(["Zorblax"], 10)


def test_what_is_no_list_no_number_and_no_domain_is_refused() -> None:
    for base in ("beagle", [], None):
        with pytest.raises(InputError, match="base_classes must be a list of at least one class name"):
            related(base, 5)  # pyright: ignore[reportArgumentType]
    for n in (-1, 2.5, True):
        with pytest.raises(InputError, match="n must be 0 or more, an int"):
            related(["beagle"], n)  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputError, match="n must be 0 or more, an int"):
            WordNetClasses("random").generate(["beagle"], n)  # pyright: ignore[reportArgumentType]
    for names in (["Zorblax"], ["beagle"]):
        with pytest.raises(InputError, match='does not know the domain "breeds of cats and dogs"'):
            WordNetClasses(domain="breeds of cats and dogs").generate(names, 5)


def test_a_class_that_comes_twice_counts_once() -> None:
    assert share_below(related(3 * ["pneumonia"], 20), "disease") == 1


def test_words_that_say_something_else_and_general_ones_come_last_and_ambiguous_ones_are_spelled_out() -> (
    None
):
    birds = ["robin", "magpie", "kestrel", "heron", "puffin", "woodpecker", "ostrich", "flamingo"]
    names = related(birds, 250)
    assert share_below(names, "bird") == 1
    assert "mew gull" in names
    assert not {"mew", "hobby", "oceanic bird", "coastal diving bird"} & set(names)
    everything = WordNetClasses(allow_fewer=True).generate(birds, 1000)
    assert {"hobby", "oceanic bird", "coastal diving bird"} <= set(everything)


def test_the_kind_may_be_that_of_most_if_the_others_have_one_of_their_own() -> None:
    source = WordNetClasses()
    names = source.generate(
        ["jacket", "skirt", "sweater", "jeans", "scarf", "raincoat", "sandal", "glove"], 60
    )
    assert share_below(names, "garment") > 0.6
    assert {"moccasin", "gym shoe", "walking shoe", "wing tip"} & set(names)
    assert not {"bandage", "bedspread", "sleeve"} & set(names)
    # an oak is no dog and says only that it is a tree: names of dogs alone would forget it
    found = source.generate(["beagle", "pug", "collie", "boxer", "oak"], 40)
    assert "kind" not in found.provenance["outcome"]


def test_misread_names_have_no_say_in_the_kind() -> None:
    # WordNet reads the last two as adjectives for peoples
    source = WordNetClasses()
    names = source.generate(
        ["beagle", "pug", "abyssinian", "boxer", "egyptian mau", "german shorthaired"], 40
    )
    assert names.provenance["outcome"]["kind"] == "domestic animal"
    assert share_below(names, "domestic animal") == 1


def test_diseases_of_plants_are_proposed_for_lists_of_these_alone() -> None:
    # WordNet has "black rot" whole; by its parts all three would be putrefaction
    rots = {"brown rot", "root rot", "black spot", "powdery mildew", "leaf blight"}
    lungs = [
        "pneumonia",
        "asthma",
        "tuberculosis",
        "emphysema",
        "bronchitis",
        "influenza",
        "lung cancer",
        "pleurisy",
    ]
    assert not rots & set(related(lungs, 150))
    assert rots & set(related(["black rot", "late blight", "ring rot"], 15))


def test_rooms_are_proposed_only_where_several_are_listed() -> None:
    # WordNet's first library is a room
    buildings = ["church", "castle", "lighthouse", "barn", "skyscraper", "library", "stadium", "windmill"]
    assert not {"living room", "waiting room", "classroom", "ballroom"} & set(related(buildings, 100))
