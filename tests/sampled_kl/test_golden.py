"""The recorded fp64 values of the loss alone (`sar_*`) and inside the five methods (`*_sar`)."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sar_reg import similarity_alignment_loss
from sar_reg.sampled_kl import torch_ring
from tests import GOLDEN
from tests.golden.reading import Trace, names, pack, read

NAMES = [
    "dup_n12_d32_k8", "full_n13_d16_k12", "n1200_d512_k64", "n17_d64_k16_full", "n250_d512_k64", "n2_d4_k1",
    "n3_d8_k2", "n40_d32_k12", "n5_d8_k3", "near_n24_d64_k10", "same_n9_d16_k5",
]  # fmt: skip
TAUS = ["0.01", "0.07"]
METHODS = ["coop", "kgcoop", "tcp", "maple", "coprompt"]


def test_a_packed_folder_holds_the_same_traces(tmp_path: Path) -> None:
    expected = {f"sar_{name}_tau{tau}" for name in NAMES for tau in TAUS}
    assert {name for name in names(GOLDEN) if name.startswith("sar_")} == expected
    for name in expected:
        np.savez(tmp_path / f"{name}.npz", **read(GOLDEN, name))
    pack(tmp_path, "sar")
    for name in expected:
        (tmp_path / f"{name}.npz").unlink()
    assert set(names(tmp_path)) == expected
    for name in expected:
        packed, trace = read(tmp_path, name), read(GOLDEN, name)
        assert packed.keys() == trace.keys()
        for key, array in trace.items():
            assert packed[key].dtype == array.dtype
            np.testing.assert_array_equal(packed[key], array)


def test_a_file_of_its_own_comes_before_the_archive(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "sar.npz", tmp_path)
    np.savez(tmp_path / "sar_n2_d4_k1_tau0.01.npz", loss=np.float64(7))
    assert read(tmp_path, "sar_n2_d4_k1_tau0.01")["loss"] == 7
    assert read(tmp_path, "sar_n2_d4_k1_tau0.07")["loss"] < 7
    assert names(tmp_path) == [name for name in names(GOLDEN) if name.startswith("sar_")]


def features(trace: Trace, meta: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The stored inputs, or for the large cases the rule that made them, checked by hash."""
    if "L" in trace:
        return trace["L"], trace["T"]
    draw, n, d = np.random.RandomState(meta["seed"]), meta["N"], meta["D"]
    common, base, noise = draw.standard_normal(d), draw.standard_normal((n, d)), draw.standard_normal((n, d))
    base = 1.5 * common + base
    target = (np.exp(0.3 * draw.standard_normal((n, 1))) * base).astype(np.float32)
    learned = (np.exp(0.3 * draw.standard_normal((n, 1))) * (base + 0.5 * noise)).astype(np.float32)
    for name, x in (("L", learned), ("T", target)):
        assert hashlib.sha256(x.tobytes()).hexdigest() == meta[f"sha256_{name}"]
    return learned, target


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize(
    ("name", "impl"),
    [(name, "torch") for name in NAMES] + [(name, "reference") for name in NAMES if "n1200" not in name],
)
def test_loss_alone(golden_dir: Path, name: str, tau: str, impl: str, dtype: torch.dtype) -> None:
    trace = read(golden_dir, f"sar_{name}_tau{tau}")
    meta = json.loads(str(trace["meta"]))
    learned, target = (torch.from_numpy(x).to(dtype) for x in features(trace, meta))
    learned.requires_grad_()
    rows = similarity_alignment_loss(
        learned, target, temperature=float(trace["tau"]), indices=torch.from_numpy(trace["idx"]),
        reduction="none", impl=impl,
    )  # fmt: skip
    rows.mean().backward()
    assert learned.grad is not None
    exact = dtype == torch.float64
    kl_error = 1e-11 if exact else 5e-5
    np.testing.assert_allclose(rows.detach().numpy(), trace["row_kl"], rtol=kl_error, atol=kl_error)
    np.testing.assert_allclose(rows.mean().item(), trace["loss"], rtol=kl_error, atol=kl_error)
    compare_gradient(learned.grad.double().numpy(), trace, 2e-7 if exact else 5e-5, float(trace["tau"]))


def compare_gradient(grad: np.ndarray, trace: Trace, tolerance: float, tau: float) -> None:
    """Relative to the largest entry; where the exact gradient vanishes, to the rounding of coefficients 1 / τ."""
    scale = max(np.abs(trace["grad"]).max(), 1e-3 / tau / grad.shape[0])
    assert np.abs(grad[trace["grad_index"]] - trace["grad"]).max() <= tolerance * scale
    norm_scale = max(trace["grad_row_norm"].max(), scale)
    assert np.abs(np.linalg.norm(grad, axis=1) - trace["grad_row_norm"]).max() <= tolerance * norm_scale
    total = np.abs(grad).sum(axis=0).max()
    assert np.abs(grad.sum(axis=0) - trace["grad_sum"]).max() <= tolerance * max(total, scale)


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("name", ["full_n13_d16_k12", "n17_d64_k16_full"])
def test_all_other_classes_without_indices(golden_dir: Path, name: str, tau: str) -> None:
    """`sample_size=None` and the band of K = N - 1 are the same sets as the recorded full ones."""
    trace = read(golden_dir, f"sar_{name}_tau{tau}")
    learned, target = (torch.from_numpy(trace[x]).double() for x in "LT")
    temperature = float(trace["tau"])
    loss = similarity_alignment_loss(learned, target, temperature=temperature)
    np.testing.assert_allclose(loss.item(), trace["loss"], rtol=1e-11)
    n = learned.shape[0]
    rows, _ = torch_ring.forward(learned, target, torch.randperm(n), n - 1, temperature, False, reverse=False)
    np.testing.assert_allclose(rows.numpy(), trace["row_kl"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_loss_inside_a_method(golden_dir: Path, method: str) -> None:
    """The SAR term of the first step, from the text features that the official learner produced."""
    trace = read(golden_dir, f"{method}_sar")
    meta = json.loads(str(trace["meta"]))
    loss = similarity_alignment_loss(
        torch.from_numpy(trace["text_features"]), torch.from_numpy(trace["target"]), temperature=meta["tau"],
        indices=torch.from_numpy(trace["idx"][0]),
    )  # fmt: skip
    np.testing.assert_allclose(loss.item(), trace["steps/sar"][0], rtol=2e-5)
