"""Image features are the same bits whether they are computed, read from the store, or computed by several processes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from examples.protocol.data.features import FeatureStore, encode_in_order, loader
from examples.protocol.distributed import ProcessGroup
from examples.protocol.runs.experiment import Experiment
from examples.protocol.runs.run import Run
from tests.protocol.conftest import RECIPE, MakeRun


class Counted:
    """Counts the lists of pictures that are encoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lists = 0
        encode = Experiment._encode

        def counting(*arguments):
            self.lists += 1
            return encode(*arguments)

        monkeypatch.setattr(Experiment, "_encode", counting)


def run_with(make_run: MakeRun, store: FeatureStore, out: Path, **settings) -> Run:
    run = make_run(out=out, augmentation="crop-flip", **settings)
    run.experiment.store = store
    return run


def outcome(run: Run) -> tuple:
    record = run.start()
    learned = {name: tensor.numpy().tobytes() for name, tensor in load_file(run.files.weights).items()}
    return record["results"], record["curves"], learned


def test_a_run_is_the_same_bit_for_bit_with_and_without_the_store(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, counted = FeatureStore(tmp_path / "features"), Counted(monkeypatch)
    without = outcome(run_with(make_run, FeatureStore(), tmp_path / "a"))
    assert counted.lists == RECIPE.epochs + 2  # an epoch's views each, two test sets
    writing = outcome(run_with(make_run, store, tmp_path / "b"))
    assert counted.lists == 2 * (RECIPE.epochs + 2)
    reading = outcome(run_with(make_run, store, tmp_path / "c"))
    assert counted.lists == 2 * (RECIPE.epochs + 2)
    assert without == writing == reading
    files = list((tmp_path / "features").iterdir())
    assert len(files) == RECIPE.epochs + 2
    said = run_with(make_run, store, tmp_path / "d").experiment.feature_bytes(1, RECIPE.epochs)
    assert said == sum(load_file(path)["features"].nbytes for path in files)


def test_variants_share_views_and_seeds_do_not(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, counted = FeatureStore(tmp_path / "features"), Counted(monkeypatch)
    run_with(make_run, store, tmp_path).start()
    first = counted.lists
    run_with(make_run, store, tmp_path, lam=0.3, n_novel=4, epochs=2).start()
    run_with(make_run, store, tmp_path, sar=False).start()
    assert counted.lists == first
    run_with(make_run, store, tmp_path, seed=2).start()
    assert counted.lists == first + RECIPE.epochs  # the test images are the same
    run_with(make_run, store, tmp_path, shots=2).start()
    assert counted.lists == first + 2 * RECIPE.epochs


def test_kept_views_are_encoded_once_and_used_in_turn(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, counted = FeatureStore(tmp_path / "features"), Counted(monkeypatch)
    run = run_with(make_run, store, tmp_path, views=2, epochs=5)
    run.start()
    assert counted.lists == 2 + 2  # two views of each training image in five epochs, two test sets
    assert run.experiment.feature_bytes(1, 5) == sum(
        load_file(path)["features"].nbytes for path in (tmp_path / "features").iterdir()
    )
    run_with(make_run, store, tmp_path, views=2, epochs=5, sar=False).start()
    run_with(make_run, store, tmp_path, views=2, epochs=5, lam=0.3).start()
    assert counted.lists == 2 + 2, "other runs read them"
    run.experiment.store = FeatureStore()
    assert outcome(run_with(make_run, FeatureStore(), tmp_path / "b", views=2, epochs=5))
    assert counted.lists == 2 * (2 + 2), "without a store they are kept in memory"


def test_epoch_e_uses_view_e_mod_k(make_run: MakeRun) -> None:
    fresh, kept = (make_run(augmentation="crop-flip", views=views) for views in (0, 2))
    seen: dict[str, list[torch.Tensor]] = {}
    for name, run in (("fresh", fresh), ("kept", kept)):
        images = run.experiment.training_images(1, run.build(), ProcessGroup())
        for epoch in range(5):
            list(images.epoch(epoch))
            seen.setdefault(name, []).append(images.features)
    assert [any(torch.equal(kept, fresh) for fresh in seen["fresh"]) for kept in seen["kept"]] == [True] * 5
    for epoch in range(5):
        assert torch.equal(seen["kept"][epoch], seen["fresh"][epoch % 2])
    assert not torch.equal(seen["fresh"][0], seen["fresh"][2])


def test_a_run_with_kept_views_is_another_run(make_run: MakeRun) -> None:
    fresh, kept = make_run(augmentation="crop-flip"), make_run(augmentation="crop-flip", views=2)
    assert [run.config.settings()["recipe"]["views"] for run in (fresh, kept)] == [0, 2]
    assert fresh.identity != kept.identity


def test_training_and_test_images_of_one_number_are_not_confused(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(shots=4)  # as many training images as test images of the base classes
    run.experiment.store = FeatureStore(tmp_path)
    method = run.build()
    images = run.experiment.training_images(1, method, ProcessGroup())
    trained = images.encode(0, partial(images.views, 0))
    tested = run.experiment.test_images("base", method)[0]
    assert trained.shape == tested.shape
    assert not torch.equal(trained, tested)


def test_a_damaged_file_is_computed_again(make_run: MakeRun, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "features")
    first = outcome(run_with(make_run, store, tmp_path / "a"))
    for path in (tmp_path / "features").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:40])
    assert outcome(run_with(make_run, store, tmp_path / "b")) == first


class Pretended(ProcessGroup):
    """One of several processes; what each adds up is kept, to be summed by the test."""

    def add_up(self, tensors) -> None:
        """Leave the tensors as they are."""


@pytest.mark.parametrize(("size", "batch_size"), [(2, 5), (3, 100)])
def test_processes_share_out_the_batches(make_run: MakeRun, size: int, batch_size: int) -> None:
    run = make_run()
    method = run.build()
    images = run.experiment.training_images(1, method, ProcessGroup())
    n, views = len(images.pictures), loader(images.pictures, 0)
    alone = encode_in_order(method, n, views, batch_size=batch_size)
    parts = [
        encode_in_order(method, n, views, batch_size=batch_size, group=Pretended(rank, size))
        for rank in range(size)
    ]
    assert torch.equal(sum(parts), alone)


def test_encoding_leaves_the_generators_alone(make_run: MakeRun) -> None:
    run = make_run()
    method = run.build()
    images = run.experiment.training_images(1, method, ProcessGroup())
    before = torch.get_rng_state()
    encode_in_order(method, len(images.pictures), loader(images.pictures, 0), batch_size=4)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_tower_has_other_features(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, store = Counted(monkeypatch), FeatureStore(tmp_path / "features")
    run_with(make_run, store, tmp_path).start()
    first = counted.lists
    run = run_with(make_run, store, tmp_path / "other")
    run.experiment.about["model"]["image_fingerprint"] = "another"
    run.start()
    assert counted.lists == 2 * first
