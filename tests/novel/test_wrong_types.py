"""A string where a list belongs, and other wrong types: one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sar_reg.errors import InputError
from sar_reg.novel import LLMClasses, Oracle, WordList, WordNetClasses, clean_names

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
        ({"timeout": "x"}, "timeout must be a positive"), ({"timeout": float("inf")}, "timeout must be a positive"),
        ({"temperature": "hot"}, "temperature must be"), ({"temperature": float("nan")}, "temperature must be"),
        ({"temperature": -1}, "temperature must be a number of 0 or more"), ({"filtering": "x"}, "filtering must be"),
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
