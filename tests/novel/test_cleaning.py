from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_reg.errors import InputError
from sar_reg.novel.cleaning import clean_names, tidy
from sar_reg.novel.same_name import fold


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("1. Siamese", "Siamese"),
        ("12) Siamese", "Siamese"),
        ("(3) Siamese", "Siamese"),
        ("4: Siamese", "Siamese"),
        ("5.Siamese", "Siamese"),
        ("- Siamese", "Siamese"),
        ("•  Siamese", "Siamese"),
        ("* **Siamese**: a cat from Thailand", "Siamese"),
        ("**1. Siamese** – a slender cat", "Siamese"),
        ('"Siamese",', "Siamese"),
        ("“Siamese”", "Siamese"),
        ("`Siamese`", "Siamese"),
        ("Siamese.", "Siamese"),
        ("Maine_Coon", "Maine Coon"),
        ("Maine\n Coon\t", "Maine Coon"),
        ("Ma\u200bine\u00ad Coon\u202e", "Maine Coon"),
        ("Ｍａｉｎｅ Coon", "Maine Coon"),
        ("M\x07aine Coon\x00", "Maine Coon"),
        ("\U0001f63a Maine Coon", "Maine Coon"),
        ("c\u0337a\u0337t", "cat"),
        ("creme bru\u0302le\u0301e", "creme brûlée"),
        ("737\u2212300", "737-300"),
        ("737\u2011300", "737-300"),
        ("737-300", "737-300"),
        ("2012 Tesla Model S", "2012 Tesla Model S"),
        ("3.5 mm jack", "3.5 mm jack"),
        ("St. Bernard", "St. Bernard"),
        ("F-16A/B", "F-16A/B"),
        ("Beagle - a small scent hound", "Beagle"),
        ("", ""),
        ("7.", "7"),
        ("1. 2) - **3: Siamese**", "Siamese"),
    ],
)
def test_tidy_takes_off_what_is_not_the_name(raw: str, expected: str) -> None:
    assert tidy(raw) == expected


def test_each_reason_is_counted_and_keeps_the_name_as_it_came() -> None:
    cleaned = clean_names(
        [
            "Lynx",
            "lynx.",
            "Lynxes",
            "Beagles",
            "beagle",
            "Pugs",
            "***",
            "Here are 50 more:",
            "猫",
            "саt",
            "x" * 90,
        ],
        base=["Beagle"],
        exclude=["pug"],
    )
    assert cleaned.names == ["Lynx"]
    assert cleaned.dropped == {
        "duplicate": ["lynx."],
        "near-duplicate": ["Lynxes"],
        "near a base class": ["Beagles"],
        "base class": ["beagle"],
        "excluded": ["Pugs"],
        "empty": ["***"],
        "not a name": ["Here are 50 more:", "x" * 90],
        "other script": ["猫", "саt"],
    }
    assert cleaned.counts()["not a name"] == 2


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("cat", "cats"),
        ("berry", "berries"),
        ("class", "classes"),
        ("box", "boxes"),
        ("potato", "potatoes"),
        ("running shoe", "running shoes"),
        ("wolf", "the wolves"),
        ("car", "the car"),
        ("wheat field", "field of wheat"),
        ("Audi R8 Coupe 2012", "2012 Audi R8 Coupe"),
        ("hot dog", "hotdog"),
        ("crisscross", "criss-cross"),
        ("creme brulee", "crème brûlée"),
        ("german shepherd", "German Shepherd's"),
        ("A310", "Airbus A310"),
        ("Boeing 717", "717"),
        ("737-300", "Boeing 737−300"),
        ("AnnualCrop", "annual crops"),
    ],
)
def test_strict_drops_other_spellings_and_exact_keeps_them(base: str, name: str) -> None:
    assert clean_names([name], base=[base]).counts() == {"near a base class": 1}
    assert len(clean_names([name], base=[base], filtering="exact").names) == 1
    assert clean_names([name], base=["zebra"], exclude=[base], filtering="exact").counts() == {"excluded": 1}


@pytest.mark.parametrize(
    ("base", "name"),
    [("glass", "glasses case"), ("bus", "bush"), ("Boeing 737-300", "Boeing 737-400"), ("A310", "A3100"),
     ("house cat", "house dog"), ("Ford Focus 2012", "Audi A3 2012")],
)  # fmt: skip
def test_strict_keeps_different_classes(base: str, name: str) -> None:
    assert len(clean_names([name], base=[base]).names) == 1


def test_exact_still_folds_case_and_underscores() -> None:
    cleaned = clean_names(["TABBY_CAT", "tabby  cat", "Tabby"], base=["tabby cat"], filtering="exact")
    assert (cleaned.names, cleaned.counts()) == (["tabby"], {"base class": 2})


def test_names_follow_the_style_of_the_base_classes() -> None:
    assert clean_names(["Crane (bird)", "MOTH"], base=["owl"]).names == ["crane", "moth"]
    assert clean_names(["Crane (bird)"], base=["Mouse (animal)"]).names == ["Crane (bird)"]
    assert clean_names(["Crane (bird)"], base=["Owl"]).names == ["Crane"]
    assert clean_names(["猫"], base=["犬"]).names == ["猫"]
    assert clean_names(["one two three four five six seven eight nine"], base=["a b c d e"]).counts() == {}


def test_unknown_filtering_is_refused() -> None:
    with pytest.raises(InputError, match='filtering must be "strict" or "exact", not \'loose\''):
        clean_names(["a"], filtering="loose")  # pyright: ignore[reportArgumentType]


ODD = st.text(st.characters() | st.sampled_from("aA1 .-_*()\"'\u2212\u200b\u0301:"), max_size=30)


@given(raw=st.lists(ODD, max_size=8), base=st.lists(ODD, max_size=3), exclude=st.lists(ODD, max_size=3))
def test_clean_names_are_clean_distinct_and_allowed(
    raw: list[str], base: list[str], exclude: list[str]
) -> None:
    cleaned = clean_names(raw, base=base, exclude=exclude)
    assert len(cleaned.names) + sum(cleaned.counts().values()) == len(raw)
    assert clean_names(cleaned.names, base=base, exclude=exclude).names == cleaned.names
    assert {fold(name) for name in cleaned.names}.isdisjoint(fold(name) for name in (*base, *exclude))
    for name in cleaned.names:
        assert name == " ".join(name.split())
        assert name.isprintable()


@given(raw=st.lists(ODD, max_size=8))
def test_strict_keeps_no_more_than_exact(raw: list[str]) -> None:
    assert set(clean_names(raw).names) <= set(clean_names(raw, filtering="exact").names)


def test_either_of_two_names_is_excluded() -> None:
    cleaned = clean_names(
        ["Lake", "seas", "Road", "Lagoon"], base=["Highway_or_Road"], exclude=["Sea or Lake"]
    )
    assert cleaned.names == ["Lagoon"]
    assert cleaned.counts() == {"excluded": 2, "near a base class": 1}
