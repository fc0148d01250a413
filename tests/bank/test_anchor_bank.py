"""The anchor bank: what it refuses, what it stores, and that it equals open_clip's own ensembling."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

import sar_reg
from sar_reg.bank import resolve_templates
from sar_reg.errors import InputError

NAMES = ("tabby cat", "beagle", "annual crop land", "red fox")


@pytest.fixture(scope="module")
def clip() -> tuple[open_clip.CLIP, open_clip.SimpleTokenizer]:
    torch.manual_seed(0)
    text = open_clip.CLIPTextCfg(width=64, heads=2, layers=3)
    vision = open_clip.CLIPVisionCfg(layers=1, width=64, head_width=32, patch_size=16, image_size=32)
    return open_clip.CLIP(48, vision, text), open_clip.SimpleTokenizer()


def bank_of(names: tuple[str, ...] = NAMES, n_base: int = 2) -> sar_reg.AnchorBank:
    rows = torch.nn.functional.normalize(
        torch.randn(len(names), 8, generator=torch.Generator().manual_seed(1)), dim=1
    )
    return sar_reg.AnchorBank(names, n_base, rows, 0.01, ("a {}.",), "f" * 64, {"source": "test"})


def test_bank_equals_open_clips_ensembling(clip) -> None:
    model, tokenizer = clip
    model.eval()
    bank = sar_reg.build_anchor_bank(
        model, tokenizer, NAMES[:2], novel=NAMES[2:], templates="dtd", batch_size=3
    )
    prompts = resolve_templates("dtd")
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, NAMES, [t.format for t in prompts]).T
    torch.testing.assert_close(bank.embeddings, expected, atol=2e-6, rtol=0)
    assert bank.classnames == NAMES
    assert (bank.n_base, bank.n_novel, bank.templates) == (2, 2, prompts)
    assert bank.temperature == pytest.approx(0.07)
    assert not bank.embeddings.requires_grad


def test_model_is_left_as_it_was(clip) -> None:
    model, tokenizer = clip
    model.train()
    model.token_embedding.weight.requires_grad_(False)
    flags = [p.requires_grad for p in model.parameters()]
    sar_reg.build_anchor_bank(model, tokenizer, NAMES, templates=["a {}."])
    assert model.training
    assert flags == [p.requires_grad for p in model.parameters()]
    model.token_embedding.weight.requires_grad_(True)
    assert all(p.grad is None for p in model.parameters())


def test_building_twice_gives_the_same_bits(clip) -> None:
    first, second = (sar_reg.build_anchor_bank(*clip, NAMES, templates=["a {}."]) for _ in range(2))
    assert torch.equal(first.embeddings, second.embeddings)
    assert first.fingerprint == second.fingerprint


def test_underscores_are_spaces(clip) -> None:
    plain, scored = (
        sar_reg.build_anchor_bank(*clip, [n], templates=["a {}."]) for n in ("red fox", "red_fox")
    )
    assert torch.equal(plain.embeddings, scored.embeddings)


def test_save_and_load_keep_everything(tmp_path: Path) -> None:
    bank = bank_of()
    again = sar_reg.AnchorBank.load(bank.save(tmp_path / "new folder" / "bank.safetensors"))
    assert torch.equal(again.embeddings, bank.embeddings)
    for name in ("classnames", "n_base", "temperature", "templates", "fingerprint", "provenance"):
        assert getattr(again, name) == getattr(bank, name)
    assert [p.name for p in (tmp_path / "new folder").iterdir()] == ["bank.safetensors"]


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = bank_of().save(tmp_path / "bank.safetensors")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match="is damaged or not an anchor bank"):
        sar_reg.AnchorBank.load(path)
    save_file({"embeddings": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="is not an anchor bank of this version"):
        sar_reg.AnchorBank.load(tmp_path / "other.safetensors")
    short = json.dumps({"classnames": ["cat"], "templates": []})
    for about, reason in ((short, "'n_base'"), ("[" * 100_000, "maximum recursion depth exceeded")):
        rows = torch.ones(1, 1)
        checksum = hashlib.sha256(about.encode() + rows.numpy().tobytes()).hexdigest()
        header = {"format": "sar_reg.anchor_bank/1", "bank": about, "sha256": checksum}
        save_file({"embeddings": rows}, tmp_path / "short.safetensors", header)
        with pytest.raises(
            InputError, match=rf"is damaged or not an anchor bank \({reason}.*\); build it again"
        ):
            sar_reg.AnchorBank.load(tmp_path / "short.safetensors")
    with pytest.raises(FileNotFoundError, match=r"make one with build_anchor_bank\(...\)\.save"):
        sar_reg.AnchorBank.load(tmp_path / "absent.safetensors")


def test_subset_keeps_base_classes_and_order() -> None:
    bank = bank_of(tuple(f"name {i}" for i in range(30)), n_base=10)
    part = bank.subset(n_novel=5, seed=3)
    assert part.classnames[:10] == bank.classnames[:10]
    assert (part.n_base, part.n_novel) == (10, 5)
    places = [bank.classnames.index(n) for n in part.classnames]
    assert places == sorted(places)
    assert torch.equal(part.embeddings, bank.embeddings[places])
    assert bank.subset(n_novel=5, seed=3).classnames == part.classnames
    assert bank.subset(n_novel=5, seed=4).classnames != part.classnames
    with pytest.raises(InputError, match=re.escape("n_novel must be an int in 0..20")):
        bank.subset(n_novel=21)
    with pytest.raises(InputError, match=r"n_novel must be an int in 0\.\.20, not 1\.5"):
        bank.subset(n_novel=1.5)


def test_another_models_bank_is_refused(clip) -> None:
    model, tokenizer = clip
    bank = sar_reg.build_anchor_bank(model, tokenizer, NAMES, templates=["a {}."])
    bank.check(model)
    with pytest.raises(InputError, match="does not record which text tower made it"):
        dataclasses.replace(bank, fingerprint="").check(model)
    with torch.no_grad():
        model.ln_final.weight[0] += 1
    try:
        with pytest.raises(InputError, match="was built with another text tower"):
            bank.check(model)
    finally:
        with torch.no_grad():
            model.ln_final.weight[0] -= 1


def test_novel_names_are_taken_in_order_without_the_excluded(clip) -> None:
    bank = sar_reg.build_anchor_bank(
        *clip,
        ["cat"],
        novel=["dog", "Red_Fox", "owl", "bee"],
        n_novel=2,
        exclude=["red fox"],
        templates=["a {}."],
    )
    assert bank.classnames == ("cat", "dog", "owl")
    assert bank.provenance["outcome"] == {"asked": 4, "kept": 2, "dropped": {"excluded": 1}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_classes": []}, "base_classes is empty"),
        (
            {"base_classes": "cat"},
            r"base_classes must be a list of class names, not one string; write \['cat'\]",
        ),
        (
            {"base_classes": ["cat"], "exclude": "dog"},
            "exclude must be a list of class names, not one string",
        ),
        ({"base_classes": {"cat", "dog"}}, r"a set's order changes from run to run; pass sorted\(names\)"),
        (
            {"base_classes": ["cat"], "novel": {"dog"}},
            r"a set's order changes from run to run; pass sorted\(names\)",
        ),
        ({"base_classes": ["cat", 3]}, r"base_classes\[1\] is 3, not a string"),
        ({"base_classes": ["cat"], "novel": [None]}, r"novel\[0\] is None, not a string"),
        ({"base_classes": ["cat"], "novel": 5}, r"a source with \.generate, not int"),
        ({"base_classes": ["cat", " "]}, "class name 1 is empty"),
        ({"base_classes": ["red fox", "Red_Fox"]}, "'red fox' and 'Red_Fox' are the same"),
        (
            {"base_classes": ["cat"], "novel": ["dog", "CAT"]},
            r"'cat' and 'CAT' are the same \(case, '_' and spaces do not count\); remove one of them$",
        ),
        ({"base_classes": ["cat"], "novel": ["lynx", "lynx"]}, "remove one of them$"),
        (
            {"base_classes": ["cat"], "novel": ["dog"], "n_novel": -1},
            "n_novel must be an int of 0 or more, not -1",
        ),
        (
            {"base_classes": ["cat"], "novel": ["dog"], "n_novel": 1.5},
            r"n_novel must be an int of 0 or more, not 1\.5",
        ),
        (
            {"base_classes": ["cat"], "novel": ["dog"], "seed": None},
            "seed must be an int of 0 or more, not None",
        ),
        ({"base_classes": ["cat"], "novel": ["dog"], "seed": -1}, "seed must be an int of 0 or more, not -1"),
        ({"base_classes": ["cat"], "allow_repeated": "no"}, "allow_repeated must be True or False, not 'no'"),
        ({"base_classes": ["cat"], "batch_size": 0}, "batch_size must be an int of 1 or more, not 0"),
        ({"base_classes": ["cat"], "templates": ["a photo"]}, r"must contain '\{\}' exactly once"),
        ({"base_classes": ["cat"], "templates": []}, "templates is empty"),
        ({"base_classes": ["cat"], "templates": "birds"}, "is not a data set of the paper"),
        ({"base_classes": ["cat"], "templates": "a {}."}, "pass it in a list"),
        ({"base_classes": ["cat", "very " * 90 + "long name"]}, "very very"),
    ],
)
def test_bad_arguments_are_refused(clip, arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        sar_reg.build_anchor_bank(*clip, **{"templates": ["a {}."], **arguments})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_base": 0}, r"n_base must be an int in 1\.\.4"),
        ({"n_base": 1.5}, r"n_base must be an int in 1\.\.4"),
        ({"embeddings": torch.zeros(3, 8)}, r"must be torch\.float32 of shape \(4, D\)"),
        ({"embeddings": torch.zeros(4, 8, dtype=torch.float64)}, r"must be torch\.float32"),
        ({"embeddings": torch.full((4, 8), float("nan"))}, "NaN or infinity"),
        ({"embeddings": torch.ones(4, 8)}, "must be rows of length 1"),
        ({"embeddings": torch.eye(4).requires_grad_()}, "must not require grad"),
        ({"temperature": 0.0}, "temperature must be a positive, finite number"),
        ({"temperature": float("inf")}, "temperature must be a positive, finite number"),
        ({"temperature": torch.tensor(0.01)}, r"for a tensor, pass tensor\.item\(\)"),
    ],
)
def test_inconsistent_banks_are_refused(change, message) -> None:
    good = {"classnames": NAMES, "n_base": 2, "embeddings": torch.eye(4), "temperature": 0.01}
    with pytest.raises(InputError, match=message):
        sar_reg.AnchorBank(**{**good, **change})


TWINS = ("missile", "beagle", "missile", "red fox")


def test_repeated_base_classes_are_refused_unless_asked_for(clip) -> None:
    with pytest.raises(InputError, match=r"'missile' and 'missile' are the same .* pass allow_repeated=True"):
        sar_reg.build_anchor_bank(*clip, TWINS[:3])
    bank = sar_reg.build_anchor_bank(*clip, TWINS[:3], novel=TWINS[3:], batch_size=2, allow_repeated=True)
    assert bank.classnames == TWINS
    assert torch.equal(bank.embeddings[0], bank.embeddings[2])
    for novel in (["Missile"], ["otter", "otter"]):
        with pytest.raises(InputError, match="are the same"):
            sar_reg.build_anchor_bank(*clip, TWINS[:3], novel=novel, allow_repeated=True)


@pytest.mark.parametrize("other", ["Missile", "missile_", "missile  "])
def test_spellings_of_one_name_are_repeated_base_classes_too(clip, other: str) -> None:
    names = ("missile", "beagle", other)
    with pytest.raises(InputError, match=r"are the same .* pass allow_repeated=True"):
        sar_reg.build_anchor_bank(*clip, names)
    bank = sar_reg.build_anchor_bank(*clip, names, allow_repeated=True)
    assert bank.classnames == names
    assert torch.equal(bank.embeddings[0], bank.embeddings[2])
    encoder = sar_reg.PromptEncoder(*clip, bank.classnames, n_ctx=2)
    text = encoder(encoder.random_context())
    assert torch.allclose(text[0], text[2])


def test_a_bank_with_repeated_classes_is_saved_and_cut_like_any_other(clip, tmp_path: Path) -> None:
    bank = sar_reg.build_anchor_bank(*clip, TWINS[:3], novel=TWINS[3:], allow_repeated=True)
    assert sar_reg.AnchorBank.load(bank.save(tmp_path / "bank.safetensors")).classnames == TWINS
    assert bank.subset(n_novel=0).classnames == bank.to("cpu").base_classes


@pytest.mark.parametrize("sampling", ["ring", "independent"])
@pytest.mark.parametrize("sample_size", [2, None])
def test_sar_of_repeated_classes_is_finite(clip, sampling, sample_size) -> None:
    bank = sar_reg.build_anchor_bank(*clip, TWINS[:3], novel=TWINS[3:], allow_repeated=True)
    loss = sar_reg.SimilarityAlignmentLoss(bank, sample_size=sample_size, sampling=sampling)
    for noise in (0.0, 0.1):
        moved = bank.embeddings + noise * torch.randn(4, 48, generator=torch.Generator().manual_seed(2))
        moved[2] = moved[0]  # a prompt gives twins one row
        learned = moved.requires_grad_()
        value = loss(learned)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(learned.grad).all()
        assert (value.item() < 1e-5) == (noise == 0.0)
