"""These tests run the Triton kernels on the CPU, for which Triton must be told before it is imported.

`tests/sampled_kl/test_interpreter.py` runs them in a process of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
collect_ignore_glob = [] if INTERPRETED else ["*.py"]


@pytest.fixture(scope="session", autouse=True)
def language_is_patched_once_a_launch() -> Iterator[None]:
    """Triton's interpreter prepares its language at a launch, and again at each call of a nested function.

    Searching the language for what is left to do, which is nothing, would be a third of the time of these tests, and
    the table of NumPy's types, which is written out at each operation, a tenth.
    """
    import triton.language as tl
    from triton.runtime import interpreter

    prepare: Callable[..., object] = interpreter._patch_lang

    def prepare_once(fn: Callable[..., object]) -> object:
        languages = [value for value in fn.__globals__.values() if value is tl or value is tl.core]
        if not any(tl.core.is_builtin(language.load) for language in languages):
            return None
        prepared = prepare(fn)
        # Triton up to 3.6 takes int() of an array of one element, which NumPy refuses from 2.4 on.
        tl.tensor.__index__ = lambda scalar: scalar.handle.data.item()
        return prepared

    find, found = interpreter._get_np_dtype, {}

    def numpy_type(dtype: tl.dtype) -> np.dtype:
        known = found.get(dtype.name)
        if known is None:
            known = found[dtype.name] = find(dtype)
        return known

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter, "_patch_lang", prepare_once)
        patch.setattr(interpreter, "_get_np_dtype", numpy_type)
        yield


@pytest.fixture
def float64_products() -> None:
    """Skip tests for which the language must multiply matrices in float64."""
    import triton

    if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 5):
        pytest.skip(
            f"the language of Triton {triton.__version__} does not multiply float64, that of 3.5 does"
        )
