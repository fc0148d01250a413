"""One training step: text tower plain, cropped and ours, image tower, loss.

    python -m benchmarks.train_step               # cases missing from the record
    python -m benchmarks.train_step --again       # rebuild the record in one run
    python -m benchmarks.train_step --only coop   # cases with "coop" in the name
    python -m benchmarks.train_step --table       # print the record

ViT-B/16 with random weights, float32, ImageNet's class names. The record is
written after every case, and a case that is in it is not run again. `plain` of
500 classes needs some 14 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmarks.measuring import class_names, frozen_clip, machine, measure
from sar_reg import PromptEncoder, similarity_alignment_loss
from sar_reg.files import write_atomic
from sar_reg.prompting import ImagePromptEncoder

RECORD = Path(__file__).parent / "results" / "train_step.json"
NOVEL = 200
REPEATS = 3
"""Runs of every case; the median is recorded."""
How = Literal["plain", "cropped", "ours", "checkpoint", "chunks of 25", "two buckets"]
OPTIONS: dict[How, dict[str, Any]] = {
    "checkpoint": {"checkpoint": True},
    "chunks of 25": {"chunk_size": 25},
    "two buckets": {"buckets": 2},
}
"""Options of our encoder."""


Method = Literal["coop", "tcp", "maple", "coprompt"]
OTHERS: tuple[tuple[Method, int], ...] = (("tcp", 4), ("maple", 2), ("coprompt", 4))
"""Methods with a text tower of their own, and their n_ctx. KgCoOp's is CoOp's."""
DEEP = {"maple": 8, "coprompt": 11}
"""Blocks whose prompts are replaced."""


@dataclass(frozen=True)
class Case:
    """The text tower of one method: `classes` prompts with `n_ctx` vectors, encoded one way."""

    method: Method
    how: How
    classes: int
    n_ctx: int

    @property
    def name(self) -> str:
        """Key in the record."""
        return f"{self.method}, {self.how}, {self.classes} classes, M={self.n_ctx}"


def cases() -> Iterator[Case]:
    """All cases; those behind claims in the docs come first."""
    for n_ctx in (4, 16):
        for classes in (50, 100, 250, 300, 500, 700):
            yield Case("coop", "ours", classes, n_ctx)
    for n_ctx in (4, 16):
        for classes in (100, 300, 500):
            yield Case("coop", "plain", classes, n_ctx)
    for method, n_ctx in OTHERS:
        yield Case(method, "ours", 300, n_ctx)
        yield Case(method, "plain", 100, n_ctx)
    for how in OPTIONS:
        yield Case("coop", how, 100, 4)
    for n_ctx in (4, 16):
        for classes in (50, 100, 250, 300):
            yield Case("coop", "cropped", classes, n_ctx)
        for classes in (50, 250):
            yield Case("coop", "plain", classes, n_ctx)


def text_pass(case: Case, model: nn.Module) -> tuple[Callable[[], Tensor], int]:
    """The forward pass of a case, and the rows it puts through a block."""
    infix = "of a" if case.method == "maple" else ""
    names, options = class_names(case.classes), OPTIONS.get(case.how, {})
    encoder = PromptEncoder(model, None, names, n_ctx=case.n_ctx, infix=infix, **options)
    context = encoder.random_context().requires_grad_()
    arguments: dict[str, Any] = {"context": context}
    if case.method == "tcp":
        arguments["class_tokens"] = torch.randn(case.classes, case.n_ctx, 512).requires_grad_()
        arguments["class_layer"] = 8
    if case.method in DEEP:
        arguments["deep"] = [torch.randn(case.n_ctx, 512).requires_grad_() for _ in range(DEEP[case.method])]
    other = {"plain": encoder.encode_plain, "cropped": partial(cropped, model, encoder)}
    count = encoder.count_tokens()
    return partial(other.get(case.how, encoder), **arguments), getattr(count, case.how, count.ours)


def cropped(model: Any, encoder: PromptEncoder, context: Tensor) -> Tensor:
    """The official path with all prompts cropped to the longest one, as a careful user would write it."""
    ends = encoder.tokens.argmax(dim=-1)
    length = int(ends.max()) + 1
    words = model.token_embedding(encoder.tokens[:, :length])
    learned = context.expand(len(words), -1, -1)
    x = (
        torch.cat([words[:, :1], learned, words[:, 1 + len(context) :]], dim=1)
        + model.positional_embedding[:length]
    )
    for block in model.transformer.resblocks:
        x = block(x, attn_mask=model.attn_mask[:length, :length])
    return model.ln_final(x[torch.arange(len(x)), ends]) @ model.text_projection


def text_row(case: Case, model: nn.Module) -> dict[str, Any]:
    """Measure one case."""
    run, rows = text_pass(case, model)
    return asdict(case) | {"rows": rows} | asdict(measure(run, model=model, repeats=REPEATS))


def image_row(batch: int, prompted: bool, model: nn.Module) -> dict[str, Any]:
    """The image tower: frozen and without graph (CoOp, TCP), or with prompts to learn (MaPLe, CoPrompt)."""
    encode, images = ImagePromptEncoder(model), torch.randn(batch, 3, 224, 224)
    if not prompted:
        found = measure(lambda: encode(images), model=model, repeats=REPEATS, learn=False)
    else:
        prompts = torch.randn(2, 768).requires_grad_()
        deep = [torch.randn(2, 768).requires_grad_() for _ in range(8)]
        found = measure(lambda: encode(images, prompts, deep), model=model, repeats=REPEATS)
    return {"batch": batch, "prompted": prompted} | asdict(found)


def gate(model: nn.Module) -> None:
    """Check that ours and plain return the same features and gradients before anything is timed."""
    encoder = PromptEncoder(model, None, class_names(8), n_ctx=4)
    context = encoder.random_context().requires_grad_()
    ours, plain = encoder(context), encoder.encode_plain(context)
    pulls = [torch.autograd.grad(features.square().sum(), context)[0] for features in (ours, plain)]
    for a, b in ((ours, plain), pulls):
        error = ((a - b).norm() / b.norm()).item()
        if not error < 1e-4:
            raise SystemExit(f"ours differs from plain by {error:.1e}; nothing was timed")


def loss_row(classes: int) -> dict[str, Any]:
    """The regulariser on features of `classes` classes, K = 64."""
    learned, target = torch.randn(classes, 512).requires_grad_(), torch.randn(classes, 512)
    found = measure(
        lambda: similarity_alignment_loss(learned, target, temperature=0.01, sample_size=64),
        model=nn.Identity(),
        repeats=REPEATS,
    )
    return {"classes": classes} | asdict(found)


def main() -> None:
    """Run the missing cases, or print the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--again", action="store_true", help="rebuild the record in one run")
    parser.add_argument("--table", action="store_true", help="print the record and run nothing")
    options = parser.parse_args()
    if options.again and options.only:
        parser.error("--again rebuilds the whole record; leave --only out")
    kept = RECORD.exists() and not options.again
    record: dict[str, Any] = json.loads(RECORD.read_text()) if kept else {"rows": {}}
    if options.table:
        print(table(record["rows"]))
        return
    model = frozen_clip()
    gate(model)
    work: dict[str, Callable[[], dict[str, Any]]] = {
        case.name: partial(text_row, case, model) for case in cases()
    }
    work["image tower, 32 images, frozen"] = partial(image_row, 32, False, model)
    work["image tower, 4 images, prompted"] = partial(image_row, 4, True, model)
    work |= {f"loss, {classes} classes": partial(loss_row, classes) for classes in (300, 700)}
    for name, run in work.items():
        if options.only in name and name not in record["rows"]:
            row = run()
            if options.again:
                record |= {"machine": machine(), "command": "python -m benchmarks.train_step --again"}
            else:
                row["added"] = machine()
            record["rows"][name] = row
            RECORD.parent.mkdir(exist_ok=True)
            write_atomic(RECORD, json.dumps(record, indent=1) + "\n")
            seconds = row["forward_s"] + row["backward_s"]
            print(f"{name}: {seconds:.2f} s, {row['kept_mb']:.0f} MB kept", file=sys.stderr, flush=True)
    write_atomic(RECORD.with_suffix(".md"), table(record["rows"]) + "\n")
    print(table(record["rows"]))


