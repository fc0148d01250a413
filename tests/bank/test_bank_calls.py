"""Calls of the bank that used to be silently wrong or to end in a raw error."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

import sar_reg
from sar_reg.bank import encode_templates
from sar_reg.errors import InputError
from sar_reg.novel import NovelClassesError, NovelNames
from sar_reg.prompting import text_tower

TEMPLATES = ["a photo of a {}."]


@pytest.fixture(scope="module")
def clip() -> tuple[open_clip.CLIP, open_clip.SimpleTokenizer]:
    torch.manual_seed(0)
    text = open_clip.CLIPTextCfg(width=64, heads=2, layers=3)
    vision = open_clip.CLIPVisionCfg(layers=1, width=64, head_width=32, patch_size=16, image_size=32)
    return open_clip.CLIP(48, vision, text).eval(), open_clip.SimpleTokenizer()


def build(clip: Any, names: Sequence[str] = ("cat", "red fox"), **options: Any) -> sar_reg.AnchorBank:
    return sar_reg.build_anchor_bank(*clip, names, **{"templates": TEMPLATES, **options})


def encode(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[float(len(text)), text.count("a"), 1.0] for text in texts])


def test_at_most_three_arguments_by_position(clip) -> None:
    with pytest.raises(TypeError, match="takes 3 positional arguments but 4"):
        sar_reg.build_anchor_bank(*clip, ["cat"], ["dog"])  # pyright: ignore[reportCallIssue]


def test_nothing_is_printed(clip, capfd: pytest.CaptureFixture[str]) -> None:
    build(clip, novel=["dog"], progress=True)
    assert tuple(capfd.readouterr()) == ("", "")


def test_swapped_model_and_tokenizer(clip) -> None:
    model, tokenizer = clip
    with pytest.raises(InputError, match=r"swapped; the order is \(model, tokenizer\)"):
        build((tokenizer, model))
    with pytest.raises(InputError, match=r"floating-point features; it returned torch\.int64"):
        build((tokenizer, None))
    with pytest.raises(InputError, match=r"has no tokenizer; pass tokenizer=None"):
        build((encode, tokenizer))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (unicodedata.normalize("NFC", "crème brûlée"), unicodedata.normalize("NFD", "crème brûlée")),
        ("R&B", "R&amp;B"),
        ("hot dog", "ｈｏｔ ｄｏｇ"),
        ("farmer's market", "farmer\u2019s market"),
    ],
)
def test_names_that_are_the_same_to_the_tokenizer(clip, one: str, other: str) -> None:
    for names, options in (([one, other], {}), ([one], {"novel": [other]})):
        with pytest.raises(InputError, match="are the same to the tokenizer") as caught:
            build(clip, names, **options)
        assert ascii(one) in str(caught.value)
        assert ascii(other) in str(caught.value)
    with pytest.raises(InputError, match="are the same to the tokenizer"):
        encode_templates(text_tower(*clip), [one, other], TEMPLATES)


def test_names_that_a_canonicalising_tokenizer_cannot_tell_apart(clip) -> None:
    model, _ = clip
    tokenizer = open_clip.SimpleTokenizer(clean="canonicalize")
    with pytest.raises(InputError, match=r"'C\+\+' and 'C#' are the same to the tokenizer"):
        build((model, tokenizer), ["C++", "C#"])


def test_names_that_a_function_cannot_tell_apart() -> None:
    with pytest.raises(InputError, match="'dog' and 'fox' are the same to the function"):
        build((encode, None), ["dog", "fox"])


def test_autocast_does_not_reach_the_bank(clip) -> None:
    plain = build(clip)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = build(clip)
    assert torch.equal(plain.embeddings, inside.embeddings)


def test_a_bank_made_in_inference_mode_can_be_trained_with(clip) -> None:
    with torch.inference_mode():
        bank = build(clip, ("cat", "red fox", "beagle"))
        given = sar_reg.AnchorBank(("a", "b"), 1, torch.eye(2), 0.01)
    assert not bank.embeddings.is_inference()
    assert not given.embeddings.is_inference()
    rows = bank.embeddings.clone().requires_grad_()
    sar_reg.SimilarityAlignmentLoss(bank, sample_size=2)(rows + 0.1 * torch.eye(3, 48)).backward()


def test_numpy_numbers_and_names(clip) -> None:
    names = np.array(["cat", "red fox", "beagle"])
    bank = build(
        clip,
        names[:2],
        novel=names[2:],
        n_novel=np.int64(1),
        batch_size=np.int32(2),
        exclude=names[:0],
    )
    assert bank.classnames == ("cat", "red fox", "beagle")
    assert all(type(name) is str for name in bank.classnames)
    assert bank.subset(n_novel=np.int64(0), seed=np.int64(1)).n_novel == 0
    made = sar_reg.AnchorBank(
        names, np.int64(2), torch.eye(3), np.float32(0.5),
        provenance={"n": np.int64(3), "accuracy": np.float32(0.5), "rows": np.arange(2), "file": Path("a")},
    )  # fmt: skip
    assert made.provenance == {"n": 3, "accuracy": 0.5, "rows": [0, 1], "file": "a"}
    assert (type(made.n_base), made.temperature) == (int, 0.5)


def test_provenance_survives_saving(tmp_path: Path) -> None:
    bank = sar_reg.AnchorBank(("a", "b"), 1, torch.eye(2), 0.01, provenance={"seeds": (np.int64(1), 2)})
    assert (
        sar_reg.AnchorBank.load(bank.save(tmp_path / "b")).provenance == bank.provenance == {"seeds": [1, 2]}
    )


@pytest.mark.parametrize("device", ["gpu", "cuda:99", 3.5, "meta:x"])
def test_a_device_that_is_not_there_is_no_damage(tmp_path: Path, clip, device: Any) -> None:
    bank = sar_reg.AnchorBank(("a", "b"), 1, torch.eye(2), 0.01)
    path = bank.save(tmp_path / "bank.safetensors")
    calls: list[Callable[[], Any]] = [
        lambda: sar_reg.AnchorBank.load(path, device=device),
        lambda: bank.to(device),
        lambda: build(clip, device=device),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r'device must be one that PyTorch has here, such as "cpu"'):
            call()


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    bank = sar_reg.AnchorBank(("a", "b"), 1, torch.eye(2), 0.01)
    with pytest.raises(InputError, match="it is a folder; name a file"):
        bank.save(tmp_path)
    with pytest.raises(FileNotFoundError, match="no anchor bank at"):
        sar_reg.AnchorBank.load(tmp_path)
    for call in (bank.save, sar_reg.AnchorBank.load):
        with pytest.raises(InputError, match=r"expected the path of a file as text or pathlib\.Path, not 3"):
            call(3)  # pyright: ignore[reportArgumentType]


def test_template_functions_are_accepted(clip) -> None:
    given = open_clip.OPENAI_IMAGENET_TEMPLATES[:5]
    bank = build(clip, templates=given)
    assert bank.templates == tuple(template("{}") for template in given)
    expected = open_clip.build_zero_shot_classifier(*clip, ["cat", "red fox"], given).T
    torch.testing.assert_close(bank.embeddings, expected, atol=2e-6, rtol=0)
    with pytest.raises(
        InputError, match="must put the name into a sentence unchanged, but for 'Apple Pie' it returned"
    ):
        build(clip, templates=[lambda name: f"a {name.lower()}."])
    with pytest.raises(InputError, match=r"the template 'cat' must contain '\{\}' exactly once"):
        build(clip, templates=[lambda name: "cat"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_classes": None}, "base_classes must be a list of class names, not NoneType"),
        ({"base_classes": 3}, "base_classes must be a list of class names, not int"),
        ({"base_classes": {0: "cat"}}, r"not a mapping; pass list\(mapping\.values\(\)\)"),
        ({"base_classes": b"cat"}, "base_classes must be a list of class names, not one string"),
        ({"base_classes": torch.zeros(2)}, r"base_classes\[0\] is .*, not a string"),
        ({"base_classes": np.array("cat")}, "base_classes must be a list of class names, not ndarray"),
        ({"novel": "cat"}, "novel must be a list of class names, not one string"),
        ({"novel": {1: "dog"}}, "novel must be a list of class names, not a mapping"),
        ({"exclude": None}, "exclude must be a list of class names, not NoneType"),
        ({"exclude": ["owl", 1]}, r"exclude\[1\] is 1, not a string"),
        ({"n_novel": True}, "n_novel must be an int of 0 or more, not True"),
        ({"n_novel": "3"}, "n_novel must be an int of 0 or more, not '3'"),
        ({"n_novel": 20}, r"n_novel=20 needs novel=: pass a list of names or a source"),
        ({"progress": "no"}, "progress must be True or False, not 'no'"),
        ({"offline": "no"}, "offline must be True or False, not 'no'"),
        ({"n_novel": float("nan")}, "n_novel must be an int of 0 or more, not nan"),
        ({"batch_size": 2.0}, r"batch_size must be an int of 1 or more, not 2\.0"),
        ({"n_novel": torch.tensor(3)}, r"n_novel must be an int of 0 or more, not tensor\(3\)"),
        ({"templates": None}, "templates must be a data set's key or a list of templates, not NoneType"),
        ({"templates": {"a {}."}}, "templates must be a data set's key or a list of templates, not set"),
        ({"templates": lambda name: name}, "a list of templates, not function"),
        ({"templates": [3]}, r"the template 3 must contain '\{\}' exactly once"),
        ({"templates": "imagenets"}, "did you mean imagenet?"),
        ({"cache_dir": 3}, "expected the path of a file as text or pathlib.Path, not 3"),
    ],
)
def test_wrong_types_are_refused_in_words(clip, options: dict[str, Any], message: str) -> None:
    settings = {"base_classes": ["cat"], "templates": TEMPLATES, **options}
    with pytest.raises(InputError, match=message):
        sar_reg.build_anchor_bank(*clip, **settings)


def test_a_source_that_returns_something_else_is_refused(clip) -> None:
    class Own:
        def __init__(self, made: Any) -> None:
            self.made = made

        def generate(self, base: Sequence[str], n: int, *, exclude: Sequence[str], seed: int) -> Any:
            return self.made

        def __repr__(self) -> str:
            return "Own()"

    for made in ("lynx", None, [1], {"lynx"}):
        with pytest.raises(InputError, match=r"what Own\(\) returned"):
            build(clip, novel=Own(made))


def test_exclude_may_be_a_set_and_reaches_the_source_whole(clip) -> None:
    seen: list[Any] = []

    class Own:
        def generate(self, base: Sequence[str], n: int, *, exclude: Sequence[str], seed: int) -> list[str]:
            seen.append(exclude)
            return ["lynx", "jaguars"]

    bank = build(clip, novel=Own(), n_novel=1, exclude={"jaguar"})
    assert (seen, bank.novel_classes) == ([("jaguar",)], ("lynx",))


def test_the_number_of_novel_classes_is_the_one_asked_for(clip) -> None:
    class Own:
        def generate(self, base: Sequence[str], n: int, *, exclude: Sequence[str], seed: int) -> list[str]:
            return ["lynx", "jaguar", "puma"]

    class States(Own):
        def generate(self, *arguments: Any, **options: Any) -> Any:
            names = tuple(super().generate(*arguments, **options))
            return NovelNames(names, {"source": "mine", "outcome": {"asked": 2, "kept": 3}})

    class Lacks:
        def generate(self, base: Sequence[str], n: int) -> list[str]:
            return []

    many = [f"class {i}" for i in range(201)]
    assert build(clip, novel=many).n_novel == 201
    assert build(clip, novel=many, n_novel=3).novel_classes == tuple(many[:3])
    assert build(clip, novel=Own(), n_novel=2).novel_classes == ("lynx", "jaguar")
    assert build(clip, novel=States(), n_novel=2).n_novel == 3
    without = build(clip, novel=States(), n_novel=2, exclude=["lynx"])
    assert without.provenance == {"source": "mine", "outcome": {"asked": 2, "kept": 2}}
    with pytest.raises(NovelClassesError, match="asked for 2 novel classes, but States has 1"):
        build(clip, novel=States(), n_novel=2, exclude=["lynx", "puma"])
    for novel, who in ((Own(), "Own"), (["lynx", "jaguar", "puma"], "novel=")):
        with pytest.raises(NovelClassesError, match=f"asked for 4 novel classes, but {who} .* 3") as caught:
            build(clip, novel=novel, n_novel=4)
        assert caught.value.names == ["lynx", "jaguar", "puma"]
    with pytest.raises(
        InputError, match=r"Lacks\.generate must accept \(base_classes, n, \*, exclude, seed\)"
    ):
        build(clip, novel=Lacks())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classnames": "ab"}, "classnames must be a list of class names, not one string"),
        ({"templates": "a {}."}, "templates must be a list of templates, not one string"),
        ({"embeddings": np.eye(2, dtype=np.float32)}, r"must be a torch\.Tensor, not ndarray"),
        ({"embeddings": torch.tensor(1.0)}, r"of shape \(2, D\)"),
        (
            {"embeddings": torch.eye(2, device="meta")},
            "^embeddings on the meta device have no values; keep them ",
        ),
        ({"n_base": True}, r"n_base must be an int in 1\.\.2, not True"),
        ({"temperature": "0.01"}, r"positive, finite number .* not '0\.01'"),
        ({"temperature": True}, "positive, finite number .* not True"),
        ({"temperature": 10**400}, "positive, finite number .* not 10000"),
        ({"temperature": float("nan")}, "positive, finite number .* not nan"),
        ({"fingerprint": None}, "fingerprint must be text"),
        ({"allow_repeated": "no"}, "allow_repeated must be True or False, not 'no'"),
        ({"provenance": {"x": object()}}, "provenance must be a dict of JSON values"),
        ({"provenance": {"x": float("nan")}}, "provenance must be a dict of JSON values"),
        ({"provenance": None}, "provenance must be a dict of JSON values"),
    ],
)
def test_a_bank_of_wrong_types_is_refused_in_words(change: dict[str, Any], message: str) -> None:
    good = {"classnames": ("a", "b"), "n_base": 1, "embeddings": torch.eye(2), "temperature": 0.01}
    with pytest.raises(InputError, match=message):
        sar_reg.AnchorBank(**{**good, **change})


def test_methods_refuse_wrong_types_in_words() -> None:
    bank = sar_reg.AnchorBank(("a", "b"), 1, torch.eye(2), 0.01)
    for call, message in (
        (lambda: bank.subset(n_novel=1, seed=-1), "seed must be an int of 0 or more, not -1"),
        (lambda: bank.report("owl"), "new_classes must be a list of class names, not one string"),
        (lambda: bank.report(sample=1.5), r"sample must be an int of 0 or more, not 1\.5"),
        (lambda: bank.report(seed="x"), r"seed must be an int in 0\.\.\d+, not 'x'"),
        (lambda: bank.overlap("owl"), "new_classes must be a list of class names, not one string"),
        (lambda: bank.overlap(["owl"], [[1.0, 0.0]]), r"features must have shape \(1, 2\)"),
        (lambda: bank.overlap(["owl"], threshold="x"), "threshold must be a cosine in -1..1, not 'x'"),
        (lambda: encode_templates(3, ["a"], TEMPLATES), "got int"),  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(InputError, match=message):
            call()
