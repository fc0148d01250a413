"""Writing novel names as the base list is written: separator, capitals, CamelCase, singular or plural."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sar_reg.novel.same_name import plural_of

_CAMEL_NAME = re.compile(r"(?:[A-Z][a-z]+){2,}")


class NameFormat:
    """How most names of a list are written.

    Args:
        base: the list.
        plural: whether most of its names are plurals.

    Examples:
        >>> NameFormat(["Apply_Eye_Makeup", "Archery"]).write("ice skating")
        'Ice_Skating'
        >>> NameFormat(["BalanceBeam", "Archery"]).write("ice skating"), NameFormat(["pug"]).write("Border collie")
        ('IceSkating', 'border collie')
        >>> NameFormat(["Pugs", "Beagles"], plural=True).write("border collie")
        'Border Collies'
    """

    def __init__(self, base: Sequence[str], *, plural: bool = False) -> None:
        joined = sum("_" in name for name in base)
        camel = sum(bool(_CAMEL_NAME.fullmatch(name)) for name in base)
        spaced = sum(" " in name for name in base)
        self._separator = "_" if joined > max(spaced, camel) else "" if camel > max(spaced, joined) else " "
        words = [word for name in base for word in re.split(r"[\s_]+", name) if word[:1].isalpha()]
        self._title = self._separator == "" or sum(w[0].isupper() for w in words) > 0.7 * len(words) > 0
        self._lower = not any(c.isupper() for name in base for c in name)
        self._plural = plural

    def write(self, name: str) -> str:
        """The name in this format."""
        words = (plural_of(name) if self._plural else name).split()
        if self._lower:
            words = [word.lower() for word in words]
        elif self._title:
            words = [word[:1].upper() + word[1:] for word in words]
        return self._separator.join(words)
