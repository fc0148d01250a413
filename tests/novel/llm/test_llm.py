"""Names from a language model: batches, formats, caches, and answers that are kept whatever happens."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import torch

from sar_reg import AnchorBank, build_anchor_bank
from sar_reg.errors import InputError
from sar_reg.novel.llm import journal as journals
from sar_reg.novel.llm.llm_classes import LLMClasses
from sar_reg.novel.source import NovelClassesError, ResumableSource
from tests.novel.conftest import KEY, shown
from tests.novel.llm import chat_server as chat
from tests.novel.llm.chat_server import ChatServer, completion, fresh, names, says

BASE = ["tabby cat", "beagle"]
Make = Callable[..., LLMClasses]


def test_asks_in_batches_and_tells_what_it_has(server: ChatServer, source: Make) -> None:
    found = source().generate(BASE, 120)
    assert len(found) == len(set(found)) == 120
    assert [text.count("\n- class ") for text in server.prompts] == [0, 50, 100]
    assert ["Name 50 f" in t or "Name 20 f" in t for t in server.prompts] == [True] * 3
    assert all("- tabby cat\n- beagle\n" in text for text in server.prompts)
    assert server.forms == ["json_schema"] * 3
    schema = server.requests[0]["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["properties"] == {"names": {"type": "array", "items": {"type": "string"}}}


def test_asks_again_only_for_what_is_missing(server: ChatServer, source: Make) -> None:
    server.script = [names(["lynx", "Lynxes", "beagles", "puma", "ocelot"]), fresh()]
    assert source().generate(BASE, 5) == ["lynx", "puma", "ocelot", "class aq", "class bq"]
    assert "Name 2 further" in server.prompts[1]
    assert "- lynx\n- puma\n- ocelot\n" in server.prompts[1]


def test_held_out_names_never_enter_a_prompt(server: ChatServer, source: Make) -> None:
    server.script = [
        names(["Pugs", "lynx", "the pug", "Birman", "pug cross"]),
        names(["puma", "PUG"]),
        fresh(),
    ]
    model = source()
    found = model.generate(BASE, 6, exclude=["pug", "birman"])
    assert found[:3] == ["lynx", "pug cross", "puma"]
    assert not any(word in text.lower() for text in server.prompts for word in ("pug", "birman"))
    assert found.provenance["outcome"]["dropped"] == {"excluded": 4}
    with pytest.raises(InputError, match=r"domain= contains the excluded name 'pug', which must not enter"):
        source(domain="pugs and other dogs").generate(BASE, 6, exclude=["pug"])


def test_domain_and_temperature_are_sent(server: ChatServer, source: Make) -> None:
    source(domain="breeds of cats and dogs", temperature=0.7).generate(BASE, 3)
    assert "It shows: breeds of cats and dogs\n" in server.prompts[0]
    assert server.requests[0]["temperature"] == 0.7
    assert "temperature" not in _request_without_options(server, source)


def _request_without_options(server: ChatServer, source: Make) -> dict[str, object]:
    source().generate(BASE, 1)
    return server.requests[-1]


def test_a_second_call_goes_on_from_the_cache(server: ChatServer, source: Make, tmp_path: Path) -> None:
    first = source().generate(BASE, 60)
    assert len(server.requests) == 2
    assert source().generate(BASE, 60) == first
    assert source(offline=True).generate(BASE, 40) == first[:40]
    assert len(server.requests) == 2
    assert source().generate(BASE, 70)[:60] == first
    assert "Name 10 further" in server.prompts[-1]
    source().generate(BASE, 3, seed=1)
    source().generate([*BASE, "pug"], 3)
    source(model="other").generate(BASE, 3)
    assert len(server.requests) == 6
    assert len(list((tmp_path / "cache").glob("answers-*"))) == 4


def test_without_a_folder_the_object_remembers(server: ChatServer, source: Make) -> None:
    model = source(cache_dir=None)
    assert model.generate(BASE, 9) == model.generate(BASE, 9)
    assert len(server.requests) == 1


def test_answers_are_kept_with_prompt_model_and_time(
    server: ChatServer, source: Make, tmp_path: Path
) -> None:
    found = source().generate(BASE, 3)
    (path,) = (tmp_path / "cache").glob("answers-*/*.json")
    entry = json.loads(path.read_text())
    assert entry["prompt"] == server.prompts[0]
    assert json.loads(entry["reply"]) == {"names": ["class aq", "class bq", "class cq"]}
    assert (entry["model"], entry["system_fingerprint"], entry["form"]) == ("tiny-2026", "fp_1", "schema")
    assert entry["time"].startswith("20")
    assert entry["time"].endswith("Z")
    result = found.provenance["outcome"]
    assert (result["asked"], result["kept"], result["dropped"], result["requests"]) == (3, 3, {}, 1)
    assert (result["models"], result["forms"], result["last"]) == (["tiny-2026"], ["schema"], entry["time"])


def test_describe_holds_settings_that_do_not_change_by_use(server: ChatServer, source: Make) -> None:
    model = source(domain="pets")
    before = model.describe()
    found = model.generate(BASE, 2)
    after = model.describe()
    assert "outcome" not in before
    assert found.provenance["outcome"]["kept"] == 2
    assert before == after
    assert (after["source"], after["model"], after["server"]) == ("llm", "tiny", server.url)
    assert isinstance(model, ResumableSource)


def test_a_damaged_answer_is_set_aside_and_asked_anew(
    server: ChatServer, source: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source().generate(BASE, 60)
    first, second = sorted((tmp_path / "cache").glob("answers-*/*.json"))
    first.write_bytes(first.read_bytes()[:50])
    second.write_text('{"reply": 3}')
    assert len(source().generate(BASE, 60)) == 60
    assert caplog.text.count("is damaged") == 2
    assert len(list((tmp_path / "cache").glob("answers-*/*.damaged-*"))) == 2
    assert len(server.requests) == 4


def test_a_folder_that_cannot_be_used_is_told_before_asking(
    server: ChatServer, source: Make, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot keep answers in .*file.*; pass another cache_dir="):
        source(cache_dir=tmp_path / "file").generate(BASE, 9)
    with pytest.raises(InputError, match=r"cannot keep answers in .*xxx.*; pass another cache_dir="):
        source(cache_dir=tmp_path / ("x" * 300)).generate(BASE, 9)
    assert server.requests == []


def test_two_at_once_do_no_harm(server: ChatServer, source: Make, caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPoolExecutor(4) as pool:
        lists = list(pool.map(lambda _: source().generate(BASE, 120), range(4)))
    assert [len(set(found)) for found in lists] == [120] * 4
    assert source(offline=True).generate(BASE, 120)
    assert "damaged" not in caplog.text


def test_a_bank_is_built_from_a_models_names_and_kept(
    server: ChatServer, source: Make, tmp_path: Path
) -> None:
    def encode(texts: list[str]) -> torch.Tensor:
        return torch.stack(
            [torch.randn(8, generator=torch.Generator().manual_seed(crc32(t.encode()))) for t in texts]
        )

    def build(**options: Any) -> AnchorBank:
        model = source(cache_dir=None)
        return build_anchor_bank(
            encode, None, BASE, novel=model, n_novel=60, exclude=["pug"], cache_dir=tmp_path, **options
        )

    bank = build()
    assert (bank.n_novel, len(server.requests)) == (60, 2)
    assert bank.provenance["outcome"]["models"] == ["tiny-2026"]
    assert build(offline=True).classnames == bank.classnames
    for path in tmp_path.glob("novel-*.json"):
        path.unlink()
    assert build(offline=True).classnames == bank.classnames
    assert len(server.requests) == 2
    assert f"llm tiny, {bank.provenance['outcome']['last']}" in str(bank.report())


def test_preview_calls_nobody(server: ChatServer, source: Make, tmp_path: Path) -> None:
    preview = source().preview(BASE, 120)
    assert server.requests == []
    assert (preview.requests, preview.received) == (3, 0)
    assert 600 < preview.tokens_in < 2000
    assert 400 < preview.tokens_out < 1200
    source().generate(BASE, 20)
    assert (tmp_path / "cache" / f"answers-{preview.cache_key}").is_dir()
    assert "Name 50 further" in str(preview)
    assert f"cache key: {preview.cache_key}" in str(preview)
    assert source().preview(BASE, 120).received == 20
    assert source().preview(BASE, 20).prompt == ""


def test_a_client_of_the_user_is_used_and_left_open(server: ChatServer, source: Make) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(api_key="user-key-123456", base_url=server.url, max_retries=7) as client:
        model = source(client=client, base_url=None)
        assert model.generate(BASE, 2) == ["class aq", "class bq"]
        assert server.headers[0]["authorization"] == "Bearer user-key-123456"
        assert (client.max_retries, client.is_closed()) == (7, False)
        assert model.describe()["server"] == server.url
    with pytest.raises(InputError, match=r"client must be an openai.OpenAI \(or AzureOpenAI\), not dict"):
        source(client={}).generate(BASE, 9)
    with pytest.raises(InputError, match="not AsyncOpenAI"):
        source(client=openai.AsyncOpenAI(api_key="-", base_url=server.url)).generate(BASE, 9)


def test_the_servers_address_can_come_from_the_environment(
    server: ChatServer, source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.delenv("OPENAI_API_KEY")
    model = source(base_url=None)
    assert model.describe()["server"] == server.url
    assert len(model.generate(BASE, 2)) == 2
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(
        InputError, match="no key: set the environment variable OPENAI_API_KEY, or pass base_url="
    ):
        source(base_url=None).generate(BASE, 2)


def test_offline_uses_the_cache_only(server: ChatServer, source: Make) -> None:
    with pytest.raises(NovelClassesError, match=r"returned 0 of 9 .* offline=True forbids asking for more"):
        source(offline=True).generate(BASE, 9)
    assert server.requests == []


def test_progress_is_told(server: ChatServer, source: Make) -> None:
    seen: list[tuple[int, int]] = []
    source(progress=lambda done, wanted: seen.append((done, wanted))).generate(BASE, 60)
    assert seen == [(50, 60), (60, 60)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": float("inf")}, "timeout must be a finite number of 0.001 or more seconds, not inf"),
        ({"timeout": 0}, "timeout must be a finite number of 0.001 or more seconds, not 0"),
        ({"batch_size": 0}, "batch_size must be an int of 1 or more, not 0"),
        ({"max_requests": 0}, "max_requests must be an int of 1 or more, not 0"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LLMClasses(**options)  # pyright: ignore[reportArgumentType]


def test_bad_calls_are_refused(source: Make) -> None:
    with pytest.raises(InputError, match="base_classes must be a list of class names, not one string"):
        source().generate("cat", 3)
    with pytest.raises(InputError, match="base_classes must hold at least one class name"):
        source().generate([], 3)
    with pytest.raises(InputError, match="n must be an int of 1 or more, not 0"):
        source().generate(BASE, 0)


@pytest.mark.parametrize(
    "content",
    [
        '```json\n{"names": ["lynx", "puma"]}\n```',
        'Sure! Here you go:\n```\n["lynx", "puma"]\n```\nEnjoy.',
        '<think>maybe ["cat"]</think>{"names": ["lynx", "puma"]}',
        'The JSON: {"names": ["lynx", "puma"]} I hope it helps.',
        '{"classes": [{"name": "lynx", "why": "a cat"}, {"name": "puma"}]}',
        "Here are 2 names:\n\n1. lynx\n2. **puma** - a large cat of America\n",
        "- lynx\n- puma",
        "lynx\npuma",
        '{"names": ["l\u200bynx", "\uff50\uff55\uff4d\uff41", "ly\u0301nx", "\u043b\u044b\u043d\u044f"]}',
        '{"names": ["lynx", 7, null, ["x"], "puma"]}',
    ],
)
def test_reads_what_models_really_write(server: ChatServer, source: Make, content: str) -> None:
    server.script = [says(content)]
    assert source().generate(BASE, 2) == ["lynx", "puma"]
    assert len(server.requests) == 1


GOOD = ["class aq", "class bq", "class cq"]


def test_an_error_of_the_caller_keeps_the_names(server: ChatServer, source: Make) -> None:
    def progress(done: int, wanted: int) -> None:
        raise ValueError(f"the terminal is gone {KEY}")

    server.script = [names(["lynx", "puma"])]
    with pytest.raises(NovelClassesError, match="interrupted by ValueError: the terminal is gone") as caught:
        source(progress=progress).generate(BASE, 9)
    assert caught.value.names == ["lynx", "puma"]
    assert KEY not in shown(caught.value)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), PermissionError("read-only")])
def test_a_full_disk_costs_no_names(
    server: ChatServer,
    source: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: OSError,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(journals, "write_atomic", fail)
    assert source().generate(BASE, 3) == GOOD
    assert "an answer could not be kept in" in caplog.text


def test_lone_surrogates_are_kept_as_a_question_mark(
    server: ChatServer, source: Make, tmp_path: Path
) -> None:
    server.script = [
        chat.raw(completion("X").replace(b'"X"', b'"{\\"names\\": [\\"ly\\ud800nx\\", \\"puma\\"]}"'))
    ]
    assert "puma" in source().generate(BASE, 2)
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_journals_of_other_versions_are_read(server: ChatServer, source: Make, tmp_path: Path) -> None:
    assert source().generate(BASE, 3) == GOOD
    (path,) = tmp_path.rglob("*.json")
    entry = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({"reply": entry["reply"], "cost": 3, "model": None}), encoding="utf-8")
    assert source(offline=True).generate(BASE, 3) == GOOD
    for odd in ("[]", "7", '{"reply": 3}', "{", ""):
        path.write_text(odd, encoding="utf-8")
        assert source().generate(BASE, 3) == GOOD
        path = next(p for p in tmp_path.rglob("*.json"))
