"""One reader for every reply: JSON anywhere, tables, CSV, bullets, commas, behind reasoning or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sar_reg.class_names import fold
from sar_reg.novel.cleaning import clean_names
from sar_reg.novel.llm.reply import final_answer, names_in

pytest.importorskip("json_repair")

HERE = Path(__file__).parent
CASES = json.loads((HERE / "replies.json").read_text(encoding="utf-8"))
BASE = ["tabby cat", "beagle"]
KNOWN = frozenset(map(fold, BASE))


@pytest.mark.parametrize("case", CASES, ids=[case["what"] for case in CASES])
def test_the_names_in_a_reply(case: dict[str, Any]) -> None:
    base = case.get("base", BASE)
    found = names_in(case["content"], frozenset(map(fold, base)))
    assert clean_names(found, base=base).names == case["names"]


def test_the_last_name_of_a_cut_list_is_not_trusted() -> None:
    assert names_in("1. lynx\n2. puma\n3. carac", cut=True) == ["lynx", "puma"]
    assert names_in("1. lynx\n2. puma\n3. caracal") == ["lynx", "puma", "caracal"]
    assert names_in('{"names": ["lynx", "puma"]}', cut=True) == ["lynx", "puma"]


def test_a_list_of_known_names_alone_is_an_echo() -> None:
    echo = json.dumps({"names": ["Tabby_Cat", "beagle"]})
    assert names_in(echo) == ["Tabby_Cat", "beagle"]
    assert names_in(echo, KNOWN) == []
    assert names_in("- tabby cat\n- beagle", KNOWN) == []
    longer = json.dumps({"list": ["tabby cat", "beagle"], "names": ["tabby cat", "beagle", "lynx"]})
    assert names_in(longer, KNOWN) == ["tabby cat", "beagle", "lynx"]


def test_the_last_of_two_equal_lists_is_the_answer() -> None:
    assert names_in('{"names": ["a cat", "a dog"]} No, rather {"names": ["lynx", "puma"]}') == [
        "lynx",
        "puma",
    ]


def test_names_that_look_like_numbering_are_kept() -> None:
    assert names_in("X-ray\nT-shirt\n4-wheel drive\nSt. Bernard\n3D printer") == [
        "X-ray", "T-shirt", "4-wheel drive", "St. Bernard", "3D printer",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 50_000, "{" * 3000 + '"names": ["lynx"', '["' * 50_000, "|" * 100_000]
)
def test_hostile_replies_are_read_in_bounded_time(text: str) -> None:
    assert len(names_in(text)) <= 2000


def test_without_reasoning() -> None:
    assert final_answer("<think>a</think> b </think> c") == "c"
    assert final_answer("b <think> never ends") == "b"
    assert final_answer("analysisWe need names.assistantfinal[1]") == "[1]"
    assert final_answer("<|channel|>analysis<|message|>only this<|end|>") == ""
