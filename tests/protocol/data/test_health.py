"""What `check` and `prepare` say of whole, damaged, misplaced and absent data sets."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torchvision

from examples.protocol.data.__main__ import main
from examples.protocol.data.catalogue import SHIFTED, TABLE_3, CatalogueEntry, catalogue, entry_of
from examples.protocol.data.fabricate import fabricate
from examples.protocol.data.fetch import images_advice, split_advice
from examples.protocol.data.health import check, check_all
from sar_reg.cli.doctor import Finding
from sar_reg.errors import InputError


def by_subject(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {finding.subject.partition(": ")[2]: finding for finding in findings}


@pytest.fixture
def eurosat(tmp_path: Path) -> CatalogueEntry:
    """All ten classes with few images; the source expects just those."""
    home = fabricate(tmp_path, "eurosat", classes=10, images=(2, 1, 1))
    split = home / "split_zhou_EuroSAT.json"
    known = hashlib.sha256(split.read_bytes()).hexdigest()
    return replace(entry_of("eurosat"), counts=(20, 10, 10), sha256={split.name: known})


def test_a_complete_data_set_is_fine(eurosat: CatalogueEntry, tmp_path: Path) -> None:
    findings = check(eurosat, tmp_path, decode=-1)
    assert {finding.verdict for finding in findings} == {"ok"}
    found = by_subject(findings)
    assert found["numbers"].fact == "10 classes, 20 / 10 / 10 train / val / test images"
    assert found["class names"].fact == "Annual Crop Land … Sea or Lake, as in eurosat.txt"
    assert found["files"].fact == "40 images, all there"
    assert found["decoding"].fact == "40 images decoded"
    assert by_subject(check(eurosat, tmp_path, decode=7))["decoding"].fact == "7 images decoded"


def test_damage_is_found(eurosat: CatalogueEntry, tmp_path: Path) -> None:
    home = tmp_path / "eurosat"
    images = sorted((home / "2750").rglob("*.jpg"))
    images[0].unlink()
    images[1].write_bytes(images[1].read_bytes()[:-200])
    split = home / "split_zhou_EuroSAT.json"
    split.write_text(split.read_text().replace('"River"', '"Stream"'))
    (home / "split_fewshot").mkdir()
    (home / "split_fewshot" / "shot_16-seed_1.pkl").write_bytes(b"")
    found = by_subject(check(replace(eurosat, counts=(20, 10, 11)), tmp_path, decode=-1))
    assert found["split"].verdict == "warning"
    assert found["split"].fact.startswith("split_zhou_EuroSAT.json differs from the file")
    assert found["numbers"].verdict == "failure"
    assert found["numbers"].fact.endswith("published: 10 classes, 20 / 10 / 11 train / val / test images")
    assert found["class names"].verdict == "warning"
    assert found["class names"].fact.endswith('the first that differs is "Stream" here, "River" there')
    assert found["files"].verdict == "failure"
    assert found["files"].fact == f"missing: 1 of 40 images, the first {images[0].relative_to(home / '2750')}"
    assert found["decoding"].verdict == "failure"
    assert found["decoding"].fact.startswith("1 of 39 images cannot be decoded: ")
    assert found["caches"].verdict == "note"
    assert found["caches"].fact.startswith("ignored: 1 pickle file of another tool (shot_16-seed_1.pkl, …)")


def test_a_split_file_that_cannot_be_read(eurosat: CatalogueEntry, tmp_path: Path) -> None:
    (tmp_path / "eurosat" / "split_zhou_EuroSAT.json").write_text("{")
    found = by_subject(check(eurosat, tmp_path))
    assert found["reading"].verdict == "failure"
    assert "not a split file (JSONDecodeError" in found["reading"].fact


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("eurosat/eurosat/2750", "eurosat/eurosat looks like it, one level too deep"),
        ("eurosat/EuroSAT_MS", "it holds the folders EuroSAT_MS: rename or link"),
        ("EuroSAT/2750", "EuroSAT looks like it: rename it to eurosat or link it"),
    ],
)
def test_a_misplaced_folder_is_recognised(place: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / place).mkdir(parents=True)
    assert hint in by_subject(check(entry_of("eurosat"), tmp_path))["images"].fact


@pytest.mark.parametrize("key", [*TABLE_3, *SHIFTED])
def test_an_absent_data_set_says_what_to_fetch(key: str, tmp_path: Path) -> None:
    source = entry_of(key)
    found = by_subject(check(source, tmp_path))
    assert {name: finding.verdict for name, finding in found.items()} == dict.fromkeys(
        ("images", "split"), "failure"
    )
    assert str(tmp_path / source.folders[0]) in found["images"].advice
    assert str(tmp_path / source.folders[0]) in found["split"].advice
    assert ("hf download" in found["images"].advice) == (key != "imagenet")
    assert ("drive.google.com" in found["split"].advice) == (key != "fgvc_aircraft")


def test_the_catalogue_holds_the_published_facts() -> None:
    assert [entry_of(key).classes for key in TABLE_3] == [
        1000,
        100,
        37,
        196,
        102,
        101,
        100,
        397,
        47,
        10,
        101,
    ]
    assert set(catalogue()) == {*TABLE_3, *SHIFTED}
    pairs = [entry_of(key).zero_shot or (0.0, 0.0) for key in TABLE_3]
    base, new = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    assert (round(base, 2), round(new, 2)) == (69.34, 74.22)
    for source in catalogue().values():
        assert not source.torchvision or hasattr(torchvision.datasets, source.torchvision)
        assert all(len(known) == 64 for known in source.sha256.values())
    assert images_advice(entry_of("stanford_cars"), Path("d")).startswith("hf download zhengli97/")
    assert images_advice(entry_of("ucf101"), Path("d")).endswith(
        "midframes; the data set's own licence applies"
    )
    aircraft = images_advice(entry_of("fgvc_aircraft"), Path("d"))
    assert aircraft.endswith("; 2.8 GB, the data set's own licence applies (non-commercial research)")
    assert split_advice(entry_of("fgvc_aircraft"), Path("d")).endswith("into d/fgvc_aircraft")


def test_prepare_downloads_with_torchvision_then_checks(tmp_path: Path, monkeypatch, capsys) -> None:
    asked: list[tuple[str, bool]] = []

    def pretend(root: str, download: bool) -> None:
        asked.append((root, download))
        fabricate(tmp_path / "elsewhere", "dtd")
        shutil.move(tmp_path / "elsewhere" / "dtd", tmp_path / "dtd" / "dtd")
        (tmp_path / "dtd" / "dtd" / "split_zhou_DescribableTextures.json").unlink()

    monkeypatch.setattr(torchvision.datasets, "DTD", pretend)
    assert main(["prepare", "dtd", "--data", str(tmp_path)]) == 1
    assert asked == [(str(tmp_path), True)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"ok      dtd: download: images downloaded by torchvision into {tmp_path}"
    assert lines[1] == f"ok      dtd: images: in {tmp_path / 'dtd' / 'dtd' / 'images'}"
    assert lines[2] == "failure dtd: split: split_zhou_DescribableTextures.json is missing"
    assert main(["prepare", "--data", str(tmp_path), "dtd"]) == 1
    assert len(asked) == 1


def test_prepare_tells_when_a_download_fails(tmp_path: Path, monkeypatch, capsys) -> None:
    def unreachable(root: str, download: bool) -> None:
        raise OSError("name resolution failed")

    monkeypatch.setattr(torchvision.datasets, "EuroSAT", unreachable)
    assert main(["prepare", "eurosat", "--data", str(tmp_path), "--json"]) == 1
    first = json.loads(capsys.readouterr().out)[0]
    assert first["fact"] == "torchvision could not download it (OSError: name resolution failed)"
    assert "hf download zhengli97/prompt_learning_dataset eurosat.zip" in first["advice"]


def test_check_of_a_complete_data_set_exits_with_0(
    eurosat: CatalogueEntry, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("examples.protocol.data.health.entry_of", lambda key: eurosat)
    assert main(["check", "eurosat", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "6 ok, 0 note, 0 warning, 0 failure"


def test_an_unknown_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='no data set is called "cifar"'):
        main(["check", "cifar", "--data", str(tmp_path)])


def test_a_missing_folder_is_one_finding(tmp_path: Path) -> None:
    (finding,) = check_all(["dtd", "eurosat"], tmp_path / "none")
    assert finding.verdict == "failure"
    assert finding.fact == f"there is no folder {tmp_path / 'none'}"
