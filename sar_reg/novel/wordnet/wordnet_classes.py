"""Novel classes from WordNet, without a key or a network."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from sar_reg.checks import whole_number
from sar_reg.class_names import name_tuple
from sar_reg.errors import InputError, counted
from sar_reg.novel.cleaning import Cleaned, Cleaner, Filtering, check_filtering
from sar_reg.novel.name_format import NameFormat
from sar_reg.novel.source import NovelClassesError, NovelNames, with_outcome
from sar_reg.novel.wordnet.graph import WordNet
from sar_reg.novel.wordnet.kinds import Kind, adjective_kinds, choose_kinds, kind_of_domain
from sar_reg.novel.wordnet.loading import load_wordnet
from sar_reg.novel.wordnet.lookup import Reading, look_up, meaning_of_domain
from sar_reg.novel.wordnet.members import Member, members, own_meanings
from sar_reg.novel.wordnet.naming import blocklist, words_of

Strategy = Literal["related", "random"]

log = logging.getLogger(__name__)

_MOSTLY = 0.9  # with a smaller share of names of the kind a warning is logged
_ADVICE = "Describe the classes by a domain, use an LLM or a word list, or ask for fewer"


@dataclass(eq=False)
class WordNetClasses:
    """Novel classes from WordNet, offline and the same each time for the same seed.

    `"related"`: if WordNet places most of the classes in one specific category, or in a few, other members of these
    are returned, in proportion and most frequent first. Adjectives are placed in WordNet's clusters of similar
    adjectives. Otherwise common nouns are drawn at random. `provenance["outcome"]` of the returned names records
    which of these was done, and a warning is logged if names are not of the category.

    `"random"`: common nouns drawn at random, independent of the classes, as in the paper's Figure 5.

    Single letters and codes are not looked up. Synonyms and subtypes of the classes are not returned, nor words
    that WordNet or a public list marks as offensive.

    Attributes:
        strategy: `"related"` or `"random"`.
        wordnet_root: another WordNet than the packaged one, see `load_wordnet`.
        domain: a noun for what all base classes are, such as `"aircraft"`; its members are then returned.
        filtering: as in `clean_names`.
        allow_fewer: return fewer names, with a warning in the log, if WordNet has no more.

    Raises:
        InputError: if `strategy` or `filtering` is neither of its values, or `domain` is not a word.

    Examples:
        >>> found = WordNetClasses().generate(["beagle", "tabby cat", "pug"], 5)
        >>> len(set(found)), found.provenance["outcome"]["kind"]
        (5, 'domestic animal')
    """

    strategy: Strategy = "related"
    wordnet_root: str | os.PathLike[str] | None = None
    _: KW_ONLY
    domain: str | None = None
    filtering: Filtering = "strict"
    allow_fewer: bool = False

    def __post_init__(self) -> None:
        if self.strategy not in ("related", "random"):
            raise InputError(f'strategy must be "related" or "random", not {self.strategy!r}')
        if self.domain is not None and not (isinstance(self.domain, str) and self.domain.strip()):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f'domain must be a noun such as "bird", or None, not {self.domain!r}')
        check_filtering(self.filtering)

    def generate(
        self, base_classes: Sequence[str], n: int, *, exclude: Sequence[str] = (), seed: int = 0
    ) -> NovelNames:
        """`n` names in the format of the base classes; see the class.

        Returns:
            The names. `provenance["outcome"]` holds `"kind"`, the kinds in words or None; `"of_that_kind"`, how
            many of the names are of them; `"at_random"`, how many were drawn at random; and `"found"`, how many
            of the base classes WordNet knows.

        Raises:
            InputError: if `base_classes` or `exclude` is not a list of names, a name is a sentence, `n` is
                negative, or WordNet does not know the domain.
            NovelClassesError: if WordNet has fewer names; it carries those.
        """
        base = name_tuple(base_classes, "base_classes")
        excluded = name_tuple(exclude, "exclude", ordered=False)
        if not base:
            raise InputError("base_classes must hold at least one class name")
        whole_number(n, "n")
        seed = whole_number(seed, "seed")
        wordnet = load_wordnet(self.wordnet_root)
        readings = [look_up(wordnet, name) for name in base]
        kinds, label = self._kinds(wordnet, readings)
        taken = _taken(wordnet, readings, kinds, excluded)
        unwanted = [*excluded, *words_of(wordnet).naming(taken)]
        given, cleaned = self._clean(members(wordnet, kinds, taken, seed), base, unwanted, n)
        known = [options[0].plural for options in readings if options]
        style = NameFormat(base, plural=2 * sum(known) > len(known))
        names = tuple(style.write(member.name) for member in given)
        origins = Counter(member.origin for member in given)
        if len(names) < n and not self.allow_fewer:
            fact = f"asked for {counted(n, 'novel class')}, but WordNet has {len(names)}"
            advice = "ask for fewer, pass allow_fewer=True, or use an LLM or a word list"
            raise NovelClassesError(fact, names, advice)
        described = {"kind": label, "of_that_kind": origins["kind"], "at_random": origins["random"]}
        found = with_outcome(names, n, cleaned.counts(), self.describe(), **described, found=len(known))
        if self.strategy == "related":
            _warn(found.provenance["outcome"], len(base))
        return found

    def describe(self) -> dict[str, Any]:
        """Strategy, options, WordNet's version and a digest of the blocklist."""
        root = "packaged" if self.wordnet_root is None else Path(self.wordnet_root).name
        return {
            "source": "wordnet",
            "strategy": self.strategy,
            "domain": self.domain,
            "wordnet": f"{load_wordnet(self.wordnet_root).version} ({root})",
            "blocklist": blocklist()["digest"],
            "filtering": self.filtering,
            **({"allow_fewer": True} if self.allow_fewer else {}),
        }

    def _kinds(self, wordnet: WordNet, readings: list[list[Reading]]) -> tuple[list[Kind], str | None]:
        """The kinds of the classes, and what they are called; none for nouns at random."""
        if self.strategy == "random":
            return [], None
        if self.domain is not None:
            kinds = [kind_of_domain(wordnet, readings, meaning_of_domain(wordnet, self.domain))]
        elif not (kinds := choose_kinds(wordnet, readings)):
            kinds = adjective_kinds(wordnet, readings)
            return kinds, "similar adjectives" if kinds else None
        return kinds, ", ".join(wordnet.senses[kind.synset][0].word for kind in kinds) or None

    def _clean(
        self, candidates: Iterator[Member], base: Sequence[str], exclude: Sequence[str], n: int
    ) -> tuple[list[Member], Cleaned]:
        """The first `n` candidates that may be used, and what was dropped on the way."""
        seen: dict[str, Member] = {}
        cleaner = Cleaner(base=base, exclude=exclude, filtering=self.filtering)
        cleaned = cleaner.cleaned
        while len(cleaned.names) < n and (more := list(islice(candidates, n // 4 + 20))):
            for member in more:
                if (word := member.name.lower()) not in seen:
                    seen[word] = member
                    cleaner.add(member.name)
        return [seen[name.lower()] for name in cleaned.names[:n]], cleaned


def _taken(
    wordnet: WordNet, readings: list[list[Reading]], kinds: list[Kind], exclude: Sequence[str]
) -> set[int]:
    """The meanings of the classes and of excluded names."""
    meant = {i: synset for kind in kinds for i, synset in kind.classes.items()}
    own = [own_meanings(wordnet, options, meant.get(i)) for i, options in enumerate(readings)]
    own += [own_meanings(wordnet, look_up(wordnet, name), None) for name in exclude]
    return set[int]().union(*own)


def _warn(account: dict[str, Any], classes: int) -> None:
    """Log a warning if the names are not of the right category."""
    names = ("asked", "kept", "kind", "of_that_kind", "at_random", "found")
    asked, kept, kind, related, random, found = map(account.__getitem__, names)
    if kept < asked:
        log.warning(
            "WordNet has %d of the %s that were requested; continuing with these",
            kept,
            counted(asked, "name"),
        )
    if kind is None:
        problem = (
            f"it has no category for most of them; used instead: {counted(kept, 'common noun')} at random"
        )
    elif related < _MOSTLY * kept:
        wider = kept - related - random
        problem = (
            f"only {related} of {counted(kept, 'name')} are in the category {kind}; in broader ones: {wider}, "
            f"random: {random}"
        )
    elif 2 * found < classes:
        problem = f"the names are members of {kind}"
    else:
        return
    fact = f"WordNet knows {found} of {counted(classes, 'class')}: {problem}"
    log.warning("%s. %s", fact, _ADVICE)
