"""The cost model counts what the code does, and the documentation shows what the records hold."""

from __future__ import annotations

import json

import open_clip
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import cost_model, operations, train_step
from benchmarks.measuring import class_names
from sar_reg import PromptEncoder
from tests import ROOT
from tests.prompting.models import BLOCKS, NAMES, WIDTH, clip

RESULTS = ROOT / "benchmarks" / "results"


def test_the_cost_model_counts_the_operations_of_the_code() -> None:
    model = clip(dtype=torch.float32)
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    context = encoder.random_context()
    tower = cost_model.Transformer(WIDTH, BLOCKS)
    own = (encoder.tokens.argmax(dim=-1) - 4).tolist()
    projection = len(NAMES) * 2 * WIDTH * 16

    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        encoder(context)

    assert counted.get_total_flops() == cost_model.shared_flop(tower, 5, own) + projection


def test_the_cost_model_counts_the_operations_of_plain_encoding() -> None:
    model = clip(dtype=torch.float32)
    encoder = PromptEncoder(model, None, NAMES, n_ctx=4)
    context = encoder.random_context().requires_grad_()

    # the fused kernel for CPUs is not counted
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        encoder.encode_plain(context)

    expected = cost_model.plain_flop(cost_model.Transformer(WIDTH, BLOCKS), len(NAMES), 77)
    assert counted.get_total_flops() == expected + len(NAMES) * 2 * WIDTH * 16


def test_modelled_ratios_are_near_the_measured_ones() -> None:
    rows = json.loads((RESULTS / "train_step.json").read_text())["rows"]
    checks = cost_model.check(rows)

    assert len(checks) >= 6
    for row in checks:
        # operations alone: caches and small products, which the model leaves out, are worth less than a factor of two
        assert 0.5 < row["measured on CPU"] / row["modelled"] < 2


def test_a_record_that_is_not_complete_is_shown_as_far_as_it_goes() -> None:
    rows = json.loads((RESULTS / "train_step.json").read_text())["rows"]
    some = {name: row for name, row in rows.items() if name.startswith("coop")}
    shown = train_step.table(some)
    assert "| coop M=4: ours 50 + 200 against plain 50 without SAR |" in shown
    assert train_step.table({}).startswith("| claim, one CPU thread |")


def test_the_share_of_the_image_tower_in_the_whole_step() -> None:
    rows = json.loads((RESULTS / "train_step.json").read_text())["rows"]
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    image = rows["image tower, 32 images, frozen"]["forward_s"]
    shares: list[str] = []
    for classes in (300, 700):
        parts = [rows[f"coop, ours, {classes} classes, M=4"], rows[f"loss, {classes} classes"]]
        text = sum(row["forward_s"] + row["backward_s"] for row in parts)
        shares.append(f"{image / (image + text):.0%}".replace("%", " %"))
    assert f"{image:.0f} s for 32 images" in page
    assert f"({shares[0]} with 300 classes, {shares[1]} with 700)" in " ".join(page.split())


def test_what_a_prefix_tree_over_names_would_save() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    tokens = open_clip.tokenize([f"X X X X {name}." for name in class_names(700)])
    own = [tuple(row[5 : int(row.argmax()) + 1].tolist()) for row in tokens]
    rows = sum(map(len, own))
    in_tree = len({row[:end] for row in own for end in range(1, len(row) + 1)})
    assert f"would save {1 - in_tree / rows:.0%}".replace("%", " %") in page
    assert f"({in_tree:,} instead of {rows:,})" in page


def test_the_tables_show_the_records() -> None:
    rows = json.loads((RESULTS / "train_step.json").read_text())["rows"]
    costs = json.loads((RESULTS / "cost_model.json").read_text())
    counts = json.loads((RESULTS / "operations.json").read_text())
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")

    shown = {
        "train_step": train_step.table(rows),
        "cost_model_steps": cost_model.step_table(costs["steps"]),
        "cost_model_check": cost_model.check_table(costs["check"]),
        "operations": operations.table(counts),
    }

    for name, table in shown.items():
        assert (RESULTS / f"{name}.md").read_text(encoding="utf-8") == table + "\n"
        assert f'--8<-- "benchmarks/results/{name}.md"' in page
    assert costs["check"] == cost_model.check(rows)
    assert costs["steps"].keys() == cost_model.steps(rows).keys()


def test_the_model_counts_launches_in_eager_mode_alone() -> None:
    costs = json.loads((RESULTS / "cost_model.json").read_text())
    for row in costs["steps"].values():
        for card in ("A100 SXM", "H100 SXM"):
            eager, graph = row[f"ms on {card}, eager"], row[f"ms on {card}, graph"]
            assert eager == max(graph, row["launches"] * costs["assumed ms of a launch"])


def test_packed_takes_at_most_320_operations_in_the_record() -> None:
    counts = json.loads((RESULTS / "operations.json").read_text())["text tower"]
    for row in counts.values():
        assert row["packed, 100"] == row["packed, 700"] <= 320 < row["grouped, 100"]


def test_the_claims_are_in_the_record() -> None:
    rows = json.loads((RESULTS / "train_step.json").read_text())["rows"]

    def ratio(plain: int, ours: int, n_ctx: int, what: str) -> float:
        a, b = (
            rows[f"coop, plain, {plain} classes, M={n_ctx}"],
            rows[f"coop, ours, {ours} classes, M={n_ctx}"],
        )
        if what != "time":
            return a[what] / b[what]
        return (a["forward_s"] + a["backward_s"]) / (b["forward_s"] + b["backward_s"])

    for n_ctx in (4, 16):
        assert ratio(100, 300, n_ctx, "time") >= 5
        assert ratio(300, 300, n_ctx, "time") >= 15
        assert ratio(500, 700, n_ctx, "time") >= 12
        for classes in (100, 300, 500):
            assert ratio(classes, classes, n_ctx, "kept_mb") >= 12
            assert ratio(classes, classes, n_ctx, "peak_mb") >= 12
    assert json.loads((RESULTS / "bank.json").read_text())["times faster than plain"] >= 6


def test_casts_come_on_top_where_a_model_has_two_types() -> None:
    record = json.loads((RESULTS / "operations.json").read_text())
    of_one_type = record["text tower"]["CoOp, KgCoOp"]
    mixed = record["text tower, two types"]
    assert len(mixed) == 2
    for row in mixed.values():
        assert of_one_type["packed, 700"] < row["packed, 700"] < row["full length"]
    page = (ROOT / "docs" / "performance.md").read_text()
    half = mixed["CoOp, KgCoOp, float16, norms in float32"]
    assert half["packed, 700"] - of_one_type["packed, 700"] == 126
    assert "126 in the packed step" in " ".join(page.split())
