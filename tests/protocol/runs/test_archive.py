"""Archives of run records, and the logs of a run: JSON lines always, TensorBoard's files on request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.protocol.runs.archive import LISTS, find_records, read_records, write_archives
from examples.protocol.runs.log import Log
from examples.protocol.runs.record import FORMAT, Record
from sar_reg.errors import InputError

NAMES = [f"name {i}" for i in range(20)]


def record(seed: int, names: list[str]) -> Record:
    return {
        "format": FORMAT,
        "seed": seed,
        "bank": {"novel": names, "templates": ["a {}.", "the {}."]},
        "curves": {"ce": [0.5] * 10},
        "command": ["python", *map(str, range(12))],
    }


RECORDS = [record(1, NAMES), record(2, [*NAMES[:-1], "a line\u2028of its own"]), record(3, NAMES)]


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    write_archives(tmp_path, {"one": RECORDS[:2], "two": RECORDS[2:]})
    assert read_records(tmp_path / "one.jsonl") == RECORDS[:2]
    assert read_records(tmp_path / "two.jsonl") == RECORDS[2:]


def test_a_list_is_written_once(tmp_path: Path) -> None:
    written = write_archives(tmp_path, {"one": RECORDS[:2], "two": RECORDS[2:]})
    assert sorted(path.name for path in written) == ["lists.jsonl", "one.jsonl", "two.jsonl"]
    assert sum(path.read_text(encoding="utf-8").count("name 7") for path in written) == 2
    lines = (tmp_path / LISTS).read_text(encoding="utf-8").rstrip("\n").split("\n")
    kept = sorted(json.loads(line)["list"] for line in lines)
    assert kept == sorted(record["bank"]["novel"] for record in RECORDS[:2])


def test_folders_hold_one_file_per_run(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(RECORDS[1]))
    (tmp_path / "half.json").write_text(json.dumps(RECORDS[2])[:50])  # a run that is being written
    (tmp_path / "run.log.jsonl").write_text('{"epoch": 1}\n')
    assert [found["seed"] for found in find_records(tmp_path)] == [2]
    assert find_records(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        (LISTS, lambda text: text.replace("name 7", "name 8"), "the list .* was changed"),
        (LISTS, lambda text: "", "refers to a list that is not in .*; copy both files together"),
        ("one.jsonl", lambda text: text[:-10], "one.jsonl, line 3 is damaged"),
        (
            "one.jsonl",
            lambda text: text.replace(FORMAT, "other/1"),
            "one.jsonl, line 1: not a run record of format",
        ),
    ],
)
def test_damage_is_refused(tmp_path: Path, file: str, damage, message: str) -> None:
    write_archives(tmp_path, {"one": RECORDS})
    text = (tmp_path / file).read_text(encoding="utf-8")
    (tmp_path / file).write_text(damage(text), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_records(tmp_path / "one.jsonl")


EPOCHS = ({"loss": 1.5, "sar": 0.25}, {"loss": 1.0, "sar": 0.125})


def write(path: Path, *, tensorboard: bool) -> None:
    log = Log(path, "CoOp + SAR", tensorboard=tensorboard)
    for epoch, values in enumerate(EPOCHS):
        log(epoch, values)
    log.close()


def test_one_json_line_an_epoch(tmp_path: Path) -> None:
    write(tmp_path / "run.log.jsonl", tensorboard=False)
    lines = [json.loads(line) for line in (tmp_path / "run.log.jsonl").read_text().splitlines()]
    assert [line.pop("time") > 0 for line in lines] == [True, True]
    assert lines == [{"run": "CoOp + SAR", "epoch": n + 1, **values} for n, values in enumerate(EPOCHS)]
    assert [path.name for path in tmp_path.iterdir()] == ["run.log.jsonl"]


def test_tensorboard_reads_the_curves(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path / "run.log.jsonl", tensorboard=True)
    curves = EventAccumulator(str(tmp_path / "tensorboard" / "run")).Reload()
    assert sorted(curves.Tags()["scalars"]) == ["loss", "sar"]
    assert [(point.step, point.value) for point in curves.Scalars("sar")] == [(1, 0.25), (2, 0.125)]
    assert len((tmp_path / "run.log.jsonl").read_text().splitlines()) == 2
