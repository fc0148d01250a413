"""All checks and measurements that need a GPU, in one run.

    python -m benchmarks.gpu [--seconds 460] [--out DIR]
    python -m benchmarks.gpu --dry                # tiny sizes, on the CPU

Checks loss and encoder, checks that the host does not wait for the device, and
times the loss, the encoder, a whole step of CoOp (the paper's Table 2) and the
building of a bank. Writes gpu.json and gpu.md after every section. No section
begins after the time is up. Needs torch, Triton and open_clip.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import encoder, loss
from benchmarks.gpu.bench import Bench


def environment(bench: Bench) -> dict[str, Any]:
    """Card, versions, microseconds of a launch, bandwidth and half-precision products."""
    found: dict[str, Any] = {
        "card": "CPU, dry run" if bench.dry else torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    try:
        import triton

        found["triton"] = triton.__version__
    except ImportError:
        found["triton"] = "not installed"
    x = torch.zeros(8, device=bench.device)
    launches = 10 if bench.dry else 500
    found["microseconds of a launch"] = (
        1e3 * bench.timed(lambda: [x.add_(1) for _ in range(launches)])["loop_ms"] / launches
    )
    if not bench.dry:
        found["compute capability"] = torch.cuda.get_device_capability()
        a = torch.empty(2**28, device=bench.device)
        b = torch.empty_like(a)
        found["copy TB/s"] = 2 * a.nbytes / bench.timed(lambda: b.copy_(a))["loop_ms"] / 1e9
        m = torch.randn(8192, 8192, device=bench.device, dtype=torch.float16)
        found["float16 TFLOP/s"] = 2 * 8192**3 / bench.timed(lambda: m @ m)["loop_ms"] / 1e9
    return found


SECTIONS = (
    ("environment", 0, environment),
    ("loss: correctness", 60, loss.correctness),
    ("encoder: correctness", 30, encoder.correctness),
    ("loss: properties", 20, loss.properties),
    ("whole step", 90, encoder.step_timing),
    ("encoder: timing", 90, encoder.timing),
    ("loss: timing", 90, loss.timing),
    ("bank", 20, encoder.bank_building),
    ("profile", 15, encoder.profile_step),
)
"""Name, seconds that must remain, and function; the most important first."""


def main(argv: list[str] | None = None) -> int:
    """Run all sections; return 1 if a section or a check failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=float, default=460, help="no section begins after this time; default 460"
    )
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder of the record; default gpu")
    parser.add_argument("--dry", action="store_true", help="tiny sizes on the CPU, to test the script")
    options = parser.parse_args(argv)
    if not (options.dry or torch.cuda.is_available()):
        parser.error("there is no CUDA device; --dry runs tiny sizes on the CPU")
    bench = Bench(options.out, options.seconds, options.dry)
    arguments = shlex.join(sys.argv[1:] if argv is None else argv)
    bench.record["command"] = f"python -m benchmarks.gpu {arguments}".strip()
    for name, needed, run in SECTIONS:
        bench.section(name, 0 if options.dry else needed, run)
    print((options.out / "gpu.md").read_text(encoding="utf-8"))
    sections = bench.record["sections"].values()
    return int(any(isinstance(s, dict) and (s.get("failed") or "FAILED" in s) for s in sections))


if __name__ == "__main__":
    sys.exit(main())
