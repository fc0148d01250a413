"""Frozen features of class names in handcrafted templates: the target of the regularisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional as F

from sar_reg.bank.templates import Template, resolve_templates
from sar_reg.checks import whole_number
from sar_reg.class_names import name_tuple, refuse_same_rows, spoken
from sar_reg.errors import InputError
from sar_reg.progress import ProgressLine
from sar_reg.prompting.learned import Learned
from sar_reg.prompting.prefix.plan import Layout, PlanOptions, encode, make_plan
from sar_reg.prompting.prompts import fixed_rows
from sar_reg.prompting.towers import FunctionTower, TextTower, text_tower
from sar_reg.prompting.verify import verified
from sar_reg.shapes import Float, Tensor


def encode_templates(
    tower: TextTower | FunctionTower,
    classnames: Sequence[str],
    templates: Sequence[Template],
    *,
    batch_size: int = 256,
    layout: Layout = "auto",
    progress: bool = False,
) -> Float[Tensor, "classes features"]:
    """Average features of each class over the templates, as float32 unit rows.

    `h_c = n( 1/M Σ_m n( E(template_m(c)) ) )` with `n(x) = x / ‖x‖`.

    The words before the class name are the same for all classes, so a tower that allows it computes them once
    per template and batch. No gradient; the model's mode and flags stay. Autocast is switched off: the
    features have the precision of the model's own weights. The shortest and the longest sentence are compared
    with the model's own encoding first; if the shared encoding differs, the model encodes everything.

    Args:
        tower: from `text_tower`.
        classnames: names; "_" is read as a space.
        templates: sentences with one `{}` for the name, or functions as in `resolve_templates`.
        batch_size: names in one pass.
        layout: as for `PromptEncoder`.
        progress: show a line with share done and rate, on terminals only.

    Raises:
        InputError: for bad templates, a sentence that is too long for the model, two names that the model
            cannot tell apart, `batch_size` below 1, or a model that cannot encode text.
    """
    tower = text_tower(tower)
    names = name_tuple(classnames, "classnames")
    sentences = resolve_templates(templates)
    if not names:
        raise InputError("classnames is empty; pass at least one class name")
    size = min(whole_number(batch_size, "batch_size", least=1), len(names))
    options = PlanOptions(chunk_size=size, layout=layout)
    if isinstance(tower, TextTower):
        ends = [
            choose(sentences, key=len).replace("{}", spoken(choose(names, key=len))) for choose in (min, max)
        ]
        tower = verified(tower, fixed_rows(tower, ends), options=options)
    total: Tensor | None = None
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(tower.device.type, enabled=False):
        for sentence in _shown(sentences, len(names), progress):
            unit = F.normalize(_features(tower, names, sentence, size, options).float(), dim=-1)
            total = unit if total is None else total + unit
        assert total is not None
        rows = F.normalize(total, dim=-1)
    if isinstance(tower, FunctionTower):
        refuse_same_rows(names, rows, "the function")
    return rows


def _features(
    tower: TextTower | FunctionTower, names: tuple[str, ...], sentence: str, size: int, options: PlanOptions
) -> Float[Tensor, "names features"]:
    texts = [sentence.replace("{}", spoken(name)) for name in names]
    if not isinstance(tower, TextTower):
        return torch.cat([tower.encode_texts(texts[i : i + size]) for i in range(0, len(texts), size)])
    rows = fixed_rows(tower, texts)
    without = tower.ids([sentence.replace("{}", "")])
    refuse_same_rows([*names, ""], torch.cat([rows.tokens, without]))
    if tower.shareable:
        return encode(tower, make_plan(tower, rows, options=options), Learned())
    return torch.cat([tower.encode_tokens(tokens.to(tower.device)) for tokens in rows.tokens.split(size)])


def _shown(sentences: Sequence[str], names: int, progress: bool) -> Iterator[str]:
    with ProgressLine("prompts") as line:
        for done in range(len(sentences) + 1):
            if progress:
                line(done * names, len(sentences) * names)
            yield from sentences[done : done + 1]