def table(rows: dict[str, Any]) -> str:
    """The record in Markdown: claims, the rest of the step, and the text tower by size."""
    lines = [
        "| claim, one CPU thread | text tower's CPU time | memory kept | peak memory | whole step, 32 images |",
        "|---|---|---|---|---|",
        *_claims(rows),
    ]
    lines += ["", "| rest of the step | CPU s |", "|---|---|"]
    lines += [f"| {name} | {_seconds(row):.3f} |" for name, row in rows.items() if "how" not in row]
    lines += [
        "",
        "| text tower, forward + backward | rows per block | CPU s | MB kept | MB at the peak | vs plain |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in sorted(rows.items(), key=_order):
        if "how" not in row:
            continue
        plain = rows.get(name.replace(row["how"], "plain"))
        ratio = (
            f"{_seconds(plain) / _seconds(row):.1f}×, {plain['kept_mb'] / row['kept_mb']:.1f}×, "
            f"{plain['peak_mb'] / row['peak_mb']:.1f}×"
            if plain
            else ""
        )
        memory = f"{row['kept_mb']:,.0f} | {row['peak_mb']:,.0f}"
        spread = f" ({row['p20_s']:.2f} to {row['p80_s']:.2f})" if "p20_s" in row else ""
        lines.append(f"| {name} | {row['rows']:,} | {_seconds(row):.2f}{spread} | {memory} | {ratio} |")
    return "\n".join(lines)


def _claims(rows: dict[str, Any]) -> Iterator[str]:
    for method, n_ctx in (("coop", 4), ("coop", 16), *OTHERS):
        for base in (50, 100, 500):
            plain = rows.get(f"{method}, plain, {base} classes, M={n_ctx}")
            ours = rows.get(f"{method}, ours, {base + NOVEL} classes, M={n_ctx}")
            if plain and ours:
                what = f"{method} M={n_ctx}: ours {base} + {NOVEL} against plain {base} without SAR"
                time, memory = _seconds(plain) / _seconds(ours), plain["kept_mb"] / ours["kept_mb"]
                peak = plain["peak_mb"] / ours["peak_mb"]
                whole = _whole_step(rows, plain, ours)
                yield f"| {what} | {time:.1f}× faster | {memory:.1f}× less | {peak:.1f}× less | {whole} |"


def _whole_step(rows: dict[str, Any], plain: dict[str, Any], ours: dict[str, Any]) -> str:
    """Speed-up if images are encoded in each step: the frozen image tower on both sides, the loss on ours."""
    image = rows.get("image tower, 32 images, frozen")
    loss = rows.get(f"loss, {300 if ours['classes'] <= 300 else 700} classes")
    if ours["method"] in DEEP or not image or not loss:
        return ""
    with_image = [_seconds(row) + _seconds(image) for row in (plain, ours)]
    return f"{with_image[0] / (with_image[1] + _seconds(loss)):.1f}× faster"


def _seconds(row: dict[str, Any]) -> float:
    return row["forward_s"] + row["backward_s"]


def _order(item: tuple[str, dict[str, Any]]) -> tuple[Any, ...]:
    row = item[1]
    return tuple(str(row.get(key, "")).rjust(5) for key in ("method", "n_ctx", "classes", "how"))


if __name__ == "__main__":
    main()
