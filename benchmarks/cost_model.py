"""A model, not a measurement: the expected cost of a training step on ImageNet on
GPUs that were not available.

    python -m benchmarks.cost_model

It counts floating-point operations and bytes of one CoOp step (ViT-B/16, 32
images, float16, M = 4): official CoOp with 500 base classes, official CoOp +
SAR with 200 novel ones, and ours + SAR. Time on the card is operations over
40 % of its dense float16 peak, or bytes over its memory bandwidth, whichever
is longer, for each tower: what a captured CUDA graph takes. In eager mode the
step takes as long as the host needs for its launches, if that is longer. The
optimiser and the data loader are left out. The row counts are checked against
the encoder, and the ratios are compared with the CPU times of
`benchmarks/train_step.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import class_names
from sar_reg.files import write_atomic

RECORD = Path(__file__).parent / "results" / "cost_model.json"
MEASURED = Path(__file__).parent / "results" / "train_step.json"
COUNTED = Path(__file__).parent / "results" / "operations.json"
EFFICIENCY = 0.4
LAUNCH_US = 6.0


@dataclass(frozen=True)
class Transformer:
    """Sizes of one tower."""

    width: int
    blocks: int

    @property
    def weights(self) -> int:
        """Weights of the blocks."""
        return 12 * self.width**2 * self.blocks


@dataclass(frozen=True)
class GPU:
    """Dense float16 operations and bytes per second, from the vendor's data sheet."""

    name: str
    peak: float
    bandwidth: float


@dataclass(frozen=True)
class Cost:
    """Cost of a forward pass and, if there is one, of its backward pass."""

    flop: float
    bytes_moved: float
    kept_bytes: float
    launches: int = 0

    def seconds(self, gpu: GPU) -> float:
        """By the model: compute-bound or memory-bound."""
        return max(self.flop / (EFFICIENCY * gpu.peak), self.bytes_moved / gpu.bandwidth)


TEXT, IMAGE = Transformer(512, 12), Transformer(768, 12)
GPUS = (GPU("A100 SXM", 312e12, 2.0e12), GPU("H100 SXM", 989e12, 3.35e12))
CONTEXT = 77


def block_flop(width: int, rows: int, keys: float) -> float:
    """One block forward: four projections, the perceptron, and scores and values over `keys` keys per row."""
    return rows * (24 * width**2 + 4 * keys * width)


def plain_flop(tower: Transformer, sequences: int, length: int) -> float:
    """All rows of all sequences, forward."""
    return tower.blocks * block_flop(tower.width, sequences * length, length)


def shared_flop(tower: Transformer, shared: int, own: Sequence[int]) -> float:
    """The shared rows once and the own rows of each class, forward; the last block only where it is read."""
    width, rows = tower.width, sum(own)
    attended = sum(length * (shared + length) for length in own)
    once = block_flop(width, shared, shared)
    full = once + block_flop(width, rows, attended / rows)
    keys_values = 4 * width**2 * (shared + rows)
    at_end = len(own) * 20 * width**2 + 4 * width * sum(shared + length for length in own)
    return (tower.blocks - 1) * full + keys_values + at_end


def own_lengths(classes: int, n_ctx: int) -> list[int]:
    """Rows of each class after start and context: name, full stop, end."""
    import open_clip

    tokens = open_clip.tokenize([f"{'X ' * n_ctx}{name}." for name in class_names(classes)])
    return (tokens.argmax(dim=-1) - n_ctx).tolist()


def text_cost(rows: int, forward_flop: float, kept_per_row: float, launches: int) -> Cost:
    """Frozen weights: backward has the forward's products once more, for activations alone."""
    activations = rows * TEXT.blocks * 34 * TEXT.width * 2
    return Cost(2 * forward_flop, 2 * TEXT.weights * 2 + 3 * activations, rows * kept_per_row, launches)


def steps(measured: dict[str, Any], n_ctx: int = 4, images: int = 32) -> dict[str, Cost]:
    """The three steps: text tower, and the image tower that all of them share."""
    plain_kept = _kept_per_row(measured[f"coop, plain, 100 classes, M={n_ctx}"])
    ours_kept = _kept_per_row(measured[f"coop, ours, 700 classes, M={n_ctx}"])
    own = own_lengths(700, n_ctx)
    shared = 1 + n_ctx
    counted = json.loads(COUNTED.read_text())
    text = counted["text tower"]["CoOp, KgCoOp"]
    full, image_launches = text["full length"], counted["image tower, forward"]
    activations = images * 197 * IMAGE.blocks * 34 * IMAGE.width * 2
    moved = IMAGE.weights * 2 + activations
    image = Cost(plain_flop(IMAGE, images, 197), moved, 0.0, image_launches)
    return {
        "official CoOp, 500 classes": text_cost(
            500 * CONTEXT, plain_flop(TEXT, 500, CONTEXT), plain_kept, full
        ),
        "official CoOp + SAR, 500 + 200": text_cost(
            700 * CONTEXT, plain_flop(TEXT, 700, CONTEXT), plain_kept, full
        ),
        **{
            f"ours, {layout}, + SAR, 500 + 200": text_cost(
                shared + sum(own), shared_flop(TEXT, shared, own), ours_kept, text[f"{layout}, 700"]
            )
            for layout in ("grouped", "packed")
        },
        "image tower, 32 images (in all four)": image,
    }


