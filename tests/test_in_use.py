"""From a folder of odd photos to a classifier in use, by the commands of docs/use.md, on the testbed's model."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from examples import check, classify, export
from examples.coop.method import CoOp
from examples.coprompt.method import CoPrompt
from examples.kgcoop.method import KgCoOp
from examples.maple.method import MaPLe
from examples.protocol.data.reading import read_image
from examples.protocol.data.transforms import build, pixels_of
from examples.protocol.method import PromptMethod
from examples.protocol.runs.finished import open_finished
from examples.tcp.method import TCP
from examples.testbed import load_model
from sar_reg import LearnedPrompt
from sar_reg.bank import encode_templates, resolve_templates
from sar_reg.errors import InputError
from sar_reg.prompting import text_tower
from tests.fabricated.photos import FOODS, train, write_photos

METHODS: tuple[type[PromptMethod], ...] = (CoOp, KgCoOp, TCP, MaPLe, CoPrompt)
pytestmark = pytest.mark.filterwarnings("ignore:CoPrompt has no descriptions")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("in_use")


@pytest.fixture(scope="module")
def names(place: Path) -> tuple[str, ...]:
    return write_photos(place)


@pytest.fixture(scope="module")
def records(place: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """One run with SAR of every method, by its name."""
    found = {}
    for method in METHODS:
        augmentation = (
            ("--class-block", "1") if method is TCP else ("--depth", "2") if method in METHODS[3:] else ()
        )
        train(method, place, place / "runs", *augmentation)
        (found[method.__name__],) = (place / "runs").glob(f"photos-{method.__name__.lower()}-sar-*.json")
    return found


@pytest.fixture
def answers(capsys: pytest.CaptureFixture[str]) -> Iterator:
    """`answers(record, …)` runs the command with --json; gives what it printed by image name."""

    def ask(record: Path, *arguments: str) -> dict[str, dict]:
        capsys.readouterr()
        classify.main([str(record), *arguments, "--json"])
        return {Path(answer["image"]).name: answer for answer in json.loads(capsys.readouterr().out)}

    return ask


def test_check_finds_the_odd_ones(place: Path, names, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(place / "photos"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [source.split("/")[1] for source in report["broken"]] == ["0-0.png"]
    assert report["problems"] == []
    assert len(report["classes"]) == FOODS


@pytest.mark.parametrize("method", [method.__name__ for method in METHODS])
def test_all_methods_classify_trained_and_new_classes_in_one_list(
    method: str, records: dict[str, Path], place: Path, answers
) -> None:
    got = answers(records[method], str(place / "new"), "--top", "9")
    run = open_finished(records[method], CPU)
    assert len(run.trained) == 3
    assert len(run.classnames) == FOODS
    images = sorted(path for path in (place / "new").iterdir() if path.suffix == ".png")
    transform = build("none", pixels_of(run.model))
    learned = run.method(run.classnames)
    with torch.no_grad():
        logits = learned(torch.stack([transform(read_image(path)) for path in images]))
    for path, shares in zip(images, logits.softmax(dim=1), strict=True):
        answer = got[path.name]["classes"]
        assert {entry["name"] for entry in answer} == set(run.classnames)
        best = run.classnames[int(shares.argmax())]
        assert answer[0]["name"] == best
        assert answer[0]["probability"] == pytest.approx(float(shares.max()), abs=1e-5)
    assert got["broken.jpg"].keys() == {"image", "error"}
    assert got["broken.jpg"]["error"]


def test_what_coop_leaves_is_a_learned_prompt(records: dict[str, Path]) -> None:
    model, tokenizer = load_model()
    for method in ("CoOp", "KgCoOp"):
        prompt = LearnedPrompt.load(records[method].with_suffix(".safetensors"), model, tokenizer)
        run = open_finished(records[method], CPU)
        assert prompt.classnames == run.trained
        assert prompt.lam == run.config.recipe.lam
        assert prompt.made["method"] == method
        rows = run.classifier(run.method(["soup", "apple pie"]))
        torch.testing.assert_close(prompt.classifier(["soup", "apple pie"]), rows, rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="is not a learned prompt"):
        LearnedPrompt.load(records["TCP"].with_suffix(".safetensors"), model, tokenizer)


def test_a_class_is_added_next_month(records, place: Path, names, answers) -> None:
    run = open_finished(records["CoOp"], CPU)
    listed = ",".join([*run.classnames, names[FOODS]])
    got = answers(records["CoOp"], str(place / "new" / f"{FOODS}-0.png"), "--classes", listed, "--top", "6")
    assert len(got[f"{FOODS}-0.png"]["classes"]) == FOODS + 1
    words = place / "classes.txt"
    words.write_text("\n".join(listed.split(",")))
    again = answers(
        records["CoOp"], str(place / "new" / f"{FOODS}-0.png"), "--classes", str(words), "--top", "6"
    )
    assert again == got


def test_handcrafted_prompts_for_new_classes_classes(records) -> None:
    run = open_finished(records["CoOp"], CPU)
    method = run.method(run.classnames)
    learned, mixed = (
        run.classifier(method, new_classes=new_classes) for new_classes in ("learned", "handcrafted")
    )
    handcrafted = encode_templates(
        text_tower(run.model, run.tokenizer), run.classnames, resolve_templates("imagenet")
    )
    assert torch.equal(mixed[:3], learned[:3])
    torch.testing.assert_close(mixed[3:], handcrafted[3:], rtol=0, atol=1e-6)
    assert (mixed[3:] - learned[3:]).abs().max() > 1e-3


def test_files_folders_patterns_csv_and_throughput(
    records, place: Path, names, capsys: pytest.CaptureFixture[str]
) -> None:
    new = place / "new"
    given = [str(new / "0-test.png"), str(new), str(new / "*-test.png"), str(new / "gone.png")]
    assert classify.main([str(records["CoOp"]), *given, "--csv", str(place / "out.csv"), "--top", "2"]) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert sum("0-test.png" in line for line in lines) == 1
    assert sum("cannot be read" in line for line in lines) == 2
    assert f"{new / 'gone.png'}: cannot be read: No such file or directory" in lines
    assert re.search(r"\d+ images, 2 not read, 5 classes; \d+\.\d images/s on cpu", printed.err)
    rows = list(csv.DictReader((place / "out.csv").read_text().splitlines()))
    first = [row for row in rows if row["image"] == str(new / "0-test.png")]
    assert [row["rank"] for row in first] == ["1", "2"]
    assert f"{first[0]['class']} {100 * float(first[0]['probability']):.1f} %" in printed.out
    assert next(row for row in rows if row["image"] == str(new / "gone.png"))["error"]
    assert classify.main([str(records["CoOp"]), str(new / "0-test.png")]) == 0
    assert capsys.readouterr().err.startswith("1 image, 5 classes; ")


@pytest.mark.parametrize("new_classes", ["learned", "handcrafted"])
@pytest.mark.parametrize("method", ["CoOp", "KgCoOp", "TCP"])
def test_numpy_alone_gives_the_same_answers(
    method: str, new_classes: str, records, place: Path, names, answers
) -> None:
    head = place / f"{method}-{new_classes}.safetensors"
    listed = ",".join((*open_finished(records[method], CPU).classnames, names[FOODS]))
    export.main([str(records[method]), "-o", str(head), "--classes", listed, "--new-classes", new_classes])
    got = answers(
        records[method], str(place / "new"), "--classes", listed, "--new-classes", new_classes, "--top", "1"
    )
    got.pop("broken.jpg")
    model, _ = load_model()  # the user's own image tower; from here on numpy
    with safe_open(head, framework="np") as file:
        about, classifier = file.metadata(), file.get_tensor("classifier")
    size, mean, std = int(about["image_size"]), json.loads(about["mean"]), json.loads(about["std"])
    assert size == 40
    assert np.allclose(np.linalg.norm(classifier, axis=1), 1, atol=1e-5)
    classnames = json.loads(about["classnames"])
    for name, answer in got.items():
        image = Image.open(place / "new" / name).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        pixels = ((np.asarray(image) / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)[None]
        feature = model.encode_image(torch.from_numpy(pixels)).numpy()
        logits = float(about["logit_scale"]) * feature / np.linalg.norm(feature) @ classifier.T
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        (best,) = answer["classes"]
        assert classnames[int(logits.argmax())] == best["name"], name
        assert float(shares.max()) == pytest.approx(best["probability"], abs=1e-3)


def test_a_head_is_refused_where_it_would_give_other_answers(records, place: Path) -> None:
    for method in ("MaPLe", "CoPrompt"):
        with pytest.raises(InputError, match=f"{method} changes the image tower too.*examples.classify"):
            export.main([str(records[method]), "-o", str(place / "head.safetensors")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new/*.bmp"], r"new/\*.bmp holds no images; pass image files"),
        (["."], r"\. holds no images"),
        (["x.png", "--classes", "cat, Cat"], "--classes names cat twice"),
        (["x.png", "--classes", "blue tit,Blue_ Tit"], "--classes names blue tit twice"),
        (["x.png", "--classes", ","], "--classes holds no name"),
        (
            ["x.png", "--classes", "no/names.txt"],
            r"there is no file no/names.txt; --classes takes a file of names",
        ),
        (["x.png", "--classes", "apple"], "every image would be 100 % apple, the only class; name what else"),
        (["x.png", "--top", "0"], "--top must be 1 or more, not 0"),
        (["x.png", "--batch-size", "0"], "--batch-size must be 1 or more, not 0"),
    ],
)
def test_mistakes(arguments: list[str], message: str, records, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        classify.main([str(records["CoOp"]), *arguments])


def test_results_do_not_replace_what_they_are_made_from(records, place: Path, tmp_path: Path) -> None:
    record, image = records["CoOp"], place / "new" / "0-test.png"
    before = {path: path.read_bytes() for path in (record, record.with_suffix(".safetensors"), image)}
    (tmp_path / "link.csv").symlink_to(record)
    for csv_file in (record, tmp_path / "link.csv", image):
        with pytest.raises(InputError, match="is read here and would be overwritten; name another file"):
            classify.main([str(record), str(image), "--csv", str(csv_file)])
    for head in (record, record.with_suffix(".safetensors")):
        with pytest.raises(InputError, match="is read here and would be overwritten"):
            export.main([str(record), "-o", str(head)])
    assert before == {path: path.read_bytes() for path in before}


def test_records_that_cannot_be_used(records, place: Path, tmp_path: Path) -> None:
    record = records["CoOp"]
    copied = tmp_path / record.name
    copied.write_text(record.read_text())
    with pytest.raises(
        InputError, match=r"the learned tensors of .* are not at .*; keep both files together"
    ):
        open_finished(copied, CPU)
    content = json.loads(record.read_text())
    tensors = record.with_suffix(".safetensors").read_bytes()
    copied.with_suffix(".safetensors").write_bytes(tensors)
    copied.write_text(json.dumps(content | {"model": content["model"] | {"image_fingerprint": "0"}}))
    with pytest.raises(InputError, match="was trained with other weights than testbed has here"):
        open_finished(copied, CPU)
    content.pop("classnames")
    copied.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"is of another version \(it has no 'classnames'\); restore"):
        open_finished(copied, CPU)
    (zero_shot,) = (place / "runs").glob("photos-zero-shot-*.json")
    with pytest.raises(InputError, match="is a zero-shot record: nothing was learned"):
        open_finished(zero_shot, CPU)
    with pytest.raises(InputError, match="there is no file"):
        open_finished(tmp_path / "gone.json", CPU)
    copied.write_text("{}")
    with pytest.raises(InputError, match="is not a run record"):
        open_finished(copied, CPU)


WITHOUT = object()


@pytest.mark.parametrize(
    ("place_in_record", "value", "why"),
    [
        (("recipe", "colour"), "red", "colour"),
        (("recipe", "lr"), "fast", "lr must be a finite number, not 'fast'"),
        (("recipe", "optimizer"), "sdg", "optimizer must be one of sgd, adam, not 'sdg'"),
        (("recipe",), [1], "recipe"),
        (("source", "targets"), WITHOUT, "it has no 'targets'"),
        (("source", "targets"), 5, "int"),
        (("source", "model"), 5, "model must be of type str, not 5"),
        (("source", "colour"), "red", "colour"),
        (("source",), WITHOUT, "it has no 'source'"),
        (("source",), None, "None"),
        (("method",), WITHOUT, "it has no 'method'"),
        (("method",), "Nothing", "there is no method 'Nothing'"),
        (("method",), "COOP", "COOP"),
        (("method",), "paper.command", "there is no method 'paper.command'"),
        (("method",), 3, "3 is not a string"),
        (("seed",), "one", "seed must be a whole number"),
        (("sar",), 2, "sar must be of type bool"),
        (("identity",), WITHOUT, "it has no 'identity'"),
        (("classnames",), ["cat"], "list"),
        (("classnames", "new"), WITHOUT, "it has no 'new'"),
        (("classnames", "trained"), [1, 2], "1 is not a string"),
        (("model",), WITHOUT, "it has no 'model'"),
        (("model", "text_fingerprint"), WITHOUT, "it has no 'text_fingerprint'"),
    ],
)
def test_changed_records_are_refused(
    place_in_record: tuple[str, ...], value: object, why: str, records, tmp_path: Path
) -> None:
    content = json.loads(records["CoOp"].read_text())
    part = content
    for name in place_in_record[:-1]:
        part = part[name]
    part[place_in_record[-1]] = value
    if value is WITHOUT:
        del part[place_in_record[-1]]
    copied = tmp_path / "changed.json"
    copied.write_text(json.dumps(content))
    copied.with_suffix(".safetensors").write_bytes(records["CoOp"].with_suffix(".safetensors").read_bytes())
    with pytest.raises(
        InputError,
        match=rf"changed.json was changed or is of another version \(.*{why}.*restore the file, or train",
    ):
        open_finished(copied, CPU)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[", b"[]", b'"text"', b"null"])
def test_what_is_not_a_record_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_bytes(content)
    with pytest.raises(InputError, match=r"other\.json is not a run record; pass one of the"):
        open_finished(tmp_path / "other.json", CPU)


def test_the_last_fit(
    place: Path, names, tmp_path: Path, capsys: pytest.CaptureFixture[str], answers
) -> None:
    expected = tmp_path / "expected.txt"
    expected.write_text(f"{names[FOODS]}\n{names[0]}\nzabaglione\n")
    lone = place / "photos" / "lone"
    lone.mkdir()
    Image.new("RGB", (40, 40), "red").save(lone / "one.png")  # a class without test images
    try:
        train(CoOp, place, tmp_path, "--final", "--expected", str(expected))
    finally:
        (lone / "one.png").unlink()
        lone.rmdir()
    printed = capsys.readouterr().out
    (record,) = tmp_path.glob("photos-final-coop-sar-seed1-*.json")
    assert (
        f"CoOp + SAR, trained on {FOODS + 1} classes, expecting 2 more, 21 images; nothing was measured"
        in printed
    )
    assert printed.splitlines()[-1] == f"classify photos: python -m examples.classify {record} IMAGES"
    content = json.loads(record.read_text())
    assert content["classnames"]["new"] == [names[FOODS], "zabaglione"]
    assert content["bank"]["novel"][:2] == [names[FOODS], "zabaglione"]
    assert len(content["bank"]["novel"]) == 8
    assert content["joint"] is None
    assert len(content["training"]["shots_fingerprint"]) == 64
    got = answers(record, str(place / "new" / "0-test.png"), "--top", "20")["0-test.png"]
    assert len(got["classes"]) == FOODS + 3


@pytest.mark.parametrize(("arguments", "message"), [
    (("--final", "--base-classes", "x.txt"), "--final trains on all classes of your own photos"),
    (("--expected", "x.txt"), "--expected names classes to come, which only a last fit uses; pass --final"),
])  # fmt: skip
def test_a_last_fit_takes_all_classes(
    arguments, message: str, place: Path, names, tmp_path: Path, capsys
) -> None:
    with pytest.raises(SystemExit):
        train(CoOp, place, tmp_path, *arguments)
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
