"""Writing novel names as the base list is written: separator, capitals, CamelCase."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CAMEL_NAME = re.compile(r"(?:[A-Z][a-z]+){2,}")


class NameFormat:
    """How most names of a list are written.

    Examples:
        >>> NameFormat(["Apply_Eye_Makeup", "Archery"]).write("ice skating")
        'Ice_Skating'
        >>> NameFormat(["BalanceBeam", "Archery"]).write("ice skating"), NameFormat(["pug"]).write("border collie")
        ('IceSkating', 'border collie')
    """

    def __init__(self, base: Sequence[str]) -> None:
        joined = sum("_" in name for name in base)
        camel = sum(bool(_CAMEL_NAME.fullmatch(name)) for name in base)
        spaced = sum(" " in name for name in base)
        self.separator = "_" if joined > max(spaced, camel) else "" if camel > max(spaced, joined) else " "
        words = [word for name in base for word in re.split(r"[\s_]+", name) if word[:1].isalpha()]
        self.title = self.separator == "" or sum(w[0].isupper() for w in words) > 0.7 * len(words) > 0
        self.lower = not any(c.isupper() for name in base for c in name)

    def write(self, name: str) -> str:
        """The name in this format."""
        words = name.split()
        if self.lower:
            words = [word.lower() for word in words]
        elif self.title:
            words = [word[:1].upper() + word[1:] for word in words]
        return self.separator.join(words)
