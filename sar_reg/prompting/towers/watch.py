"""Whether the modules that encode text are the library's own, and whether they changed since."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules import module as every_module

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_METHODS = ("forward", "encode_text", "get_text_features")
_LIBRARIES = ("torch.", "open_clip.", "transformers.")


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
    """Notices hooks, replaced parts and methods, changed settings and changed buffers such as the mask."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self._hooks = [module.__dict__[hooks] for module in modules for hooks in _HOOKS]
        # settings such as the number of heads, eps, or which row is read
        self._settings = [
            (module.__dict__, name)
            for module in modules
            for name, value in module.__dict__.items()
            if name != "training" and isinstance(value, int | float | str)
        ]
        self._buffers = [module._buffers for module in modules if module._buffers]
        self.begin()

    def begin(self) -> None:
        """Take the present state as unchanged."""
        self._before, self._tensors = self._state(), self._buffer_state()

    def changed(self) -> bool:
        """Whether anything is not as it was when the watch began."""
        if [device for device, *_ in self._tensors] != [device for device, *_ in self._buffer_state()]:
            self._tensors = self._buffer_state()  # moved, which makes new buffers
        return self._state() != self._before or self._buffer_state() != self._tensors

    def _buffer_state(self) -> list[tuple[Any, int, int]]:
        return [
            (b.device, id(b), b._version) for found in self._buffers for b in found.values() if b is not None
        ]

    def _state(self) -> list[Any]:
        kinds = [type(module) for module in self._modules]
        return [
            any(self._hooks),
            [
                hook
                for hooks in (every_module._global_forward_hooks, every_module._global_forward_pre_hooks)
                for hook in hooks.values()
                # PyTorch's own, such as those of FlopCounterMode, only observe
                if not str(getattr(hook, "__module__", "")).startswith("torch.")
            ],
            [settings.get(name) for settings, name in self._settings],
            kinds,
            [kind.forward for kind in dict.fromkeys(kinds)],
            [tuple(module._modules.values()) for module in self._modules if module._modules],
            [method in module.__dict__ for method in _METHODS for module in self._modules],
        ]
