"""Sections that run in order of worth, each guarded and recorded at once, none begun after the time is up."""

from __future__ import annotations

import gc
import json
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sar_reg.errors import counted
from sar_reg.files import write_atomic


@dataclass
class Bench:
    """One run: its device, its time, its record."""

    out: Path
    seconds: float
    dry: bool
    started: float = field(default_factory=time.monotonic)
    record: dict[str, Any] = field(default_factory=lambda: {"sections": {}})

    @property
    def device(self) -> torch.device:
        """The GPU; the CPU in a dry run."""
        return torch.device("cpu" if self.dry else "cuda")

    @property
    def graphs(self) -> bool:
        """Whether the device has CUDA graphs."""
        return not self.dry

    def left(self) -> float:
        """Seconds that remain."""
        return self.seconds - (time.monotonic() - self.started)

    def synchronize(self) -> None:
        """Wait for the device."""
        if not self.dry:
            torch.cuda.synchronize()

    def section(self, name: str, needed: float, run: Callable[[Bench], Any]) -> None:
        """Run one section and write the record; what it raises is recorded, and the next one runs."""
        if self.left() < needed:
            found: Any = f"not run: {self.left():.0f} s left, {needed:.0f} needed"
        else:
            start = time.monotonic()
            try:
                found = run(self)
            except Exception:
                found = {"FAILED": traceback.format_exc()[-3000:]}
            print(f"{name}: {time.monotonic() - start:.1f} s", flush=True)
        self.record["sections"][name] = found
        gc.collect()
        if not self.dry:
            torch.cuda.empty_cache()
        self.save()

    def save(self) -> None:
        """Write gpu.json and gpu.md."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.record["seconds"] = time.monotonic() - self.started
        write_atomic(self.out / "gpu.json", json.dumps(self.record, indent=1, default=str) + "\n")
        write_atomic(self.out / "gpu.md", markdown(self.record) + "\n")

    def timed(self, run: Callable[[], Any], budget: float = 0.4, *, graph: bool = True) -> dict[str, Any]:
        """Milliseconds of `run` alone, back to back and, with `graph`, as a CUDA graph; kernels and peak memory.

        `alone` waits for the device after each call, `loop` does not: what a training loop pays. p20, p50 and p80
        are those of `alone`.
        """
        budget = 0.0 if self.dry else budget
        for _ in range(1 if self.dry else 3):
            run()
        self.synchronize()
        row: dict[str, Any] = {} if self.dry else _kernels_and_memory(run)
        alone: list[float] = []
        end = time.monotonic() + budget
        while len(alone) < 3 or (time.monotonic() < end and len(alone) < 200):
            start = time.perf_counter()
            run()
            self.synchronize()
            alone.append(1e3 * (time.perf_counter() - start))
        low, middle, high = (statistics.quantiles(alone, n=10, method="inclusive")[i] for i in (1, 4, 7))
        row |= {"p20_ms": low, "p50_ms": middle, "p80_ms": high}
        repeats = max(1 if self.dry else 3, min(100, int(1e3 * budget / middle)))
        row["loop_ms"] = self._per_call(run, repeats)
        if graph and not self.dry:
            row["graph_ms"] = self._graphed(run, repeats)
        return row

    def _per_call(self, run: Callable[[], Any], repeats: int) -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        self.synchronize()
        return 1e3 * (time.perf_counter() - start) / repeats

    def _graphed(self, run: Callable[[], Any], repeats: int) -> float | str:
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                run()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                run()
            graph.replay()
            self.synchronize()
            return self._per_call(graph.replay, repeats)
        except Exception as error:
            self.synchronize()
            return f"not capturable: {str(error)[:200]}"


def _kernels_and_memory(run: Callable[[], Any]) -> dict[str, Any]:
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    peak = (torch.cuda.max_memory_allocated() - before) / 2**20
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiler:
        run()
        torch.cuda.synchronize()
    kernels = [e for e in profiler.events() or () if e.device_type.name == "CUDA"]
    busy = sum(e.time_range.elapsed_us() for e in kernels) / 1e3
    return {"peak_mib": peak, "kernels": len(kernels), "busy_ms": busy}


def markdown(record: dict[str, Any]) -> str:
    """The record for readers: the card, what was checked, and all times."""
    found = record["sections"]
    environment = found.get("environment")
    card = environment.get("card", "not known") if isinstance(environment, dict) else "not known"
    lines = [f"Card: {card}. Command: `{record.get('command', '')}`.", ""]
    lines += ["| section | result |", "|---|---|"]
    for name, section in found.items():
        lines.append(f"| {name} | {_summary(section)} |")
    lines += [
        "",
        "| what | p50 ms | p20 to p80 | loop ms | graph ms | kernels | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for section in found.values():
        for name, row in section.items() if isinstance(section, dict) else ():
            if isinstance(row, dict) and "loop_ms" in row:
                cells = [row["p50_ms"], f"{row['p20_ms']:.3f} to {row['p80_ms']:.3f}", row["loop_ms"]]
                cells += [row.get(key, "") for key in ("graph_ms", "kernels", "peak_mib")]
                shown = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
                lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _summary(section: Any) -> str:
    if not isinstance(section, dict):
        return str(section).splitlines()[0] if str(section).startswith("not run") else "done"
    if "FAILED" in section:
        return "FAILED: " + section["FAILED"].strip().splitlines()[-1][:200].replace("|", "/")
    if "checks" in section:
        return f"{counted(section['checks'], 'check')}, {len(section['failed'])} failed"
    return "done"
