"""A run and its record: what is in it, when it counts as done, what it depends on."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

import sar_reg
from examples.coop.method import CoOp
from examples.protocol.data import fingerprint
from examples.protocol.evaluation import harmonic_mean
from examples.protocol.runs.archive import read_records
from examples.protocol.runs.experiment import Experiment
from examples.protocol.runs.finished import open_finished
from examples.protocol.runs.record import read_record
from examples.protocol.runs.run import Run, describe_bank
from sar_reg import AnchorBank, SimilarityAlignmentLoss
from sar_reg.errors import InputError
from tests.protocol.conftest import MakeRun


def test_the_record_says_which_novel_names_are_held_out_in_any_spelling() -> None:
    rows = torch.nn.functional.normalize(torch.ones(4, 2), dim=1)
    bank = AnchorBank(("pug", "Beagles", "lynx", "tabby_cat"), 1, rows, 0.01, ("a {}.",))
    told = describe_bank(cast(Experiment, SimpleNamespace(bank=bank, held_out=("beagle", "tabby cat"))))
    assert told["overlap_with_held_out"] == ["tabby_cat", "Beagles"]


def test_the_record_says_what_was_run_and_what_came_out(make_run: MakeRun) -> None:
    run = make_run()
    record = run.start()
    assert json.loads(run.files.record.read_text()) == {"format": "sar_reg.run/2", **record}
    assert record["title"] == "CoOp + SAR"
    assert record["recipe"]["lam"] == 1.0
    assert {name: len(curve) for name, curve in record["curves"].items()} == dict.fromkeys(
        ("lr", "loss", "ce", "sar"), 3
    )
    results = record["results"]
    assert results["h"] == harmonic_mean(results["base"], results["new"])
    assert record["training"]["images"] == 4 * 4
    assert record["bank"]["overlap_with_held_out"] == []
    assert len(record["bank"]["novel"]) == 6
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert record["versions"]["sar-reg"] == sar_reg.__version__
    assert record["seed"] == 1
    assert record["command"][1:] == sys.orig_argv[1:]
    assert record["git"] is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?|v.*", record["git"])
    assert record["hardware"]["device"] == "cpu"
    assert record["data"]["fingerprint"] == fingerprint(run.experiment.dataset)
    assert record["training"]["shots_fingerprint"] == fingerprint(run.experiment.training_set(1))
    assert record["training"]["transform"]["kind"] == "none"
    assert record["seconds"]["training"] > 0
    assert record["peak_memory_mib"] > 50
    assert not run.files.checkpoint.exists()
    lines = [json.loads(line) for line in run.files.log.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["ce"] for line in lines] == record["curves"]["ce"]


def test_learned_tensors_are_kept_and_give_the_final_sar_loss(make_run: MakeRun) -> None:
    run = make_run()
    record = run.start()
    whole = SimilarityAlignmentLoss(run.experiment.bank, sample_size=None).eval()
    with torch.no_grad():
        assert whole(run.load().encode_text()).item() == record["results"]["sar_loss"]


def test_sar_holds_the_similarities(make_run: MakeRun) -> None:
    alone, regularised = (make_run(sar=sar, epochs=8, lr=0.1).start() for sar in (False, True))
    assert regularised["results"]["sar_loss"] < 0.8 * alone["results"]["sar_loss"]
    assert "sar" not in alone["curves"]
    assert alone["bank"] is None


def test_the_same_run_twice_is_the_same_bit_for_bit(make_run: MakeRun) -> None:
    first, second = make_run().start(), make_run().start()
    assert first["results"] == second["results"]
    assert first["curves"] == second["curves"]


def test_a_finished_run_is_recognised_by_what_decides_it(make_run: MakeRun) -> None:
    run = make_run()
    assert run.finished() is None
    record = run.start()
    assert make_run().finished() == read_record(run.files.record)
    assert make_run(test_batch_size=7).finished()["identity"] == record["identity"]
    for change in ({"seed": 2}, {"lam": 0.5}, {"sar": False}, {"epochs": 4}, {"n_novel": 5}, {"shots": 3}):
        assert make_run(**change).finished() is None, change


def test_a_run_without_sar_does_not_depend_on_sars_settings(make_run: MakeRun) -> None:
    one, other = make_run(sar=False), make_run(sar=False, lam=9.0, n_novel=2, sample_size=1)
    assert one.identity == other.identity


def test_names_of_the_bank_decide_and_not_how_a_processor_rounds_its_rows(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run()
    experiment, bank = run.experiment, run.experiment.bank

    def identity(other: AnchorBank) -> str:
        experiment.bank = other
        return Run(CoOp, run.config, experiment, tmp_path).identity

    rows = torch.nn.functional.normalize(bank.embeddings + 1e-6, dim=1)
    assert not torch.equal(rows, bank.embeddings)
    assert identity(dataclasses.replace(bank, embeddings=rows)) == run.identity
    assert identity(bank.subset(n_novel=5)) != run.identity
    assert identity(dataclasses.replace(bank, templates=("a {}.",))) != run.identity


def test_a_damaged_record_or_missing_tensors_do_not_count(make_run: MakeRun) -> None:
    run = make_run()
    run.start()
    whole = run.files.record.read_text()
    run.files.record.write_text(whole[:100])
    assert run.finished() is None
    run.files.record.write_text(whole)
    assert run.finished() is not None
    run.files.weights.unlink()
    assert run.finished() is None


def test_forgetting_removes_all_files_of_the_run(make_run: MakeRun) -> None:
    run = make_run()
    run.start()
    run.forget()
    assert list(run.files.record.parent.iterdir()) == []


def test_records_of_another_version_are_named(tmp_path) -> None:
    path = tmp_path / "run.json"
    for content, why in (
        ('{"format": "sar_reg.run/1", "git": "ae12"}', "is of an earlier version .* wrote it, ae12$"),
        ('{"format": "sar_reg.run/1", "git": null}', "is of an earlier version .* wrote it$"),
        ('{"format": "sar_reg.run/10"}', r"is of a later version \(sar_reg.run/10, not .*: train again, or"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=f"no run records of this version in .*: run.json {why}"):
            read_records(tmp_path)
        with pytest.raises(InputError, match=f"run.json {why}"):
            open_finished(path, torch.device("cpu"))
        (tmp_path / "runs.jsonl").write_text(content)
        with pytest.raises(InputError, match=f"runs.jsonl: line 1 {why}"):
            read_records(tmp_path / "runs.jsonl")
    for content in ('{"format": ["sar_reg.run/1"]}', '{"format": "sar_reg.run/x"}', '{"format": "other/1"}'):
        path.write_text(content)
        with pytest.raises(InputError, match=r"there are no run records in .*; run a method with --out"):
            read_records(tmp_path)


def test_a_folder_without_records_is_refused(make_run: MakeRun, tmp_path) -> None:
    with pytest.raises(InputError, match=r"there are no run records in .*; run a method with --out"):
        read_records(tmp_path)
    record = make_run().start()
    (tmp_path / "other.json").write_text('{"format": "something else"}')
    (tmp_path / "earlier.json").write_text('{"format": "sar_reg.run/1"}')
    assert [found["identity"] for found in read_records(tmp_path)] == [record["identity"]]
