"""From base classes to related names: read them, rank what is near, recombine where WordNet knows only kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sar_reg.errors import InputError
from sar_reg.novel.related_candidates import Candidate, candidates, usual_words
from sar_reg.novel.related_matching import tokens
from sar_reg.novel.related_meaning import Understood, understand
from sar_reg.novel.related_ranking import Ranking
from sar_reg.novel.related_recombining import kinds_for_models, model_stems, recombine
from sar_reg.novel.related_words import Words
from sar_reg.novel.wordnet_graph import NOUN, WordNet

_WIDEST_KIND = 1000
"""Meanings below a kind, at most: "bird" says something of a list, "physical entity" does not."""


@dataclass(frozen=True)
class Related:
    """Related names, the best first, not yet cleaned or formatted.

    Attributes:
        names: the names.
        kind: the word for what all base classes are, such as "musical instrument"; None if there is none.
        of_that_kind: those of the names that are kinds of it.
    """

    names: list[str]
    kind: str | None
    of_that_kind: frozenset[str]


def related_names(
    wordnet: WordNet, base_classes: Sequence[str], n: int, *, seed: int, domain: str | None = None
) -> Related:
    """Words for things of the same kind as the base classes, then for what is near to them.

    Raises:
        InputError: if WordNet knows no word of any base class.
    """
    names = [name.replace("_", " ") for name in base_classes]
    understood = understand(wordnet, names, domain)
    if not understood:
        raise InputError(
            f"WordNet knows none of the {len(names)} base classes ({', '.join(names[:3])}, ...). Say what they are "
            'with domain="...", for example "aircraft", or use an LLM or a word list'
        )
    stems = model_stems(wordnet, names, understood)
    shared = "" if stems else _shared_word(names)
    if shared:
        understood = understand(wordnet, [_without(shared, name) for name in names], domain)
    kind = None if stems or shared else _kind(wordnet, understood)
    kin = frozenset[int]() if kind is None else wordnet.below(kind)
    words = Words(wordnet)
    found = candidates(wordnet, words, understood, kin)
    ranked = Ranking(wordnet, understood, found, usual_words(words, understood)).spread(
        seed, most=4 * n + 100
    )
    ranked.sort(key=lambda candidate: (candidate.synset not in kin, candidate.rank))
    plain = [candidate.name for candidate in ranked]
    if shared:
        described = [c.name for c in ranked if wordnet.kind[c.synset] != NOUN and c.name.isalpha()]
        plain = [*(f"{word} {shared}" for word in described), *plain]
    return Related(
        [*_models(wordnet, understood, ranked, stems, seed), *plain],
        None if kind is None else wordnet.senses[kind][0].word,
        frozenset(c.name for c in ranked if c.synset in kin),
    )


def _kind(wordnet: WordNet, understood: Sequence[Understood]) -> int | None:
    """What all base classes are, in the narrowest sense, if that says something."""
    above = set.intersection(*(set(wordnet.ancestors(u.reading.synset)) for u in understood))
    kinds = [s for s in above if wordnet.kind[s] == NOUN and wordnet.sizes[s] <= _WIDEST_KIND]
    return min(kinds, key=lambda synset: (int(wordnet.sizes[synset]), synset), default=None)


def _models(
    wordnet: WordNet,
    understood: Sequence[Understood],
    ranked: Sequence[Candidate],
    stems: list[str],
    seed: int,
) -> list[str]:
    """For a list of models the makers of the list with kinds, such as "2012 Audi Roadster"; else nothing."""
    if not stems:
        return []
    kinds = kinds_for_models(wordnet, understood, ranked, stems)
    names = recombine(stems, kinds, seed)
    return names if any(u.reading.maker is None for u in understood) else [*kinds, *names]


def _shared_word(names: Sequence[str]) -> str:
    """A word in at least a third of the names, such as "face" in "angry face" and "face with tears of joy"."""
    found = Counter(
        word for name in names if len(parts := _words(name)) > 1 for word in set(parts) if len(word) > 3
    )
    word, count = found.most_common(1)[0] if found else ("", 0)
    return word if count >= max(4, len(names) / 3) and word != "with" else ""


def _without(shared: str, name: str) -> str:
    return " ".join(word for word in _words(name) if word != shared) or name


def _words(name: str) -> list[str]:
    return [word.lower() for word in tokens(name)]
