"""Compile the Triton kernels ahead of time, without a GPU, and record what each
needs.

    python -m benchmarks.sampled_kl_kernels [--architectures 80,90] [--features fp16] [--out FOLDER]

updates kernels.json and kernels.md (default: benchmarks/results): registers,
spilled bytes, shared memory, instructions and atomics of each kernel, feature
dtype and architecture, for the Triton version that runs it; what is there of
other versions and architectures stays. These
are properties of the compiled code; nothing here was run on a GPU.
tests/sampled_kl/test_ahead_of_time.py fails on a spill or an atomic.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sar_reg.errors import counted
from sar_reg.files import write_atomic
from sar_reg.sampled_kl.kernels import tiles

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
WIDTHS = {"16 · i": True, "other": False}
COLUMNS = (
    "registers",
    "spilled_bytes",
    "shared_bytes",
    "instructions",
    "tensor_core_instructions",
    "atomics",
)
_CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
_TYPES = {
    "step_ptr": "*i64", "order_ptr": "*i64", "bounds_ptr": "*i64", "indices_ptr": "*i32", "offset": "i64",
    "inverse_temperature": "fp32", "scale": "fp32",
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One kernel with its compile-time choices."""

    kernel: str
    module: str
    choice: str
    tile: dict[str, int]
    constants: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def multiplies(self) -> bool:
        """Whether it is built on matrix products."""
        return self.kernel in ("ring_kl_forward", "ring_kl_backward", "dense_backward")


def variants(features: str, aligned: bool, arch: int) -> Iterator[Variant]:
    """What training with such features (width 512, or not a multiple of 16) and a float32 bank may compile."""
    dtype = DTYPES[features]
    forward = {"LEARNED_PRECISION": tiles.forward_precision(dtype), "TARGET_PRECISION": "tf32x3"}
    backward = {"PRECISION": tiles.backward_precision(dtype)}
    stride = 512 if aligned else 511
    for reverse in (False, True):
        direction = "learned||target" if reverse else "target||learned"
        choice = f"{direction}, target {'kept' if reverse else 'multiplied'}"
        yield Variant(
            "ring_kl_forward",
            "ring_forward",
            choice,
            tiles.RING_FORWARD,
            forward | {"REVERSE": reverse, "KEPT": reverse},
        )
        yield Variant(
            "ring_kl_backward",
            "ring_backward",
            direction,
            tiles.ring_backward_tile(dtype, stride, divmod(arch, 10)),
            backward | {"REVERSE": reverse},
        )
        for dense in (False, True):
            constants = {"REVERSE": reverse, "KEPT": reverse == dense, "DENSE": dense}
            kept, saved = "kept" if reverse == dense else "gathered", "matrices" if dense else "lists"
            choice = f"{direction}, target {kept}, {saved}"
            yield Variant("sets_kl_forward", "sets_forward", choice, tiles.SETS_FORWARD, constants)
    for n in (300, 1000):
        tile = tiles.dense_backward_tile(n, stride)
        yield Variant("dense_backward", "sets_backward", f"N = {n}", tile, backward)
    yield Variant("gather_backward", "sets_backward", "D = 512", tiles.gather_backward_tile(512))


def draws() -> Iterator[Variant]:
    """The kernels that do not read features."""
    draw = import_module("sar_reg.sampled_kl.kernels.draw")
    for rank in (True, False):
        choice = "counted" if rank else "hashes only"
        yield Variant("ring_order", "draw", choice, draw.RING_TILE, {"HAS_STEP": True, "RANK": rank})
    for n, k in ((300, 64), (100, 64), (3000, 512)):
        yield Variant("draw_sets", "draw", f"N = {n}, K = {k}", draw.sets_tile(n, k), {"HAS_STEP": True})


def measure(variant: Variant, features: str, arch: int, width: str) -> dict[str, Any]:
    """Compile one variant and read its numbers from the binary.

    Triton compiles a width that 16 divides apart from all others, whose rows do not start at 16 bytes.
    """
    options = {name: value for name, value in variant.tile.items() if not name.isupper()}
    compiled = triton.compile(
        source(variant, features, WIDTHS[width]), target=GPUTarget("cuda", arch, 32), options=options
    )
    with tempfile.NamedTemporaryFile(suffix=".cubin") as binary:
        binary.write(compiled.asm["cubin"])
        binary.flush()
        usage = dump("--dump-resource-usage", binary.name)
        sass = dump("--dump-sass", binary.name)
    resources = {name: int(value) for name, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}
    names = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", sass)
    return {
        "kernel": variant.kernel,
        "choice": variant.choice,
        "features": features,
        "architecture": f"sm_{arch}",
        "width": width,
        "multiplies": variant.multiplies,
        "registers": resources["REG"],
        "spilled_bytes": resources["STACK"] + resources["LOCAL"],
        "shared_bytes": compiled.metadata.shared,
        "instructions": len(names),
        "tensor_core_instructions": sum(name.startswith(("HMMA", "IMMA", "HGMMA", "UTC")) for name in names),
        "atomics": sum(name.startswith(("ATOM", "RED")) and not name.startswith("REDUX") for name in names),
    }


