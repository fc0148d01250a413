"""Frozen features of class names in hand-written templates: what the learned features are held to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional as F

from sar_reg.errors import InputError
from sar_reg.progress import ProgressLine
from sar_reg.prompting.learned import Learned
from sar_reg.prompting.prefix.plan import encode, make_plan
from sar_reg.prompting.prompts import fixed_rows, spoken
from sar_reg.prompting.towers import FunctionTower, TextTower
from sar_reg.shapes import Float, Tensor


@torch.no_grad()
def encode_templates(
    tower: TextTower | FunctionTower,
    classnames: Sequence[str],
    templates: Sequence[str],
    *,
    batch_size: int = 256,
    progress: bool = False,
) -> Float[Tensor, "classes features"]:
    r"""Average features of each class over the templates, as float32 unit rows.

    $h_c = \mathrm{n}\left(\frac{1}{M} \sum_m \mathrm{n}(E(\mathrm{template}_m(c)))\right)$ with
    $\mathrm{n}(x) = x / \lVert x \rVert$.

    The words before the class name are the same for all classes, so a tower that allows it computes them once
    per template and batch. No gradient; the model's mode and flags stay.

    Args:
        tower: from `text_tower`.
        classnames: names; "_" is read as a space.
        templates: sentences with one `{}` for the name.
        batch_size: names in one pass.
        progress: show a line with share done and rate, on terminals only.

    Raises:
        InputError: if a template has not exactly one `{}`, a sentence is too long for the model, or
            `batch_size` is below 1.
    """
    for template in templates:
        if template.count("{}") != 1:
            raise InputError(f'a template needs exactly one {{}} for the class name; "{template}" has not.')
    if not classnames or not templates:
        raise InputError(
            f"need at least one class and one template, got {len(classnames)} and {len(templates)}."
        )
    if batch_size < 1:
        raise InputError(f"batch_size must be 1 or more, not {batch_size}")
    total: Tensor | None = None
    for template in _shown(templates, len(classnames), progress):
        texts = [template.replace("{}", spoken(name)) for name in classnames]
        unit = F.normalize(_features(tower, texts, batch_size).float(), dim=-1)
        total = unit if total is None else total + unit
    assert total is not None
    return F.normalize(total, dim=-1)


def _features(tower: TextTower | FunctionTower, texts: list[str], batch_size: int) -> Tensor:
    if isinstance(tower, TextTower) and tower.shareable:
        plan = make_plan(tower, fixed_rows(tower, texts), chunk_size=batch_size)
        return encode(tower, plan, Learned())
    batches = [texts[i : i + batch_size] for i in range(0, len(texts), batch_size)]
    return torch.cat([tower.encode_texts(batch) for batch in batches])


def _shown(templates: Sequence[str], names: int, progress: bool) -> Iterator[str]:
    line = ProgressLine("prompts")
    try:
        for done, template in enumerate(templates):
            if progress:
                line(done * names, len(templates) * names)
            yield template
        if progress:
            line(len(templates) * names, len(templates) * names)
    finally:
        line.end()
