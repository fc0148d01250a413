"""A rehearsal does the whole plan on made-up data, says what it covered, and leaves nothing but a failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.paper import command, engine, rehearsal
from examples.protocol.data import open_dataset
from examples.protocol.data.catalogue import SHIFTED
from examples.protocol.data.fabricate import DECLARED
from examples.protocol.runs import experiment
from sar_reg.errors import InputError
from tests import ROOT

TWINS = ["tench", "missile", "ostrich", "toaster", "volcano", "missile", "sunglasses", "sunglasses"]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    engine.shared_experiment.cache_clear()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        command.main((*arguments, "--rehearse"))
    return ended.value.code


def test_every_run_is_done_and_everything_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("table3", "--methods", "CoOp", "--seeds", "1", "--datasets", "eurosat") == 0
    lines = capsys.readouterr().out.splitlines()
    covered = "2 runs of CoOp, seeds 1; data sets (classes): eurosat (10)"
    assert lines[0] == f"table3: {covered}"
    assert [Path(line).name for line in lines[1:3]] == ["table3.md", "table3.csv"]
    assert lines[3].startswith(f"rehearsed table3: {covered}. ")
    assert lines[3].endswith(" is removed")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_is_reported_and_its_folder_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("table3", "--methods", "CoOp", "--seeds", "1", "--datasets", "eurosat")
    assert run(*arguments, "--novel", str(tmp_path / "absent.txt")) == 1
    error = capsys.readouterr().err
    (folder,) = tmp_path.iterdir()
    assert f"rehearsal: 2 runs failed; {folder} is kept" in error
    log = folder / "runs" / "failed" / "eurosat-coop-sar-seed1.log"
    assert f"failed: eurosat-coop-sar-seed1, see {log}" in error
    assert "absent.txt" in log.read_text()


def test_classes_of_one_name_are_trained_on_and_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment._warn_of_repeats.cache_clear()
    monkeypatch.setattr(rehearsal, "names_of", lambda key, classes: TWINS)
    removed = []
    monkeypatch.setattr("shutil.rmtree", removed.append)
    with pytest.warns(UserWarning, match="several classes called missile, sunglasses"):
        assert run("table5", "--methods", "CoOp", "--seeds", "1") == 0, capsys.readouterr().err
    # said once per process: here a second warning would be an error
    again = ("table3", "--methods", "CoOp", "--seeds", "1", "--datasets", "imagenet")
    assert run(*again) == 0, capsys.readouterr().err
    records = [json.loads(path.read_text()) for path in removed[0].glob("runs/*.json")]
    assert len(records) == 2
    for record in records:
        assert set(record["results"]) == {"source", *SHIFTED, "sar_loss"}
        # of each pair of twins only the first can be right
        assert record["results"]["source"] <= 100 * 6 / 8
        assert 0 <= record["results"]["sar_loss"] < 100


def test_options_without_effect_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("table3", "--model", "ViT-B-32", "--no-run") == 2
    assert (
        "--rehearse makes data, model and output of its own; leave out --model, --no-run"
        in capsys.readouterr().err
    )
    assert run("fig1", "--estimate", "--data", "published") == 2
    assert "leave out --data, --estimate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "is removed, and the same command starts again"),
        (InputError("no such device"), 2, "error: no such device"),
    ],
)
def test_a_rehearsal_that_stops_leaves_nothing(
    error: BaseException,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object, **__: object) -> None:
        assert list(tmp_path.iterdir())
        raise error

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(rehearsal, "reproduce", stop)
    assert run("fig1", "--datasets", "eurosat") == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


WAITING = """
import signal, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would stay ignored, as it should
from examples.paper import command, rehearsal
def wait(folder, names, options):
    print(folder, flush=True)
    time.sleep(300)
rehearsal._rehearse_in = wait
command.main(["fig1", "--rehearse"])
"""


def test_a_rehearsal_that_is_terminated_leaves_nothing_and_ends_by_the_signal(
    tmp_path: Path, popen: Callable[..., subprocess.Popen[str]]
) -> None:
    signals = (signal.SIGTERM, signal.SIGHUP)
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    started = [
        popen(
            [sys.executable, "-c", WAITING],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in signals
    ]
    for process, number in zip(started, signals, strict=True):
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (-number, f"terminated; {folder} is removed\n")
    assert not list(tmp_path.glob("sar-reg-rehearsal-*"))


def test_a_signal_that_is_ignored_stays_ignored_and_others_come_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with rehearsal._raised_signals():
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(rehearsal.TerminatedError):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_lists_have_their_full_length_and_numbers_are_checked(tmp_path: Path) -> None:
    stage = rehearsal.set_up(tmp_path, ["imagenet_a", "dtd"])
    assert stage.classes == {"imagenet_a": 200, "dtd": 47}
    assert len(set(open_dataset("dtd", stage.data).classnames)) == 47
    numbers = json.loads((stage.data / DECLARED).read_text())
    assert numbers["dtd"] == [47, 94, 47, 94]
    (stage.data / DECLARED).write_text(json.dumps(numbers | {"dtd": [47, 94, 47, 95]}))
    with pytest.raises(InputError, match="dtd: expected 47 classes, 94 / 47 / 95 train / val / test images"):
        open_dataset("dtd", stage.data)
    (stage.data / DECLARED).unlink()
    with pytest.raises(InputError, match="expected 47 classes, 2820 / 1128 / 1692"):
        open_dataset("dtd", stage.data)
