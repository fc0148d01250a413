"""Compile the Triton kernels ahead of time, without a GPU, and record what each
needs.

    python benchmarks/sampled_kl_kernels.py [--out FOLDER]

writes kernels.json and kernels.md (default: benchmarks/results): registers,
spilled bytes, shared memory, instructions and atomics of each kernel, feature
dtype and architecture. These are properties of the compiled code; nothing here
was run on a GPU. tests/sampled_kl/test_ahead_of_time.py fails on a spill or an
atomic.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sar_reg.files import write_atomic
from sar_reg.sampled_kl.kernels import tiles

ARCHITECTURES = (80, 90, 100)
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
COLUMNS = (
    "registers",
    "spilled_bytes",
    "shared_bytes",
    "instructions",
    "tensor_core_instructions",
    "atomics",
)
_CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


def main() -> None:
    """Compile all variants and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder of the record"
    )
    out: Path = parser.parse_args().out
    rows = [
        measure(kernel, dtype, arch, reverse, aligned)
        for kernel in ("forward", "backward")
        for dtype in DTYPES
        for arch in ARCHITECTURES
        for reverse in (False, True)
        for aligned in (True, False)
    ]
    record = {"triton": triton.__version__, "torch": torch.__version__, "kernels": rows}
    write_atomic(out / "kernels.json", json.dumps(record, indent=1) + "\n")
    write_atomic(out / "kernels.md", as_markdown(record))


def measure(kernel: str, dtype: str, arch: int, reverse: bool, aligned: bool) -> dict[str, Any]:
    """Compile one variant, for contiguous features and a float32 bank, and read its numbers from the binary.

    Triton compiles a width that 16 divides apart from all others, whose rows do not start at 16 bytes: `aligned`.
    """
    tile = tiles.FORWARD_TILE if kernel == "forward" else tiles.BACKWARD_TILE
    options = {name: tile[name] for name in ("num_warps", "num_stages")}
    if kernel == "backward":
        options |= tiles.backward_registers(16 if aligned else 17)
    compiled = triton.compile(
        source(kernel, dtype, reverse, tile, aligned), target=GPUTarget("cuda", arch, 32), options=options
    )
    with tempfile.NamedTemporaryFile(suffix=".cubin") as binary:
        binary.write(compiled.asm["cubin"])
        binary.flush()
        usage = dump("--dump-resource-usage", binary.name)
        sass = dump("--dump-sass", binary.name)
    resources = {name: int(value) for name, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}
    instructions = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", sass)
    return {
        "kernel": kernel,
        "features": dtype,
        "architecture": f"sm_{arch}",
        "direction": "learned||target" if reverse else "target||learned",
        "width": "16 · i" if aligned else "other",
        "tile": dict(tile),
        "registers": resources["REG"],
        "spilled_bytes": resources["STACK"] + resources["LOCAL"],
        "shared_bytes": compiled.metadata.shared,
        "instructions": len(instructions),
        "tensor_core_instructions": sum("MMA" in name for name in instructions),
        "atomics": sum(
            name.startswith(("ATOM", "RED")) and not name.startswith("REDUX") for name in instructions
        ),
    }


def source(kernel: str, dtype: str, reverse: bool, tile: dict[str, int], aligned: bool) -> ASTSource:
    """The kernel with the types that its launcher would pass."""
    module = import_module(f"sar_reg.sampled_kl.kernels.{kernel}")
    jit = getattr(module, f"ring_kl_{kernel}")
    constants: dict[str, object] = {name: value for name, value in tile.items() if name.isupper()}
    constants |= {"REVERSE": reverse, "ACC": tl.float32}
    if kernel == "forward":
        constants["LEARNED_PRECISION"] = tiles.forward_precision(DTYPES[dtype])
        constants["TARGET_PRECISION"] = tiles.forward_precision(torch.float32)
    else:
        constants["PRECISION"] = tiles.backward_precision(DTYPES[dtype])
    # Triton makes a stride of 1 a constant by itself.
    constants |= {name: 1 for name in jit.arg_names if name.endswith("_stride") and "row" not in name}
    kinds = {
        "order_ptr": "*i64",
        "learned_ptr": f"*{dtype}",
        "result_ptr": f"*{dtype}",
        "inverse_temperature": "fp32",
    }
    signature = {
        name: "constexpr"
        if name in constants
        else kinds.get(name, "*fp32" if name.endswith("_ptr") else "i32")
        for name in jit.arg_names
    }
    divisible = ("_ptr", "row_stride") if aligned else ("_ptr",)
    multiples = [i for i, name in enumerate(jit.arg_names) if name.endswith(divisible)]
    return ASTSource(
        fn=jit,
        signature=signature,
        constexprs=constants,
        attrs={(i,): [["tt.divisibility", 16]] for i in multiples},
    )


def dump(option: str, path: str) -> str:
    return subprocess.run([_CUOBJDUMP, option, path], capture_output=True, text=True, check=True).stdout


def as_markdown(record: dict[str, Any]) -> str:
    """The table of the documentation."""
    head = ["kernel", "features", "architecture", "direction", "width", *COLUMNS]
    lines = [
        f"Compiled ahead of time with Triton {record['triton']}, PyTorch {record['torch']}; not run on a GPU. "
        "Target features (the bank) in fp32, any K.",
        "",
        "| " + " | ".join(name.replace("_", " ") for name in head) + " |",
        "|" + "---|" * len(head),
    ]
    lines += [
        "| " + " | ".join(str(row[name]).replace("||", "‖") for name in head) + " |"
        for row in record["kernels"]
    ]
    tiles_used = {row["kernel"]: row["tile"] for row in record["kernels"]}
    lines += ["", *(f"- {kernel} tile: {tile}" for kernel, tile in tiles_used.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
