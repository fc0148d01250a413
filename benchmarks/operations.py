"""Count the operations that a step sends to the device, and refuse those that make the host wait.

On a GPU, each operation needs a launch: some microseconds on the host, however small the operation. A CPU does not show
this cost, but the count is the same on both: every dispatched operator that is not a view.

    python -m benchmarks.operations     # counts the text towers in a few seconds
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.measuring import class_names
from sar_reg import PromptEncoder
from sar_reg.files import write_atomic

VIEWS = frozenset(
    "_reshape_alias _unsafe_view alias as_strided chunk detach expand lift_fresh permute reshape select slice split "
    "split_with_sizes squeeze t transpose unbind unfold unsqueeze view".split()
)
READS = frozenset(
    "_local_scalar_dense allclose bincount equal is_nonzero item masked_select nonzero nonzero_static "
    "repeat_interleave unique_consecutive unique_dim _unique _unique2".split()
)
"""Operators whose result, or its shape, the host must read from the device."""


class Operations(TorchDispatchMode):
    """Counts the operations inside the context, by name.

    Args:
        refuse_reads: raise for an operator that makes the host wait for a value or a shape.
    """

    def __init__(self, *, refuse_reads: bool = False) -> None:
        super().__init__()
        self.refuse_reads = refuse_reads
        self.by_name: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """The total count."""
        return self.by_name.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        if name not in VIEWS:
            self.by_name[name] += 1
        by_mask = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            isinstance(leaf, torch.Tensor) and leaf.dtype in (torch.bool, torch.uint8)
            for leaf in tree_leaves(args[1])
        )
        if self.refuse_reads and (name in READS or by_mask):
            raise AssertionError(f"{func} makes the host wait for the device")
        return func(*args, **(kwargs or {}))


RECORD = Path(__file__).parent / "results" / "operations.json"
MODES: dict[str, dict[str, Any]] = {
    "CoOp, KgCoOp": {},
    "MaPLe (8 deep prompts, infix)": {"deep": 8, "infix": "of a"},
    "CoPrompt (11 deep prompts)": {"deep": 11},
    "TCP (class tokens at block 8)": {"class_layer": 8},
    "class-specific contexts": {"each": True},
}


def counted(run: Callable[[], Tensor], learned: Sequence[Tensor]) -> int:
    """Operations of forward and backward, counted in the second call."""

    def count() -> int:
        with Operations() as operations:
            features = run()
            torch.autograd.grad(features, learned, torch.ones_like(features))
        return operations.total

    count()
    return count()


def of_encoder(
    model: Any, mode: str, classes: int, layout: Any, *, plain: bool = False, bf16: bool = False
) -> int:
    """Operations of one text tower; `plain`: all 77 rows through the model's own blocks; `bf16`: autocast."""
    settings = dict(MODES[mode])
    each, deep, layer = (settings.pop(key, None) for key in ("each", "deep", "class_layer"))
    encoder = PromptEncoder(model, None, class_names(classes), n_ctx=4, layout=layout, **settings)
    width = encoder.tower.width
    context = torch.randn(*((classes, 4, width) if each else (4, width))).requires_grad_()
    arguments: dict[str, Any] = {"deep": [torch.randn(4, width).requires_grad_() for _ in range(deep or 0)]}
    tokens = torch.randn(classes, 4, width).requires_grad_()
    if layer:
        arguments |= {"class_tokens": tokens, "class_layer": layer}
    learned = [context, *arguments["deep"], *([tokens] if layer else [])]
    encode = encoder.encode_plain if plain else encoder

    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False):
            return encode(context, **arguments)

    return counted(run, learned)


def row_of(model: Any, mode: str, **options: Any) -> dict[str, int]:
    """Counts of one mode in each layout."""
    row = {"full length": of_encoder(model, mode, 60, "grouped", plain=True, **options)}
    for classes in (100, 300, 700):
        row[f"grouped, {classes}"] = of_encoder(model, mode, classes, "grouped", **options)
    for classes in (100, 700):
        row[f"packed, {classes}"] = of_encoder(model, mode, classes, "packed", **options)
    return row


def small_clip(*, half: bool = False) -> Any:
    """Twelve narrow blocks with QuickGELU; `half`: float16 as open_clip loads it, with norms in float32."""
    from open_clip import convert_weights_to_lp
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision, text = (
        CLIPVisionCfg(layers=12, width=64, image_size=32),
        CLIPTextCfg(width=16, heads=2, layers=12),
    )
    model = CLIP(16, vision, text, quick_gelu=True, cast_dtype=torch.float16 if half else None)
    if half:
        convert_weights_to_lp(model, torch.float16)
    return model.eval().requires_grad_(False)


def main() -> None:
    """Count, and write the record."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    torch.set_num_threads(1)
    model = small_clip()
    rows = {mode: row_of(model, mode) for mode in MODES}
    coop = next(iter(MODES))
    mixed = {
        f"{coop}, float16, norms in float32": row_of(small_clip(half=True), coop),
        f"{coop}, bfloat16 autocast": row_of(model, coop, bf16=True),
    }
    with Operations() as image, torch.no_grad():
        model.encode_image(torch.randn(1, 3, 32, 32))
    record = {
        "command": "python -m benchmarks.operations",
        "torch": torch.__version__,
        "blocks": 12,
        "text tower": rows,
        "text tower, two types": mixed,
        "image tower, forward": image.total,
    }
    write_atomic(RECORD, json.dumps(record, indent=1) + "\n")
    write_atomic(RECORD.with_suffix(".md"), table(record) + "\n")
    print(table(record))


def table(record: dict[str, Any]) -> str:
    """The record as a Markdown table."""
    columns = list(next(iter(record["text tower"].values())))
    heads = [column.replace(", ", ": ") + (" classes" if column[-1] == "0" else "") for column in columns]
    lines = [f"| operations, forward + backward | {' | '.join(heads)} |", "|---" * (len(columns) + 1) + "|"]
    for mode, row in (record["text tower"] | record["text tower, two types"]).items():
        lines.append(f"| {mode} | {' | '.join(f'{row[column]:,}' for column in columns)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
