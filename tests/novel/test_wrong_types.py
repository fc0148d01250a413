"""A string where a list belongs, and other wrong types: one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sar_reg.errors import InputError
from sar_reg.files import write_atomic
from sar_reg.novel import LLMClasses, Oracle, WordList, WordNetClasses, clean_names, read_names

SERVER: dict[str, Any] = {"base_url": "http://127.0.0.1:9/v1"}


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: Oracle("abc"), "new_classes"),
        (lambda: Oracle(["abc"]).generate("cat", 1), "base"),
        (lambda: WordList(["lynx"]).generate("cat", 1), "base"),
        (lambda: WordList(["lynx"]).generate(["cat"], 1, exclude="lynx"), "exclude"),
        (lambda: clean_names("abc"), "raw"),
        (lambda: clean_names(["abc"], base="abc"), "base"),
        (lambda: clean_names(["x"], exclude="x"), "exclude"),
        (lambda: LLMClasses(**SERVER).generate(["cat"], 1, exclude="jaguar"), "exclude"),
        (lambda: LLMClasses(**SERVER).generate("cat", 1), "base_classes"),
        (lambda: WordNetClasses().generate("cat", 1), "base_classes"),
        (lambda: WordNetClasses().generate(["cat"], 1, exclude="lynx"), "exclude"),
    ],
)
def test_a_string_where_a_list_belongs_is_refused(call: Callable[[], object], argument: str) -> None:
    with pytest.raises(
        InputError, match=f"^{argument} must be a list of (class )?names, not one string; write "
    ):
        call()


@pytest.mark.parametrize("n", ["3", 2.5, -1, True, None])
def test_a_count_is_an_int(n: Any) -> None:
    for source in (WordList(["a b"]), WordNetClasses(), LLMClasses(**SERVER)):
        with pytest.raises(InputError, match=r"^n must be an int of [01] or more, not"):
            source.generate(["cat"], n)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": 3}, "model must be a string"), ({"domain": 3}, "domain must be a string"),
        ({"base_url": 3}, "base_url must be a string"), ({"batch_size": 2.5}, "batch_size must be an int of 1 or"),
        ({"batch_size": 0}, "batch_size must be an int"), ({"max_requests": "3"}, "max_requests must be an int"),
        ({"timeout": "x"}, "timeout must be a finite"), ({"timeout": float("inf")}, "timeout must be a finite"),
        ({"temperature": "hot"}, "temperature must be"), ({"temperature": float("nan")}, "temperature must be"),
        ({"temperature": -1}, "temperature must be a finite number of 0 or more, or None"),
        ({"filtering": "x"}, "filtering must be"),
    ],
)  # fmt: skip
def test_options_of_a_wrong_type_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        LLMClasses(**options)


def test_words_of_a_wrong_type_are_refused() -> None:
    for words in ([1, 2], {"a": 1}, 3):
        with pytest.raises(InputError, match=r"^words"):
            WordList(words)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"^filtering must be"):
        WordList(["a"], filtering="x")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("seed", [None, 2.5, "x", -1, True, [1]])
def test_a_seed_is_an_int_that_is_not_negative(seed: Any, tmp_path: Path) -> None:
    for source in (WordList(["a b"]), WordNetClasses(), LLMClasses(**SERVER, cache_dir=tmp_path)):
        with pytest.raises(InputError, match=r"^seed must be an int of 0 or more, not"):
            source.generate(["cat"], 1, seed=seed)
    with pytest.raises(InputError, match=r"^seed must be an int of 0 or more, not"):
        LLMClasses(**SERVER).preview(["cat"], 1, seed=seed)


def test_integers_of_numpy_are_seeds() -> None:
    source = WordNetClasses()
    assert source.generate(["beagle"], 9, seed=np.int64(3)) == source.generate(["beagle"], 9, seed=3)


@pytest.mark.parametrize("path", [3, "", b"x", "a\0b", ["x"]])
def test_a_path_is_text_or_a_path(path: Any) -> None:
    for call in (
        lambda: read_names(path),
        lambda: WordNetClasses(wordnet_root=path).generate(["dog"], 1),
        lambda: LLMClasses(**SERVER, cache_dir=path).generate(["dog"], 1),
        lambda: write_atomic(path, "x"),
    ):
        with pytest.raises(InputError, match=r"^expected the path of a file as text or pathlib\.Path, not"):
            call()


@pytest.mark.parametrize("raw", [3, None, b"x", {"a": 1}, ["a", 3], [None]])
def test_names_are_a_list_of_strings(raw: Any) -> None:
    with pytest.raises(InputError, match=r"^raw(\[\d\])? (must be|is) "):
        clean_names(raw)


def test_other_wrong_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^filtering must be"):
        WordNetClasses(filtering="x")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="must be bytes or text, not int"):
        write_atomic(tmp_path / "x", 3)  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.iterdir())