def _kept_per_row(row: dict[str, Any]) -> float:
    # measured in float32; float16 keeps half as much
    return row["kept_mb"] * 1e6 / row["rows"] / 2


def check(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare the model with measurements: rows must be equal, ratios are listed."""
    found: list[dict[str, Any]] = []
    for n_ctx in (4, 16):
        for classes in (50, 100, 250, 300, 500):
            plain = measured.get(f"coop, plain, {classes} classes, M={n_ctx}")
            ours = measured.get(f"coop, ours, {classes} classes, M={n_ctx}")
            if not plain or not ours:
                continue
            own, shared = own_lengths(classes, n_ctx), 1 + n_ctx
            rows = shared + sum(own)
            if (rows, classes * CONTEXT) != (ours["rows"], plain["rows"]):
                raise AssertionError(f"modelled rows {rows}, measured {ours['rows']}")
            time = (plain["forward_s"] + plain["backward_s"]) / (ours["forward_s"] + ours["backward_s"])
            modelled = plain_flop(TEXT, classes, CONTEXT) / shared_flop(TEXT, shared, own)
            found.append({"classes": classes, "n_ctx": n_ctx, "modelled": modelled, "measured on CPU": time})
    return found


def main() -> None:
    """Print and record the model and its check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--launch-us", type=float, default=LAUNCH_US, help="host time per launch, in µs")
    launch = parser.parse_args().launch_us / 1000
    measured = json.loads(MEASURED.read_text())["rows"]
    costs = steps(measured)
    image = costs["image tower, 32 images (in all four)"]
    rows: dict[str, Any] = {}
    for name, cost in costs.items():
        whole = cost is not image
        times = [1000 * (cost.seconds(gpu) + (image.seconds(gpu) if whole else 0)) for gpu in GPUS]
        flop = cost.flop + (image.flop if whole else 0)
        moved = cost.bytes_moved + (image.bytes_moved if whole else 0)
        rows[name] = {"flop": flop, "bytes moved": moved, "bytes kept": cost.kept_bytes}
        launches = cost.launches + (image.launches if whole else 0)
        rows[name]["launches"] = launches
        for gpu, time in zip(GPUS, times, strict=True):
            rows[name] |= {f"ms on {gpu.name}, eager": max(time, launches * launch)}
            rows[name] |= {f"ms on {gpu.name}, graph": time}
    record: dict[str, Any] = {
        "what": "a model, not a measurement",
        "command": "python -m benchmarks.cost_model",
    }
    record |= {
        "assumed share of peak": EFFICIENCY,
        "assumed ms of a launch": launch,
        "steps": rows,
        "check": check(measured),
    }
    write_atomic(RECORD, json.dumps(record, indent=1) + "\n")
    for part, shown in (("steps", step_table(rows)), ("check", check_table(record["check"]))):
        write_atomic(RECORD.with_name(f"cost_model_{part}.md"), shown + "\n")
        print(shown, end="\n\n")
    print("A model, not a measurement.")


def step_table(rows: dict[str, Any]) -> str:
    """The modelled steps as a Markdown table."""
    regimes = [f"{gpu.name}, {regime}" for gpu in GPUS for regime in ("eager", "graph")]
    heads = ["step", "TFLOP", "GB moved", "GB kept", "launches", *(f"{regime}: ms" for regime in regimes)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in rows.items():
        times = " | ".join(f"{row[f'ms on {regime}']:.1f}" for regime in regimes)
        sizes = f"{row['flop'] / 1e12:.2f} | {row['bytes moved'] / 1e9:.1f} | {row['bytes kept'] / 1e9:.2f}"
        lines.append(f"| {name} | {sizes} | {row['launches']:,} | {times} |")
    return "\n".join(lines)


def check_table(checks: list[dict[str, Any]]) -> str:
    """Modelled and measured ratios as a Markdown table."""
    lines = ["| plain / ours, text tower | modelled | measured on a CPU |", "|---|---|---|"]
    for row in checks:
        ratio = f"{row['modelled']:.1f}× | {row['measured on CPU']:.1f}×"
        lines.append(f"| {row['classes']} classes, M={row['n_ctx']} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
