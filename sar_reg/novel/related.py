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
_NEARLY = 0.75


@dataclass(frozen=True)
class Related:
    """Related names, the best first, not yet cleaned or formatted.

    Attributes:
        names: the names.
        kind: the word for what all base classes that WordNet knows are, such as "dog"; None if there is none.
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
    own = [u.reading.synset for u in understood]
    kinds = [] if stems or shared else _kinds(wordnet, own)
    words = Words(wordnet)
    apart = words.apart_from(own, len(names))
    found = candidates(wordnet, words, understood, apart, wordnet.below(kinds[-1]) if kinds else set())
    if not found:
        return Related([], None, frozenset())
    kind, kin = _narrowest(wordnet, kinds, found, n)
    found = [candidate for candidate in found if candidate.rank == 0 or candidate.synset in kin]
    ranking = Ranking(wordnet, understood, found, usual_words(words, understood))
    ranked = ranking.spread(seed, most=len(found) if kin else 4 * n + 100)
    ranked.sort(key=lambda candidate: (candidate.synset not in kin, candidate.rank))
    plain = [candidate.name for candidate in ranked]
    if shared:
        described = [c.name for c in ranked if wordnet.kind[c.synset] != NOUN and c.name.isalpha()]
        plain = [*(f"{word} {shared}" for word in described), *plain]
    return Related(
        [*_models(wordnet, understood, ranked, stems, seed), *plain],
        None if kind is None else wordnet.senses[kind][0].word,
        frozenset(candidate.name for candidate in ranked if candidate.synset in kin),
    )


def _kinds(wordnet: WordNet, own: Sequence[int]) -> list[int]:
    """What all these meanings are kinds of, the narrowest first, as far as that says something."""
    above = set.intersection(*(set(wordnet.ancestors(synset)) for synset in own)) - set(own)
    kinds = [s for s in above if wordnet.kind[s] == NOUN and wordnet.sizes[s] <= _WIDEST_KIND]
    return sorted(kinds, key=lambda synset: (int(wordnet.sizes[synset]), synset))


def _narrowest(
    wordnet: WordNet, kinds: Sequence[int], found: Sequence[Candidate], n: int
) -> tuple[int | None, set[int]]:
    """The narrowest kind with nearly as many names as are wanted, or else the widest, and all that is below it."""
    kind, kin = None, set[int]()
    for kind in kinds:
        kin = wordnet.below(kind)
        if sum(candidate.synset in kin for candidate in found) >= _NEARLY * n:
            break
    return kind, kin


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
