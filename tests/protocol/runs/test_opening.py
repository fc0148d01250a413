"""What a source names is opened, or refused in words."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import open_clip
import pytest
import torch
from PIL import Image

from examples.protocol.recipe import Recipe
from examples.protocol.runs import experiment, hub, novel_names
from examples.protocol.runs import loading as opening
from examples.protocol.runs.config import RunSource
from sar_reg.errors import InputError
from sar_reg.novel import Oracle, WordList
from tests.fabricated.runs import Squares

CPU = torch.device("cpu")


def test_unknown_data_sets_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"the testbed has no data set 'animal'; it has: animals, food, .*; did you mean animals\?",
    ):
        opening.open_source(RunSource("animal"), "animal")
    with pytest.raises(InputError, match="there is no folder /nowhere; pass --data testbed, or the folder"):
        opening.open_source(RunSource("dtd", data="/nowhere"), "dtd")
    with pytest.raises(InputError, match=r"dtd: .* is missing, and no split is ever made up"):
        opening.open_source(RunSource("dtd", data=str(tmp_path)), "dtd")


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "pets" / name / f"{i}.png")
    dataset = opening.open_source(RunSource("pets", data=str(tmp_path)), "pets")
    assert dataset.classnames == ("cat", "dog")
    assert len(dataset.train) == 4


def test_unknown_weights_are_refused() -> None:
    source = RunSource("dtd", data="somewhere", pretrained="nobody")
    with pytest.raises(InputError, match="open_clip has no weights 'nobody' for 'ViT-B-16-quickgelu'"):
        opening.load_clip(source, "fp32", CPU)


def test_fp16_on_the_testbed_is_refused() -> None:
    with pytest.raises(InputError, match="precision fp16 repeats the released code on real CLIP weights"):
        opening.load_clip(RunSource("food"), "fp16", CPU)


def test_kept_pictures_are_drawn_once_whatever_their_label() -> None:
    class Counting(Squares):
        drawn = 0

        def image(self, example):
            Counting.drawn += 1
            return super().image(example)

    kept = opening.CachedDataset(Counting())
    example = kept.test[0]
    first = kept.image(example)
    assert kept.image(replace(example, label=3)) is first
    assert kept.image(replace(example, scene=99)) is not first
    assert Counting.drawn == 2
    assert kept.classnames == Squares().classnames


def test_sources_of_novel_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novel_names, "LISTS", tmp_path)
    (tmp_path / "food.wordnet-related.json").write_text('["kettle", "saddle"]')
    related = novel_names.novel_source(RunSource("food"), ())
    assert isinstance(related, WordList)
    assert related.words == ("kettle", "saddle")
    file = tmp_path / "words.txt"
    file.write_text("puma\n")
    coming = tmp_path / "coming.txt"
    coming.write_text("puma\n")
    last = RunSource("cats", data="photos", novel=str(file), final=True, expected=str(coming))
    assert novel_names.novel_source(last, ("puma",)).generate(["cat"], 9, exclude=(), seed=0) == ["puma"]
    oracle = novel_names.novel_source(RunSource("food", novel="oracle"), ("egg", "fig"))
    assert isinstance(oracle, Oracle)
    words = novel_names.novel_source(RunSource("food", novel="list"), ())
    assert len(words.words) > 1000


def test_weights_that_cannot_be_loaded_end_in_words(tmp_path: Path) -> None:
    damaged = tmp_path / "weights.bin"
    damaged.write_bytes(b"no weights")
    source = RunSource("dtd", data="somewhere", model="ViT-S-32-alt", pretrained=str(damaged))
    with pytest.raises(InputError, match=r"could not be loaded .* pass the file with --pretrained FILE"):
        opening.load_clip(source, "fp32", CPU)


def test_without_network_the_hubs_cache_alone_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    constants = huggingface_hub.constants

    def create_model(*_: object, **__: object) -> None:
        asked.append(constants.HF_HUB_OFFLINE)
        raise RuntimeError("not in the cache")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(open_clip, "create_model", create_model)
    for reachable in (True, False):
        monkeypatch.setattr(hub, "answers", lambda endpoint, reachable=reachable: reachable)
        with pytest.raises(InputError, match=r"not in the cache.*or try the commands with --model testbed"):
            opening.load_clip(RunSource("dtd", data="somewhere"), "fp32", CPU)
    assert asked == [False, True]
    assert constants.HF_HUB_OFFLINE is False


def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "getproxies", dict)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        assert not hub.answers(f"http://127.0.0.1:{port}")
        listening.listen()
        assert hub.answers(f"http://127.0.0.1:{port}")
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy"})
    assert hub.answers("http://127.0.0.1:1")


def test_a_wrong_folder_is_told_before_weights_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "open_source", opening.open_source)
    monkeypatch.setattr(experiment, "load_clip", opening.load_clip)
    with pytest.raises(InputError, match="there is no folder /nowhere"):
        experiment.Experiment(
            RunSource("dtd", data="/nowhere", pretrained="nobody"),
            experiment.ExperimentSettings.of(Recipe()),
            CPU,
        )


def test_runs_on_the_testbed_name_its_model() -> None:
    source = RunSource("food")
    assert (source.model, source.pretrained) == ("testbed", "shipped")
    assert RunSource("dtd", data="/data").model == "ViT-B-16-quickgelu"
    with pytest.raises(
        InputError, match=r"the testbed has a model of its own, so --model .* \(ViT-L-14, openai\)"
    ):
        RunSource("food", model="ViT-L-14")
