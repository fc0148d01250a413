"""Checks of numbers, switches and devices that a caller passes; a wrong one would silently change the result."""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any, cast

import torch
from torch import SymInt, Tensor

from sar_reg.errors import InputError

__all__ = ["existing_device"]


def whole_number(
    value: object, name: str, *, least: int | None = 0, most: int | None = None, otherwise: str = ""
) -> int:
    """An argument that counts something, as an `int`; numpy's integers and the compiler's symbols are accepted.

    Args:
        value: what the caller passed.
        name: of the argument, for the message.
        least: smallest value allowed; None: any.
        most: largest value allowed.
        otherwise: what else is allowed, for the message.

    Raises:
        InputError: for values out of range, bools, floats, tensors and other types.
    """
    number = _as_int(value)
    if number is None or (least is not None and number < least) or (most is not None and number > most):
        bounds = "" if least is None else f" of {least} or more" if most is None else f" in {least}..{most}"
        raise InputError(f"{name} must be an int{bounds}{otherwise}, not {value!r:.60}")
    return number


def real_number(value: object, name: str, *, least: float, otherwise: str = "") -> float:
    """A finite number as a `float`; numpy's are accepted.

    Raises:
        InputError: for values below `least`, bools, tensors and other types; the message ends the range with
            `otherwise`.
    """
    number = _as_float(value)
    if not (math.isfinite(number) and number >= least):
        raise InputError(f"{name} must be a finite number of {least:g} or more{otherwise}, not {value!r:.60}")
    return number


def switch(value: object, name: str, otherwise: str = "") -> bool:
    """True or False; the text "no" would count as True.

    Raises:
        InputError: for other types; the message ends the choices with `otherwise`.
    """
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False{otherwise}, not {value!r:.60}")
    return value


def positive_temperature(temperature: object) -> float:
    """The temperature of a softmax over cosines as a `float`.

    Raises:
        InputError: for values that are not positive and finite, bools, tensors and other types.
    """
    value = _as_float(temperature)
    if not (math.isfinite(value) and value > 0):
        raise InputError(
            f"temperature must be a positive, finite number (CLIP: 1 / exp(logit_scale)), not {temperature!r:.60}; "
            "for a tensor, pass tensor.item()"
        )
    return value


def existing_device(device: object) -> torch.device:
    """A device that PyTorch has on this machine.

    Raises:
        InputError: for one that does not exist here, and for other types.
    """
    try:
        return torch.empty(0, device=torch.device(cast(Any, device))).device
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f'device must be one that PyTorch has here, such as "cpu" or "cuda:0", not {device!r} ({reason:.200})'
        ) from error


def _as_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(cast(Any, value))
    except OverflowError:
        return math.inf


def _as_int(value: object) -> int | None:
    # tuples: the compiler of PyTorch 2.8 does not read unions of types
    if isinstance(value, (bool, Tensor)):  # reading a tensor would wait for its device
        return None
    if isinstance(value, (int, SymInt)):
        return cast(int, value)
    try:
        return operator.index(cast(Any, value))
    except (TypeError, ValueError):
        return None
