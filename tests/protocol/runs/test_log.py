"""What a run leaves for those who look at curves: JSON lines always, TensorBoard's files on request."""

from __future__ import annotations

import json
from pathlib import Path

from examples.protocol.runs.log import Log

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
