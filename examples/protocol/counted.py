"""Numbers of things in messages."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """A number with its noun in the singular or plural.

    >>> counted(1, "class"), counted(2, "class"), counted(0, "image")
    ('1 class', '2 classes', '0 images')
    """
    ending = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{n} {noun}{ending}"
