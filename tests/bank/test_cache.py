"""What `build_anchor_bank` keeps between runs, and what happens to it when it is damaged, shared or not wanted."""

from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

import sar_reg
from sar_reg.bank import encoding as template_bank
from sar_reg.bank.cache import BankCache
from sar_reg.errors import InputError
from sar_reg.novel import (
    LLMClasses,
    NovelClassesError,
    NovelNames,
    Oracle,
    WordList,
    read_names,
)

BASE = ["tabby cat", "beagle"]
WORDS = ["lynx", "puma", "ocelot", "serval", "caracal"]
Model = tuple[open_clip.CLIP, open_clip.SimpleTokenizer]


class Counting(WordList):
    """A word list that counts how often it is asked."""

    asked = 0

    def generate(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str] = (), seed: int = 0
    ) -> NovelNames:
        type(self).asked += 1
        return super().generate(base_classes, n, exclude=exclude, seed=seed)


@pytest.fixture(scope="module")
def clip() -> Model:
    torch.manual_seed(0)
    text = open_clip.CLIPTextCfg(width=32, heads=2, layers=1)
    vision = open_clip.CLIPVisionCfg(layers=1, width=32, head_width=32, patch_size=16, image_size=32)
    return open_clip.CLIP(16, vision, text), open_clip.SimpleTokenizer()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many names were encoded, call by call."""
    calls: list[int] = []
    plain = template_bank.encode_templates

    def counted(tower: Any, names: Sequence[str], *rest: Any, **options: Any) -> torch.Tensor:
        calls.append(len(names))
        return plain(tower, names, *rest, **options)

    monkeypatch.setattr("sar_reg.bank.build.encode_templates", counted)
    monkeypatch.setattr(Counting, "asked", 0)
    return calls


def build(clip: Model, folder: Path | None, **options: Any) -> sar_reg.AnchorBank:
    settings = {"novel": Counting(WORDS), "n_novel": 3, "templates": ["a {}."], "cache_dir": folder}
    return sar_reg.build_anchor_bank(*clip, BASE, **{**settings, **options})


def test_second_build_asks_nothing_and_encodes_the_first_and_last_name(
    clip: Model, tmp_path: Path, encoded: list[int]
) -> None:
    first, second = build(clip, tmp_path), build(clip, tmp_path)
    assert (Counting.asked, encoded) == (1, [5, 2])
    assert first.classnames == second.classnames
    assert torch.equal(first.embeddings, second.embeddings)
    assert first.provenance == json.loads(json.dumps(second.provenance))
    assert sorted(path.name.partition("-")[0] for path in tmp_path.iterdir()) == ["bank", "novel"]


def test_names_are_json_that_a_person_can_read_and_a_word_list_too(clip: Model, tmp_path: Path) -> None:
    bank = build(clip, tmp_path, exclude=["pumas"])
    (path,) = tmp_path.glob("novel-*.json")
    entry = json.loads(path.read_text())
    assert entry["names"] == list(bank.novel_classes) == read_names(path)
    assert entry["made_for"]["exclude"] == ["pumas"]
    assert entry["provenance"]["outcome"]["dropped"] == {"excluded": 1}
    assert "puma" not in bank.classnames


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"exclude": ["puma"]}, {"n_novel": 2}, {"novel": Counting(WORDS[:4])},
     {"novel": Counting(WORDS, filtering="exact")}],
)  # fmt: skip
def test_all_that_changes_the_names_changes_their_key(
    clip: Model, tmp_path: Path, encoded: list[int], change: dict[str, Any]
) -> None:
    build(clip, tmp_path)
    build(clip, tmp_path, **change)
    assert Counting.asked == 2
    assert len(list(tmp_path.glob("novel-*.json"))) == 2


def test_all_that_changes_the_features_changes_their_key(
    clip: Model, tmp_path: Path, encoded: list[int]
) -> None:
    model, tokenizer = clip
    build(clip, tmp_path)
    build(clip, tmp_path, templates=["the {}."])
    with torch.no_grad():
        model.ln_final.bias[0] += 1
    build(clip, tmp_path)
    with torch.no_grad():
        model.ln_final.bias[0] -= 1
    half = build((model.half(), tokenizer), tmp_path)
    model.float()
    build(clip, tmp_path, novel=None, n_novel=0)
    assert encoded == [5, 5, 5, 5, 2]
    assert half.embeddings.dtype == torch.float32


@pytest.mark.parametrize("damage", [b"", b"{", b'{"names": 3, "sha256": ""}', None])
def test_damaged_entries_are_told_set_aside_and_rebuilt(
    clip: Model, tmp_path: Path, encoded: list[int], caplog: pytest.LogCaptureFixture, damage: bytes | None
) -> None:
    first = build(clip, tmp_path)
    for path in list(tmp_path.iterdir()):
        content = bytearray(path.read_bytes())
        content[
            -1 if path.suffix == ".safetensors" else content.index(b"lynx") if b"lynx" in content else 20
        ] ^= 1
        path.write_bytes(content if damage is None else damage)
    again = build(clip, tmp_path)
    assert again.classnames == first.classnames
    assert torch.equal(again.embeddings, first.embeddings)
    assert (Counting.asked, encoded) == (2, [5, 5])
    assert caplog.text.count("cache entry") == caplog.text.count("is renamed to") == 2
    assert len([path for path in tmp_path.iterdir() if ".damaged-" in path.name]) == 2
    build(clip, tmp_path)
    assert (Counting.asked, encoded) == (2, [5, 5, 2])


PROCESS = """
import sys, time, torch
from sar_reg.bank.cache import BankCache
from sar_reg.bank import AnchorBank
from sar_reg.novel import NovelNames
names = tuple(f"name {i}" for i in range(200))
rows = torch.nn.functional.normalize(1 + torch.arange(60_000.).reshape(200, 300), dim=1)
cache, bank = BankCache(sys.argv[1]), AnchorBank(names, 100, rows, 0.01)
until = time.monotonic() + 1.5
while time.monotonic() < until:
    for kind in range(3):
        made = cache.names({"kind": kind}, lambda: NovelNames(names, {"kind": kind}), wanted=200)
        assert (made.names, made.provenance) == (names, {"kind": kind}), made
        assert torch.equal(cache.bank({"kind": kind}, lambda: bank).embeddings, rows)
    for path in cache.folder.glob("[nb]*-*"):
        path.unlink(missing_ok=True)
