"""Call a model without gradients to its weights and without touching it, from any number of threads."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import functools
import operator
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from sar_reg.shapes import Tensor

_ATOMS = frozenset({type(None), bool, int, float, str, bytes, torch.dtype, torch.device, torch.Tensor})

LINEAR = (nn.Linear, NonDynamicallyQuantizableLinear)
"""Classes whose call is `F.linear` with weight and bias; the second is the one in `nn.MultiheadAttention`."""
_OWN = frozenset(name for name in nn.Module().__dict__ if "hooks" in name)
"""Dictionaries that a twin must not share: hooks are added to them."""


class Frozen:
    """A module whose weights never receive gradients, whatever their `requires_grad`; its hooks still run."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *inputs: Tensor) -> Tensor:
        module = self.module
        if type(module) in LINEAR and isinstance(module, nn.Linear):
            return F.linear(inputs[0], module.weight.detach(), detached(module.bias))
        norm = _NORMS.get(f"{type(module).__module__}.{type(module).__qualname__}")
        if norm and isinstance(module, nn.LayerNorm):
            return norm(module, *inputs)
        if not any(weight.requires_grad for weight in module.parameters()):
            return module(*inputs)
        return frozen_twins(module)[module](*inputs)


def _norm(module: nn.LayerNorm, x: Tensor) -> Tensor:
    weight, bias = detached(module.weight), detached(module.bias)
    return F.layer_norm(x, module.normalized_shape, weight, bias, module.eps)


_NORMS: dict[str, Callable[[nn.LayerNorm, Tensor], Tensor]] = {
    "torch.nn.modules.normalization.LayerNorm": _norm,
    "open_clip.transformer.LayerNorm": lambda module, x: _norm(module, x).to(x.dtype),
    "open_clip.transformer.LayerNormFp32": lambda module, x: _norm(module, x.float()).to(x.dtype),
}
"""Norms as functions, without a twin at each call."""


def detached(weight: Tensor | None) -> Tensor | None:
    """The same values without a gradient; None stays None."""
    # export fails on detached constants that nothing uses, and its programs learn nothing
    if weight is None or not weight.requires_grad or _is_exporting():
        return weight
    return weight.detach()


_is_exporting: Callable[[], bool] = getattr(
    torch.compiler, "is_exporting", lambda: False
)  # from torch 2.7 on


def frozen_twins(root: nn.Module) -> dict[nn.Module, nn.Module]:
    """A copy of a module tree that shares its weights, detached: from each module to its twin.

    The twins have the modules' attributes and hooks as they are now. Hooks put on a twin, and gradients
    through it, do not reach the model. Methods, partial functions and closures that refer to a module of the
    tree, such as a patched `forward`, refer to its twin.

    Cost: a few milliseconds for a CLIP, no memory for weights.
    """
    twins: dict[nn.Module, Any] = {module: object.__new__(type(module)) for module in root.modules()}
    rebind = _Rebinding(twins)
    for module, twin in twins.items():
        for name, value in module.__dict__.items():
            if name in _OWN:
                twin.__dict__[name] = type(value)(rebind(dict(value))) if value else type(value)()
            else:
                twin.__dict__[name] = rebind(value)
        twin.__dict__["_parameters"] = {key: detached(weight) for key, weight in module._parameters.items()}
        twin.__dict__["_buffers"] = {key: detached(buffer) for key, buffer in module._buffers.items()}
        twin.__dict__["_modules"] = {key: twins.get(child) for key, child in module._modules.items()}  # type: ignore[arg-type]
    return twins


class _Rebinding:
    """Replaces references to modules by references to their twins, in what a module may hold."""

    def __init__(self, twins: dict[nn.Module, Any]) -> None:
        self.twins = twins
        self.functions: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            return value
        if isinstance(value, nn.Module):
            return self.twins.get(value, value)
        if kind is types.MethodType:
            owner = self(value.__self__)
            function = self(value.__func__)
            same = owner is value.__self__ and function is value.__func__
            return value if same else types.MethodType(function, owner)
        if kind is types.FunctionType:
            return self._function(value)
        if kind is functools.partial:
            return functools.partial(self(value.func), *self(value.args), **self(value.keywords))
        if kind in (list, tuple):
            new = [self(item) for item in value]
            return value if all(map(operator.is_, new, value)) else kind(new)
        if kind is dict:
            changed = {key: self(item) for key, item in value.items()}
            return value if all(map(operator.is_, changed.values(), value.values())) else changed
        return value

    def _function(self, function: Any) -> Any:
        original = getattr(function, "_torchdynamo_orig_callable", None)
        if original is not None:
            return self(original)
        if not (function.__closure__ or function.__defaults__ or function.__kwdefaults__):
            return function
        if id(function) not in self.functions:
            self.functions[id(function)] = function  # for functions that refer to themselves
            self.functions[id(function)] = self._with_new_cells(function)
        return self.functions[id(function)]

    def _with_new_cells(self, function: Any) -> Any:
        old = function.__closure__ or (), function.__defaults__, function.__kwdefaults__
        cells, defaults, keywords = tuple(map(self._cell, old[0])), self(old[1]), self(old[2])
        if all(map(operator.is_, (*cells, defaults, keywords), (*old[0], *old[1:]))):
            return function
        new = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, defaults, cells or None
        )
        new.__kwdefaults__ = keywords
        new.__dict__.update(function.__dict__)
        return new

    def _cell(self, cell: types.CellType) -> types.CellType:
        try:
            contents = cell.cell_contents
        except ValueError:  # not yet filled
            return cell
        new = self(contents)
        return cell if new is contents else types.CellType(new)
