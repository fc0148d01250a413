"""A method's hyper-parameters: read from its recipe.toml, shown as the command line's help."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from sar_reg.errors import InputError, did_you_mean

Precision = Literal["fp32", "bf16", "fp16"]
Value = bool | int | float | str
"""What a setting can be, in a TOML file or on the command line."""
OF_METHODS = ("n_ctx", "ctx_init", "class_position", "depth", "class_block", "reg_weight", "descriptions")
"""Settings of some methods only; the others belong to the protocol or to SAR and mean the same for all."""

_FROM_ONE = ("epochs", "batch_size", "shots", "test_batch_size", "n_ctx", "depth", "accumulate")
_POSITIVE = ("adam_eps",)
LARGEST = 10**9
"""Bound of every number in a recipe: torch takes many of them as 32-bit numbers."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run computes, apart from data, model and seed."""

    epochs: int = 100
    """Passes over the training images."""
    batch_size: int = 32
    """Images a step; the last, smaller batch of an epoch is dropped."""
    lr: float = 0.002
    """Learning rate after the first epoch, which runs at 1e-5; then half a cosine."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum 0.9, or Adam with L2 added to the gradient."""
    weight_decay: float = 5e-4
    """L2 on every learned tensor."""
    adam_eps: float = 1e-8
    """Adam's ε; TCP's authors run it with 1e-3."""
    shots: int = 16
    """Training images a class."""
    augmentation: Literal["crop-flip", "randaugment", "none"] = "crop-flip"
    """Training transform: random resized crop and flip, RandAugment, or that of the test images."""
    views: int = 0
    """Random views of each image, encoded once and used in turn over the epochs (CoOp, KgCoOp, TCP); 0 draws a new
    view in each epoch."""
    test_batch_size: int = 100
    """Images a batch in evaluation; changes speed and memory only."""

    n_ctx: int = 4
    """Learned context vectors."""
    ctx_init: str = "a photo of a"
    """Words the context starts from; empty for random vectors."""
    class_position: Literal["end", "middle", "front"] = "end"
    """Where the class name stands among the context vectors."""
    depth: int = 1
    """Transformer blocks with prompts of their own (MaPLe, CoPrompt)."""
    class_block: int = 8
    """Block at whose input class-aware tokens replace the context, from 0 (TCP)."""
    reg_weight: float = 0.0
    """Weight of the method's own regulariser (KgCoOp, TCP, CoPrompt)."""
    descriptions: str = ""
    """File or folder with sentences that describe the classes (CoPrompt)."""

    lam: float = 0.1
    """Weight λ of the SAR loss."""
    sample_size: int = 64
    """Classes K that each row is compared with in a step; 0 takes all others."""
    n_novel: int = 200
    """Novel classes in the anchor bank."""
    sampling: Literal["independent", "ring"] = "independent"
    """How K classes are drawn: every row for itself as in the paper, or one shuffled ring for all rows."""
    direction: Literal["target||learned", "learned||target"] = "target||learned"
    """Direction of the KL divergence: from the handcrafted to the learned similarities, or the other way."""
    reduction: Literal["mean", "sum"] = "mean"
    """How the rows of the SAR loss are put together."""
    ensemble: bool = True
    """Eight handcrafted prompts in the anchor bank, or the data set's own alone."""

    precision: Precision = "fp32"
    """fp32; bf16: frozen towers under autocast, prompts and loss fp32; fp16: everything, as released."""
    accumulate: int = 1
    """Parts in which each batch is computed, to save memory; the step is the same."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Recipe).items():
            check_setting(name, getattr(self, name), kind)
        if self.views and self.augmentation == "none":
            raise InputError(
                f"views = {self.views} asks for random views, and augmentation none has none (it encodes every image "
                "once); leave out --views, or pass --augmentation crop-flip as well"
            )


def check_setting(name: str, value: object, kind: Any) -> None:
    """Refuse a value of another type than the setting's, outside its range, or not finite.

    Raises:
        InputError: naming the setting and what it takes.
    """
    choices = get_args(kind)
    if choices:
        right, takes = value in choices, f"be one of {', '.join(choices)}"
    elif kind in (int, float):
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        least = 1 if name in _FROM_ONE else 0
        if not -math.inf < number < math.inf or (kind is int and not isinstance(value, int)):
            right, takes = False, "be a whole number" if kind is int else "be a finite number"
        elif number > LARGEST:
            right, takes = False, f"be at most {LARGEST}"
        elif name in _POSITIVE:
            right, takes = number > 0, "be above 0"
        else:
            right, takes = number >= least, f"be {least} or more"
    else:
        right, takes = isinstance(value, kind), f"be of type {kind.__name__}"
    if not right:
        raise InputError(f"{name} must {takes}, not {value!r:.60}")


def load_recipe(path: str | Path, protocol: str, dataset: str) -> Recipe:
    """Read a recipe: `[settings]`, then `[settings.DATASET]`, `[PROTOCOL]` and `[PROTOCOL.DATASET]` over it.

    Args:
        path: a method's recipe.toml.
        protocol: the table to use, such as `"paper"`, `"official"` or `"testbed"`.
        dataset: key of the data set; a data set without a table of its own has the protocol's settings.

    Raises:
        InputError: for an unknown protocol or setting.
    """
    tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    if protocol not in tables or protocol == "settings":
        known = ", ".join(name for name in tables if name != "settings")
        raise InputError(
            f"{path} has no protocol {protocol!r}; it has: {known}{did_you_mean(protocol, tables)}"
        )
    settings: dict[str, Any] = {}
    for table in (tables.get("settings", {}), tables[protocol]):
        settings |= _values(table) | table.get(dataset, {})
    known = sorted(field.name for field in fields(Recipe))
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(f"{path}: unknown settings {', '.join(unknown)}; known: {', '.join(known)}")
    return Recipe(**settings)


def _values(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if not isinstance(value, Mapping)}
