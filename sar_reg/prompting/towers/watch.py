"""Whether the modules that encode text are the library's own, and whether they changed since."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as every_module

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_METHODS = ("forward", "encode_text", "get_text_features")
_LIBRARIES = ("torch.", "open_clip.", "transformers.")
_IN_EVERY_MODULE = frozenset(nn.Module().__dict__)


def altered(modules: Sequence[nn.Module], *, foreign: bool) -> str:
    """What was changed in the way these modules compute; empty if they do what their library wrote.

    `foreign`: their classes may come from anywhere, as in models laid out like OpenAI's clip.
    """
    for module in modules:
        name = type(module).__name__
        if any(module.__dict__[hooks] for hooks in _HOOKS):
            return f"{name} has hooks"
        for method in _METHODS:
            function: Any = getattr(type(module), method, None)
            if method in module.__dict__:
                return f"{name}.{method} was replaced"
            if not (foreign or function is None or function.__module__.startswith(_LIBRARIES)):
                return f"{name}.{method} is not the library's"
    return ""


class Watch:
    """Notices hooks, replaced parts and methods, changed attributes and changed buffers such as the mask.

    Weights are not watched: they are read at each call.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self.begin()

    def begin(self) -> None:
        """Take the present state as unchanged."""
        # where to look, found once: looking comes before every call
        self._dicts = [module.__dict__ for module in self._modules]
        kinds = {kind: None for module in self._modules for kind in type(module).__mro__}
        scopes = [*self._dicts, *(vars(kind) for kind in kinds if kind not in (nn.Module, object))]
        self._scopes = [(scope, scope.keys() - _IN_EVERY_MODULE) for scope in scopes]
        self._hooks = [own[hooks] for own in self._dicts for hooks in _HOOKS]
        self._parts = [own["_modules"] for own in self._dicts if own["_modules"]]
        self._buffers = [own["_buffers"] for own in self._dicts if own["_buffers"]]
        self._before, self._tensors, self._numbers = self._state()

    def changed(self) -> bool:
        """Whether anything is not as it was when the watch began."""
        state, tensors, numbers = self._state()
        if [tensor.device for tensor in tensors] != [tensor.device for tensor in self._tensors]:
            self._tensors, self._numbers = tensors, numbers  # moved, which makes new buffers
        same = _same(state, self._before) and _same(tensors, self._tensors)
        return not (same and numbers == self._numbers)

    def _state(self) -> tuple[list[Any], list[Tensor], list[int]]:
        attributes = [scope.get(name) for scope, names in self._scopes for name in names]
        hooks = [
            hook
            for hooks in (every_module._global_forward_hooks, every_module._global_forward_pre_hooks)
            for hook in hooks.values()
            # PyTorch's own, such as those of FlopCounterMode, only observe
            if not str(getattr(hook, "__module__", "")).startswith("torch.")
        ]
        parts = [part for parts in self._parts for part in parts.values()]
        buffers = [buffer for buffers in self._buffers for buffer in buffers.values()]
        tensors = [value for value in (*buffers, *attributes) if isinstance(value, Tensor)]
        numbers = [0 if tensor.is_inference() else tensor._version for tensor in tensors]
        numbers += [len(scope) for scope, _ in self._scopes]
        return [*attributes, *hooks, *parts, any(self._hooks), *map(type, self._modules)], tensors, numbers


def _same(objects: Sequence[object], before: Sequence[object]) -> bool:
    return len(objects) == len(before) and all(map(operator.is_, objects, before))
