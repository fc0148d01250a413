"""Models that have no weights to compute with, or not as numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from sar_reg.errors import InputError

_QUANTISED = ("torch.ao.nn.", "torch.nn.quantized", "bitsandbytes", "torchao", "gptqmodel", "awq")
_IMAGE_SIDE = ("visual.", "vision_")


def unwrapped(model: Any) -> Any:
    """The model inside torch.compile, averages, (Distributed)DataParallel and peft's wrappers, if it is whole there."""
    while True:
        name = type(model).__name__
        if name == "FullyShardedDataParallel":
            raise InputError("the model's weights are split by FSDP: pass the model before it is wrapped")
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel | AveragedModel):
            model = model.module
        elif hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
            if any(getattr(config, "is_prompt_learning", False) for config in model.peft_config.values()):
                raise InputError(f"{name} adds its own prompts to the model: pass the model without them")
            model = model.get_base_model()
        else:
            return model


def refuse_unusable(model: nn.Module) -> None:
    """Refuse TorchScript, and quantised, empty (meta or fake), split and inference-mode weights of the text side."""
    if isinstance(model, torch.jit.ScriptModule):
        raise InputError("the model is TorchScript, which cannot be looked into: load it with jit=False")
    text = {name: m for name, m in model.named_modules() if not name.startswith(_IMAGE_SIDE)}
    for name, module in text.items():
        if type(module).__module__.startswith(_QUANTISED):
            raise InputError(
                f"the model is quantised ({name} is a {type(module).__name__}): load it in floating point"
            )
    for name, weight in (*model.named_parameters(), *model.named_buffers()):
        if name.startswith(_IMAGE_SIDE):
            continue
        if weight.device.type == "meta" or type(weight).__name__ == "FakeTensor":
            raise InputError(
                f"the model has no weights yet ({name} is empty): load them before it is used here"
            )
        if not isinstance(weight, nn.Parameter):
            continue
        if not weight.is_floating_point():
            raise InputError(f"the model is quantised ({name} is {weight.dtype}): load it in floating point")
        if type(weight.data) is not torch.Tensor:
            raise InputError(
                f"the model's weights must be plain tensors, and {name} is a {type(weight.data).__name__}: load it "
                "unquantised and on one device"
            )
        if weight.is_inference():
            raise InputError(
                "the model was made under torch.inference_mode(), whose tensors take part in no gradient: make or load "
                "it outside"
            )
