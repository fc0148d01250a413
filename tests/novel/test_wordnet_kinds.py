"""Names of the kind of the list come first, and nothing odious among them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sar_reg.errors import InputError
from sar_reg.novel.related_words import Words
from sar_reg.novel.source import NovelClassesError
from sar_reg.novel.wordnet import WordNetClasses, load_wordnet
from tests.novel.kin import related, share_below

DOCS = Path(__file__).parents[2] / "docs"
INSTRUMENTS = ["violin", "trumpet", "snare drum", "clarinet", "grand piano", "harp", "accordion", "banjo"]


READ = json.loads((Path(__file__).parent / "read_lists.json").read_text(encoding="utf-8"))["lists"]


@pytest.mark.parametrize("kind", READ)
def test_lists_that_were_read_are_those_that_are_made_and_their_shares_those_in_the_docs(kind: str) -> None:
    base, names, unfit = (READ[kind][key].split(", ") for key in ("base", "names", "unfit"))
    # rounding may swap neighbours in the order
    assert len(set(related(base, 100)) & set(names)) >= 97
    assert set(unfit) <= set(names)
    page = (DOCS / "choosing-words.md").read_text(encoding="utf-8")
    _, _, shares = page.partition("eight base classes each")
    assert f"{kind} {len(unfit)} %" in " ".join(shares.split())


def test_names_of_the_kind_of_the_list_come_first_and_what_is_beyond_them_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = WordNetClasses()
    few = source.generate(INSTRUMENTS, 100)
    assert share_below(few, "musical instrument") == 1
    assert source.describe()["outcome"]["of_that_kind"] == 100
    assert not caplog.messages

    counts = set[int]()
    for n in (160, 250):
        many = source.generate(INSTRUMENTS, n)
        count = source.describe()["outcome"]["of_that_kind"]
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
    assert names.index("golden retriever") < names.index("samoyed")


def test_one_cat_among_dogs_gives_cats_too() -> None:
    cats = share_below(related(["beagle", "pug", "collie", "boxer", "tabby cat"], 40), "domestic cat")
    assert cats >= 3 / 40


def test_lists_of_many_kinds_name_none() -> None:
    source = WordNetClasses()
    source.generate(["violin", "oak", "beagle", "truck"], 20)
    assert "kind" not in source.describe()["outcome"]


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