def source(variant: Variant, features: str, aligned: bool) -> ASTSource:
    """The kernel with the types that its launcher would pass."""
    jit = getattr(import_module(f"sar_reg.sampled_kl.kernels.{variant.module}"), variant.kernel)
    constants = {name: value for name, value in variant.tile.items() if name.isupper()} | dict(
        variant.constants
    )
    # Triton makes a stride of 1 a constant by itself.
    constants |= {"ACC": tl.float32, "learned_stride": 1, "target_stride": 1}
    constants = {name: value for name, value in constants.items() if name in jit.arg_names}
    types = _TYPES | {"learned_ptr": f"*{features}", "result_ptr": f"*{features}"}
    signature = {
        name: "constexpr"
        if name in constants
        else types.get(name, "*fp32" if name.endswith("_ptr") else "i32")
        for name in jit.arg_names
    }
    multiples = [
        i
        for i, name in enumerate(jit.arg_names)
        if (name.endswith("_ptr") and name != "row_stats_ptr")
        or (name == "columns" and variant.choice[-5:] != "lists")
        or (aligned and name.endswith(("row_stride", "width")))
    ]
    return ASTSource(
        fn=jit,
        signature=signature,
        constexprs=constants,
        attrs={(i,): [["tt.divisibility", 16]] for i in multiples},
    )


def dump(option: str, path: str) -> str:
    return subprocess.run([_CUOBJDUMP, option, path], capture_output=True, text=True, check=True).stdout


def as_markdown(records: dict[str, Any]) -> str:
    """The table of the documentation: the largest numbers over all variants of a kernel."""
    versions = sorted(records, reverse=True)
    architectures = ", ".join(f"sm_{number}" for number in ARCHITECTURES)
    lines = [
        f"Compiled ahead of time with Triton {' and '.join(versions)} for {architectures}; not run on a GPU. Largest "
        "value over architectures, feature dtypes, directions and widths; bank in float32. All variants are in "
        "kernels.json.",
        "",
        "| Triton | kernel | variants | " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |",
        "|" + "---|" * (len(COLUMNS) + 3),
    ]
    for version in versions:
        kernels: dict[str, list[dict[str, Any]]] = {}
        for row in records[version]["kernels"]:
            kernels.setdefault(row["kernel"], []).append(row)
        for kernel, rows in sorted(kernels.items()):
            largest = " | ".join(str(max(row[name] for row in rows)) for name in COLUMNS)
            lines.append(f"| {version} | {kernel} | {len(rows)} | {largest} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compile all variants and update the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architectures", default=",".join(map(str, ARCHITECTURES)), help="such as 80,90")
    parser.add_argument("--features", default=",".join(DTYPES), help="such as fp32,fp16")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder of the record"
    )
    arguments = parser.parse_args()
    rows = []
    for arch in map(int, arguments.architectures.split(",")):
        rows += [measure(variant, "fp32", arch, "16 · i") for variant in draws()]
        for features in arguments.features.split(","):
            for width, aligned in WIDTHS.items():
                rows += [
                    measure(variant, features, arch, width) for variant in variants(features, aligned, arch)
                ]
        print(f"sm_{arch}: {counted(len(rows), 'kernel')}", flush=True)
    path = arguments.out / "kernels.json"
    records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    new = {row["architecture"] for row in rows}
    earlier = records.get(triton.__version__, {"kernels": []})["kernels"]
    rows = [row for row in earlier if row["architecture"] not in new] + rows
    records[triton.__version__] = {"torch": torch.__version__, "kernels": rows}
    lines = json.dumps(records, ensure_ascii=False).replace('{"kernel"', '\n{"kernel"')
    write_atomic(path, lines + "\n")
    write_atomic(arguments.out / "kernels.md", as_markdown(records))


if __name__ == "__main__":
    main()