"""


def test_two_processes_at_once_do_no_harm(
    tmp_path: Path, popen: Callable[..., subprocess.Popen[str]]
) -> None:
    command = [sys.executable, "-W", "error", "-c", PROCESS, str(tmp_path)]
    both = [popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[1] for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    assert [path.name for path in tmp_path.iterdir() if "damaged" in path.name or "tmp" in path.name] == []


def test_another_tokenizer_does_not_get_the_features_of_the_first(clip: Model, tmp_path: Path) -> None:
    model, tokenizer = clip
    first = build(clip, tmp_path)
    other = build((model, lambda texts: tokenizer([text[::-1] for text in texts])), tmp_path)
    assert not torch.allclose(first.embeddings, other.embeddings)


def _hook(model: Any) -> None:
    model.transformer.resblocks[0].register_forward_hook(lambda module, args, out: out.roll(1, -1))


def _activation(model: Any) -> None:
    model.transformer.resblocks[0].mlp.gelu = torch.nn.Tanh()


@pytest.mark.parametrize("change", [_hook, _activation])
def test_the_same_weights_in_a_model_that_computes_otherwise(
    clip: Model, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    model, tokenizer = copy.deepcopy(clip[0]), clip[1]
    first = build((model, tokenizer), tmp_path)
    change(model)
    kept, made = (build((model, tokenizer), folder) for folder in (tmp_path, None))
    assert torch.equal(kept.embeddings, made.embeddings)
    assert not torch.allclose(kept.embeddings, first.embeddings, atol=1e-3)


def test_a_bank_of_other_names_in_the_place_of_the_kept_one_is_not_used(clip: Model, tmp_path: Path) -> None:
    bank = build(clip, tmp_path)
    (path,) = tmp_path.glob("bank-*.safetensors")
    names = (bank.classnames[0], "wolf", *bank.classnames[2:])
    dataclasses.replace(bank, classnames=names).save(path)
    assert build(clip, tmp_path).classnames == bank.classnames


def test_functions_have_no_weights_to_key_features_by(tmp_path: Path, encoded: list[int]) -> None:
    def encode(texts: list[str]) -> torch.Tensor:
        return torch.tensor([[len(text), text.count("a"), 1.0] for text in texts])

    for _ in range(2):
        sar_reg.build_anchor_bank(encode, None, BASE, novel=["lynx"], templates=["a {}."], cache_dir=tmp_path)
    assert encoded == [3, 3]


def test_sources_of_ones_own_are_asked_each_time_and_exclude_still_holds(clip: Model, tmp_path: Path) -> None:
    class Own:
        def generate(self, base: Sequence[str], n: int, *, exclude: Sequence[str], seed: int) -> list[str]:
            return ["lynx", "Pumas"][:n]

    with pytest.raises(NovelClassesError, match="asked for 2 novel classes, but Own has 1 "):
        build(clip, tmp_path, novel=Own(), n_novel=2, exclude=["puma"])
    bank = build(clip, tmp_path, novel=Own(), n_novel=1, exclude=["puma"])
    assert bank.novel_classes == ("lynx",)
    assert bank.provenance == {"source": "Own"}
    assert list(tmp_path.glob("novel-*.json")) == []


def test_fewer_names_than_wanted_are_not_kept(clip: Model, tmp_path: Path) -> None:
    bank = build(clip, tmp_path, novel=Oracle(["lynx"]))
    assert bank.provenance["looks_at_test_classes"] is True
    assert list(tmp_path.glob("novel-*.json")) == []


def test_offline_reaches_the_source(clip: Model, tmp_path: Path) -> None:
    with pytest.raises(NovelClassesError, match="offline=True forbids asking for more"):
        build(clip, tmp_path, novel=LLMClasses(base_url="http://127.0.0.1:9/v1"), offline=True)


def test_a_class_in_place_of_a_source_is_refused(clip: Model) -> None:
    with pytest.raises(InputError, match=r"novel must be a source, not its class: write WordList\(\.\.\.\)"):
        build(clip, None, novel=WordList)


def test_a_folder_that_cannot_be_used_is_named(clip: Model, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(
        InputError, match=r"cannot write the cache: cannot write .*file.*pass another cache_dir="
    ):
        build(clip, file)
    cache = BankCache(tmp_path)
    (tmp_path / "novel-8eaa8a8d4a5d9b1d2bb3.json").mkdir()
    with pytest.raises(InputError, match=r"cannot (read|write) the cache in .*pass another cache_dir="):
        cache._read("novel-8eaa8a8d4a5d9b1d2bb3.json", lambda path: path.read_text())
