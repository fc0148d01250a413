"""Building a bank: 700 ImageNet names in 8 templates, plain, cropped at end-of-
text, and ours.

    python -m benchmarks.bank               # ten minutes on an idle machine, mostly for plain
    python -m benchmarks.bank --share 0.1   # a tenth of the names for plain and cropped

ViT-B/16 with random weights, float32, no gradient. A share below 1 is written
into the record: times of plain and cropped encoding are proportional to the
number of names.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.measuring import class_names, frozen_clip, machine
from sar_reg.bank import encode_templates, resolve_templates
from sar_reg.files import write_atomic
from sar_reg.prompting import TextTower, text_tower
from sar_reg.prompting.prefix.plan import make_plan
from sar_reg.prompting.prompts import fixed_rows

RECORD = Path(__file__).parent / "results" / "bank.json"
CLASSES = 700


def plain(model: Any, tokens: Tensor) -> Tensor:
    """All 77 rows, as with open_clip's `encode_text`."""
    return torch.cat([model.encode_text(batch) for batch in tokens.split(100)])


def cropped(model: Any, tokens: Tensor) -> Tensor:
    """Rows up to the end of the longest sentence."""
    ends = tokens.argmax(dim=-1)
    length = int(ends.max()) + 1
    features: list[Tensor] = []
    for batch, end in zip(tokens.split(100), ends.split(100), strict=True):
        x = model.token_embedding(batch[:, :length]) + model.positional_embedding[:length]
        for block in model.transformer.resblocks:
            x = block(x, attn_mask=model.attn_mask[:length, :length])
        features.append(model.ln_final(x[torch.arange(len(x)), end]) @ model.text_projection)
    return torch.cat(features)


def timed(run: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """CPU seconds of one thread, and the result."""
    start = time.process_time()
    features = run()
    return time.process_time() - start, features


def known_tower(model: Any) -> TextTower:
    """The text tower of a CLIP, whose blocks and tokenizer are known."""
    tower = text_tower(model)
    assert isinstance(tower, TextTower)
    return tower


def averaged(encode: Callable[[Any, Tensor], Tensor], model: Any, names: Sequence[str]) -> Tensor:
    """A bank with another way of encoding."""
    tower, total = known_tower(model), torch.zeros(len(names), 512)
    for template in resolve_templates("imagenet"):
        tokens = tower.tokenize([template.replace("{}", name.replace("_", " ")) for name in names])
        total += functional.normalize(encode(model, tokens), dim=-1)
    return functional.normalize(total, dim=-1)


@torch.no_grad()
def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="fraction of the names for plain and cropped"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, names, templates = frozen_clip(), class_names(CLASSES), resolve_templates("imagenet")
    tower = known_tower(model)
    few = names[: round(CLASSES * options.share)]
    ours_s, ours = timed(lambda: encode_templates(tower, names, templates))
    cropped_s, cropped_features = timed(lambda: averaged(cropped, model, few))
    plain_s, plain_features = timed(lambda: averaged(plain, model, few))
    error = (ours[: len(few)] - plain_features).abs().max().item()
    crop_error = (cropped_features - plain_features).abs().max().item()
    plans = [make_plan(tower, fixed_rows(tower, [t.replace("{}", n) for n in names])) for t in templates]
    rows = {
        "plain": {"names": len(few), "seconds": plain_s, "rows": 77 * CLASSES * len(templates)},
        "cropped": {"names": len(few), "seconds": cropped_s, "largest difference to plain": crop_error},
        "ours": {
            "names": CLASSES,
            "seconds": ours_s,
            "rows": sum(plan.n_shared + plan.n_own for plan in plans),
            "largest difference to plain": error,
        },
    }
    faster = plain_s / options.share / ours_s
    record = {"machine": machine(), "command": f"python -m benchmarks.bank --share {options.share}"}
    record |= {
        "classes": CLASSES,
        "templates": len(templates),
        "rows": rows,
        "times faster than plain": faster,
    }
    write_atomic(RECORD, json.dumps(record, indent=1) + "\n")
    print(json.dumps(rows, indent=1), f"\n{faster:.1f}× faster than plain")


if __name__ == "__main__":
    main()
