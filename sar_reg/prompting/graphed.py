"""An encoder that is replayed as CUDA graphs: which one can be, and what its graphs read."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from typing import Any

from sar_reg.cuda_graph import CapturedCall, check_device
from sar_reg.errors import InputError
from sar_reg.prompting.learned import Learned
from sar_reg.prompting.prefix.packed import PackedPlan
from sar_reg.prompting.prefix.plan import PrefixPlan
from sar_reg.prompting.towers import TextTower
from sar_reg.shapes import Float, Tensor

OPTION, WITHOUT = "cuda_graph=True", "use cuda_graph=False"


def capturable(tower: TextTower, plan: PrefixPlan | None) -> PackedPlan:
    """The plan, if the passes of its encoder can be captured.

    Args:
        tower: the model's text side.
        plan: the plan of its prompts, None if they share nothing.

    Raises:
        InputError: if the model is not on a CUDA device, is encoded in full, or in the grouped layout.
    """
    check_device(tower.device, OPTION, WITHOUT)
    if plan is None:
        raise InputError(
            f"{OPTION} needs a model whose prompts share their first rows; this one is encoded in full, which cannot "
            f"be captured: {tower.why_not}; {WITHOUT}"
        )
    if not isinstance(plan, PackedPlan):
        raise InputError(f"{OPTION} needs the packed layout: leave layout and buckets out, or {WITHOUT}")
    return plan


def encode_graphed(
    graph: CapturedCall, tower: TextTower, plan: PrefixPlan | None, learned: Learned, *, recompute: bool
) -> Float[Tensor, "classes features"]:
    """`plan.encode`, by replay; the first call captures.

    Raises:
        InputError: if this call cannot be captured, or differs from the captured one in more than values.
        SarRegError: if CUDA refuses the capture.
    """
    packed = capturable(tower, plan)
    layer, *parts = learned.apart()
    present = [part is not None for part in parts]

    def encode(*tensors: Tensor) -> list[Tensor]:
        given = iter(tensors)
        again: list[Any] = [next(given) if there else None for there in present]
        return [packed.encode(tower, Learned.of_parts(layer, *again), recompute=recompute)]

    tensors = [part for part in parts if part is not None]
    settings = {"class_layer": layer}
    return graph(encode, tensors, settings=settings, read=_weights(tower, packed))[0]


def _weights(tower: TextTower, plan: PackedPlan) -> list[Any]:
    """Which weights are read, and how often they were changed; scalars such as the logit scale are not read."""
    parameters = (p for module in tower.path for p in module._parameters.values() if p is not None)
    return [id(plan), *((p.data_ptr(), p.dtype, p._version) for p in parameters if p.ndim)]
