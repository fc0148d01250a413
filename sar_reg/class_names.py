"""Lists of class names: what is accepted as one, and when two names are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import cast

from sar_reg.errors import InputError
from sar_reg.shapes import Tensor

__all__ = ["fold", "spoken"]


def spoken(name: str) -> str:
    """A class name as used in a sentence: underscores become spaces."""
    return name.replace("_", " ")


def fold(name: str) -> str:
    """The form in which two class names count as the same: case folded, `_` and runs of spaces as one space.

    Examples:
        >>> fold("Tabby_Cat ") == fold("tabby  cat")
        True
    """
    return " ".join(spoken(name).casefold().split())


def name_tuple(
    names: object, argument: str, *, ordered: bool = True, what: str = "class names"
) -> tuple[str, ...]:
    """Class names as a tuple of `str`.

    Args:
        names: a list, tuple, array or other iterable of strings.
        argument: what the caller calls it, for the message.
        ordered: refuse a set, whose order changes from run to run.
        what: the items, for the message.

    Raises:
        InputError: for one string, a set, a mapping, other types, and items that are not strings.
    """
    if isinstance(names, str | bytes):
        raise InputError(f"{argument} must be a list of {what}, not one string; write [{names!r}]")
    if isinstance(names, Set) and ordered:
        raise InputError(
            f"{argument} needs an order, and a set's order changes from run to run; pass sorted(names)"
        )
    if isinstance(names, Mapping):
        raise InputError(f"{argument} must be a list of {what}, not a mapping; pass list(mapping.values())")
    if not isinstance(names, Iterable) or getattr(names, "ndim", 1) == 0:
        raise InputError(f"{argument} must be a list of {what}, not {type(names).__name__}")
    found: list[str] = []
    for position, name in enumerate(cast("Iterable[object]", names)):
        if not isinstance(name, str):
            raise InputError(f"{argument}[{position}] is {name!r:.40}, not a string; convert it with str()")
        found.append(str(name))  # numpy's strings are a subclass
    return tuple(found)


def some_names(names: object, argument: str) -> tuple[str, ...]:
    """`name_tuple` of at least one name, none of them empty; a name may come twice.

    Raises:
        InputError: also for an empty list, and naming the place of an empty name.
    """
    found = name_tuple(names, argument)
    if not found:
        raise InputError(f"{argument} is empty; pass at least one class name")
    for position, name in enumerate(found):
        if not fold(name):
            raise InputError(f"{argument}[{position}] is {name!r}, which is empty; every class needs a name")
    return found


def refuse_repeats(names: Sequence[str], n_base: int = 0, *, allow_repeated: bool = False) -> None:
    """Refuse class names that are empty or repeated.

    Args:
        names: the names.
        n_base: how many of the first names are base classes.
        allow_repeated: the base classes may repeat one another.

    Raises:
        InputError: naming the class; case, `_` and runs of spaces do not count.
    """
    seen: dict[str, str] = {}
    for position, name in enumerate(names):
        key = fold(name)
        if not key:
            raise InputError(f"class name {position} is empty; every class needs a name")
        both_base = position < n_base
        if key in seen and not (both_base and allow_repeated):
            otherwise = (
                ", or pass allow_repeated=True if they are two classes of one name" if both_base else ""
            )
            raise InputError(
                f"the class names {seen[key]!r} and {name!r} are the same (case, '_' and spaces do not count); "
                f"remove one of them{otherwise}"
            )
        seen[key] = name


def refuse_same_rows(names: Sequence[str], rows: Tensor, reader: str = "the tokenizer") -> None:
    """Refuse names that a tokenizer maps to the same token ids, as it may "R&amp;B" and "R&B", or to none.

    Two spellings of one name, such as "hot_dog" and "Hot dog", are left to `refuse_repeats`.

    Args:
        names: one name for each row; last, "" for the same sentence without a name.
        rows: token ids, or features, of the names in one sentence.
        reader: what made the rows, for the message.

    Raises:
        InputError: naming both, with escapes for characters that cannot be seen.
    """
    seen: dict[tuple[float, ...], str] = {}
    for name, row in zip(names, cast("list[list[float]]", rows.tolist()), strict=True):
        other = seen.setdefault(tuple(row), name)
        if other and not name:
            raise InputError(
                f"the class name {other!a} is nothing to {reader}, so that the model would read a sentence without a "
                "name; remove or rename it"
            )
        if fold(other) != fold(name):
            raise InputError(
                f"the class names {other!a} and {name!a} are the same to {reader}, so that the model cannot "
                "tell them apart; remove or rename one of them"
            )
