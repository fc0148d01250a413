"""The one place where names from a model, a file or a dictionary become clean class names."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sar_reg.class_names import name_tuple, spoken
from sar_reg.errors import InputError
from sar_reg.novel.same_name import KnownNames

Filtering = Literal["strict", "exact"]

_MAX_CHARACTERS = 80
_MAX_READ = 400
_MAX_WORDS = 8
_CLASS_WORD = "(?:class|category|label|item|name|option)"
_BULLET = r"[^\w\s\"'“”‘’«»„()\[\]{}<>|\\.:/]{1,3}\s+(?:\[[ xX]\]\s*)?|[•‣◦●▪・·]\s*|[-+](?=[^\W\d_])|>+\s+|\\item\s+"
_NUMBER = (
    r"[\W_]{0,3}(?:\d{1,4}|[①-⓿]|[一二三四五六七八九十]{1,3})"
    r"(?:[*_\\]{0,2}[.):、．。）\]]+(?!\d)[*_]{0,2}\s*|\s+[-–—]\s+(?!\d))|[①-⓿]\s*|[a-zA-Z]\)\s+"
)
_LABEL = rf"(?:(?:new )?{_CLASS_WORD}(?: name)? ?\d*|n[or]\. ?\d+)\s*[:=]\s*"
MARKER = re.compile(rf"^(?:{_BULLET}|{_NUMBER}|{_LABEL})(?=\S)", re.IGNORECASE)
_EXPLANATION = re.compile(
    r"(?:\s[(\[][^()\[\]]*:\s[^()\[\]]*[)\]]|:\s|\s[–—]\s|\s-\s(?=(?:\S+\s+){2})|—(?=an?\s|the\s)"
    r"|\s(?:=>|->|→|=|\|)\s|\t).*$",
    re.DOTALL,
)
_AFTER_COMMA = re.compile(
    r",\s+(?:(?:an?|the|also|which|that|who|known|such|with|from|native|found|used|one|any|sometimes|often)\s"
    r"|(?:\S+\s+){3}\S).*$",
    re.DOTALL | re.IGNORECASE,
)
_IN_PARENTHESES = re.compile(r"\s+[(\[][^()\[\]]*[)\]]\s*$")
_WRAPPING = " \"'*“”‘’„«»,;"
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")  # of a terminal
_MARKUP = (
    (ESCAPES, ""),
    (re.compile(r"</?[a-zA-Z][^<>]{0,200}>|<!--.*?-->", re.DOTALL), ""),
    (re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)"), r"\1"),  # links
    (re.compile(r"\[\[?([^\[\]]+)\](?:\]|\[\w*\])"), r"\1"),
    (re.compile(r"\\(?:textbf|textit|emph|text|boxed)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\s*(?:\[\^?\d+(?:\s*[,–-]\s*\d+)*\]|【[^】]*】|\(\s*(?i:source|ref)\b[^()]*\))"), ""),
    (re.compile(r"\*\*|__|~~|`"), ""),
    (re.compile("[\u0300-\u036f\ufe00-\ufe0f\U000e0100-\U000e01ef]"), ""),
)
_PLACEHOLDER = re.compile(
    r"n/?a|nil|none(?: of .*)?|null|undefined|unknown|tb[ad]|to be (?:determined|added|announced)|to ?do|x{3,}"
    r"|other(?:s|wise)?|etc\.?|(?:and )?so (?:on|forth)|and (?:many )?(?:more|others)|many more|more|misc(?:ellaneous)?"
    r"|placeholder|lorem ipsum|string|names?|examples?(?: \d+)?"
    rf"|(?:new )?{_CLASS_WORD}(?: ?(?:name|\d+|[a-z]))?"
    rf"|(?:new|novel|additional|further|final) (?:{_CLASS_WORD}(?:e?s)?|categories)"
    r"|[\[<{(].*(?:insert|name|class|your|more|here|placeholder|\.\.\.).*[\]>})]",
    re.IGNORECASE,
)
CHATTER = re.compile(
    r"^(?:here (?:are|is)|sure|certainly|of course|sorry|unfortunately|as an ai|please|note(?: that)?(?= )|these are"
    r"|the following|let me|feel free|i hope|would you|i(?:['’]m| am| can| have|['’]ll))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Cleaned:
    """Names that may be used, and those that may not.

    Attributes:
        names: tidy and distinct, in the order in which they came.
        dropped: for each reason ("empty", "not a name", "placeholder", "other script", "excluded", "base class",
            "near a base class", "duplicate", "near-duplicate") the names as they came.
    """

    names: list[str]
    dropped: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def counts(self) -> dict[str, int]:
        """How many names were dropped for each reason."""
        return {reason: len(names) for reason, names in self.dropped.items()}


def clean_names(
    raw: Iterable[str],
    *,
    base: Sequence[str] = (),
    exclude: Sequence[str] = (),
    filtering: Filtering = "strict",
) -> Cleaned:
    """Tidy names and drop those that cannot serve as novel classes.

    Args:
        raw: names as they came from a model, a file or a dictionary.
        base: the base classes. Their style is followed: if all are lower case, so are the names; if none
            has a word in parentheses, such explanations are taken off.
        exclude: names that must never be used, such as a benchmark's new classes. Other spellings of them (plural,
            article, word order) are always dropped too.
        filtering: `"strict"` drops other spellings of base classes and of earlier names; `"exact"` drops
            only the same names up to case, `_` and spaces, which is the most the paper can have done.

    Returns:
        The names to use and, by reason, those dropped.

    Raises:
        InputError: if `filtering` is neither, or a string was passed instead of a list.

    Examples:
        >>> cleaned = clean_names(["1. **Siamese_cat**", "- Beagles", "siamese cat."], base=["beagle"])
        >>> cleaned.names, cleaned.counts()
        (['siamese cat'], {'near a base class': 1, 'duplicate': 1})
    """
    cleaner = Cleaner(base=base, exclude=exclude, filtering=filtering)
    for given in name_tuple(raw, "raw", ordered=False):
        cleaner.add(given)
    return cleaner.cleaned


class Cleaner:
    """`clean_names` a name at a time; `cleaned` is the result so far."""

    def __init__(self, *, base: Sequence[str], exclude: Sequence[str], filtering: Filtering) -> None:
        check_filtering(filtering)
        base, exclude = name_tuple(base, "base"), name_tuple(exclude, "exclude", ordered=False)
        self.cleaned, self._style, self._known = Cleaned([]), _Style(base), KnownNames()
        strict = filtering == "strict"
        self._filters = (
            (KnownNames(exclude), "excluded", "excluded"),
            (KnownNames(base), "base class", "near a base class" if strict else None),
            (self._known, "duplicate", "near-duplicate" if strict else None),
        )

    def add(self, given: str) -> None:
        """Keep the name, tidied, or drop it."""
        name = self._style.follow(tidy(given))
        reason = self._style.refuse(name)
        for names, same, near in self._filters:
            if reason is None and (match := names.match(name)) is not None:
                reason = same if match.kind == "same" else near
        if reason is None:
            self._known.add(name)
            self.cleaned.names.append(name)
        else:
            self.cleaned.dropped.setdefault(reason, []).append(given)


def check_filtering(filtering: object) -> None:
    """Raise `InputError` if it is not one of the two ways to filter."""
    if filtering not in ("strict", "exact"):
        raise InputError(f'filtering must be "strict" or "exact", not {filtering!r}')


def tidy(name: str) -> str:
    """One name without numbering, bullets, quotes, emphasis, explanations, odd characters and final stops.

    Examples:
        >>> [tidy(name) for name in ('2) "Maine_Coon".', "737−300", "* **Pug**: a small dog", "3.5 mm jack")]
        ['Maine Coon', '737-300', 'Pug', '3.5 mm jack']
    """
    text = name[:_MAX_READ]
    while (tidier := _tidy_once(text)) != text:
        text = tidier
    return text


def _tidy_once(name: str) -> str:
    text = unicodedata.normalize("NFKC", html.unescape(name))
    for pattern, instead in _MARKUP:
        text = pattern.sub(instead, text)
    text = "".join(_plain(c) for c in text.replace("_", " ")).strip(_WRAPPING)
    while (shorter := MARKER.sub("", text).strip(_WRAPPING)) != text:
        text = shorter
    text = _EXPLANATION.sub("", text)
    text = "".join("-" if c == "\u2212" or unicodedata.category(c) == "Pd" else c for c in text)
    return " ".join(text.split()).strip(_WRAPPING + ".:!?")


def _plain(character: str) -> str:
    if character.isspace():
        return " "
    return "" if unicodedata.category(character) in {"Cc", "Cf", "Cn", "Co", "Cs", "Me", "So"} else character


def is_placeholder(name: str) -> bool:
    """Whether it is a placeholder for a name, as "class 1" and "N/A" do."""
    return _PLACEHOLDER.fullmatch(spoken(name)) is not None


class _Style:
    """How the base classes are written, so that novel names are written alike."""

    def __init__(self, base: Sequence[str]) -> None:
        self.lower = bool(base) and all(name == name.lower() for name in base)
        self.parentheses = any("(" in name or "[" in name for name in base)
        self.commas = any("," in name for name in base)
        self.latin = all(_is_latin(name) for name in base)
        self.max_words = max([_MAX_WORDS, *(2 * len(spoken(name).split()) for name in base)])

    def follow(self, name: str) -> str:
        if not self.parentheses:
            name = _IN_PARENTHESES.sub("", name)
        if not self.commas:
            name = _AFTER_COMMA.sub("", name)
        return name.lower() if self.lower else name

    def refuse(self, name: str) -> str | None:
        if not any(c.isalnum() for c in name):
            return "empty"
        if len(name) > _MAX_CHARACTERS or len(name.split()) > self.max_words or CHATTER.match(name):
            return "not a name"
        if is_placeholder(name):
            return "placeholder"
        return "other script" if self.latin and not _is_latin(name) else None


def _is_latin(name: str) -> bool:
    return all("LATIN" in unicodedata.name(c, "") for c in name if c.isalpha())
