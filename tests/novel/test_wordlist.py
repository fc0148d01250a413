from __future__ import annotations

import json
from pathlib import Path

import pytest

from sar_reg.errors import InputError
from sar_reg.novel.oracle import Oracle
from sar_reg.novel.source import DescribedSource, NovelClassesError
from sar_reg.novel.wordlist import WordList, read_names

WORDS = ["lynx", "puma", "Cats", "ocelot", "serval", "pug"]


@pytest.mark.parametrize(
    "content",
    [
        "lynx\n\n# big cats\n  puma \n",
        '["lynx", "puma"]',
        '{"names": ["lynx", "puma"], "n": 2}',
        "\ufefflynx\npuma",
    ],
)
def test_reads_lines_and_json(tmp_path: Path, content: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text(content, encoding="utf-8")
    assert read_names(path) == ["lynx", "puma"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n", "holds no class name; write one name a line"),
        (b'["lynx", ', "starts like JSON but cannot be read as JSON"),
        (b"[" * 100_000, "starts like JSON but cannot be read as JSON"),
        (b'{"words": ["lynx"]}', 'a JSON list of strings, or an object with such a list under "names"'),
        (b"[1, 2]", "must hold a JSON list of strings"),
        (b"\xff\xfe\x00", "cannot read class names from"),
    ],
)
def test_refuses_files_that_are_no_list_of_names(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_names(path)


def test_missing_file_and_empty_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read class names from"):
        WordList(tmp_path / "none.txt")
    with pytest.raises(InputError, match="word list is empty"):
        WordList([])


def test_draw_depends_on_the_seed_only_and_honours_exclude() -> None:
    words = WordList(WORDS)
    first = words.generate(["cat"], 3, exclude=["Pugs"], seed=1)
    assert first == WordList(WORDS).generate(["cat"], 3, exclude=["Pugs"], seed=1)
    assert set(first) < {"lynx", "puma", "ocelot", "serval"}
    assert {tuple(words.generate(["cat"], 3, seed=s)) for s in range(9)} > {tuple(first)}
    assert words.generate(["cat"], 4, exclude=["pug"]) == ["lynx", "puma", "ocelot", "serval"]


def test_one_value_holds_the_names_and_where_they_came_from() -> None:
    words = WordList(WORDS, filtering="exact")
    before = words.describe()
    found = words.generate(["cat"], 2, exclude=["pug"])
    after = words.describe()
    assert found.provenance == {**after, "outcome": {"asked": 2, "kept": 2, "dropped": {"excluded": 1}}}
    assert before == after
    assert found == list(found)
    assert found == found.names
    assert found != ["lynx"]
    assert found != "lynx"
    assert str(found) == str(list(found))
    assert hash(found) == hash(found.names)
    assert json.loads(json.dumps(after))["filtering"] == "exact"
    assert isinstance(words, DescribedSource)
    assert repr(words) == "WordList(given words: 6 words, filtering='exact')"


def test_too_few_words_is_an_error_that_carries_them() -> None:
    with pytest.raises(
        NovelClassesError, match=r"asked for 9 novel classes.*has 4 usable of 6 words"
    ) as caught:
        WordList(WORDS).generate(["cat"], 9, exclude=["pug"])
    assert caught.value.names == ["lynx", "puma", "ocelot", "serval"]


def test_oracle_gives_all_its_names_and_is_marked() -> None:
    oracle = Oracle(["lynx", "cat"])
    assert oracle.generate(["cat"], 200) == ["lynx"]
    assert oracle.describe()["source"] == "oracle"
    assert oracle.describe()["looks_at_test_classes"] is True
    assert repr(oracle) == "Oracle(2 new classes)"
    assert repr(Oracle(["lynx"])) == "Oracle(1 new class)"
    with pytest.raises(InputError, match=r"new classes that exclude= forbids \('lynx' and 0 more\)"):
        oracle.generate(["cat"], 200, exclude=["lynx"])
    with pytest.raises(InputError, match="the oracle needs the data set's new class names"):
        Oracle([])


def test_fewer_words_can_be_allowed() -> None:
    words = WordList(WORDS, allow_fewer=True)
    found = words.generate(["cat"], 9, exclude=["pug"])
    assert found == ["lynx", "puma", "ocelot", "serval"]
    assert found.provenance["outcome"] == {
        "asked": 9,
        "kept": 4,
        "dropped": {"near a base class": 1, "excluded": 1},
    }
    with pytest.raises(NovelClassesError, match=r"has 0 usable of 1 word \("):
        WordList(["cat"], allow_fewer=True).generate(["cat"], 9)
