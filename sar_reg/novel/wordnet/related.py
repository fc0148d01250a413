"""From base classes to related names: read them, rank what is near, recombine where WordNet knows only kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sar_reg.errors import InputError
from sar_reg.novel.wordnet.graph import NOUN, TOPICS, WordNet
from sar_reg.novel.wordnet.related_candidates import UNCLEAR, Candidate, candidates, usual_words
from sar_reg.novel.wordnet.related_kinds import Circle, circles_around, kinds_of_most, read_as_kin
from sar_reg.novel.wordnet.related_matching import meaning_of_domain, tokens
from sar_reg.novel.wordnet.related_meaning import Understood, understand
from sar_reg.novel.wordnet.related_ranking import Ranking
from sar_reg.novel.wordnet.related_recombining import kinds_for_models, model_stems, recombine
from sar_reg.novel.wordnet.related_words import LEAST_GOOD, Words


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

    Args:
        wordnet: where to look.
        base_classes: names as the user writes them.
        n: how many are wanted, those that will be excluded counted in.
        seed: of the order among names that are about as good.
        domain: a noun for what all base classes are.

    Raises:
        InputError: if WordNet knows no word of any base class, or not the domain.
    """
    names = list(dict.fromkeys(name.replace("_", " ") for name in base_classes))
    if domain:
        meaning_of_domain(wordnet, domain)
    understood = understand(wordnet, names, domain)
    if not understood:
        raise InputError(
            f"WordNet knows none of the {len(names)} base classes ({', '.join(names[:3])}, ...). Say what they are "
            'with domain="..." (--domain), for example "aircraft", or use an LLM or a word list'
        )
    stems = model_stems(wordnet, names, understood)
    shared = "" if stems else _shared_word(names)
    if shared:
        understood = understand(wordnet, [_without(shared, name) for name in names], domain)
    kinds = [] if stems or shared else kinds_of_most(wordnet, understood)
    understood = read_as_kin(wordnet, understood, kinds)
    ranked, circles = _ranked(wordnet, understood, kinds, len(names), n, seed)
    plain = [candidate.name for candidate in ranked]
    if shared:
        described = [c.name for c in ranked if wordnet.kind[c.synset] != NOUN and c.name.isalpha()]
        plain = [*(f"{word} {shared}" for word in described), *plain]
    return Related(
        [*_models(wordnet, understood, ranked, stems, seed), *plain],
        wordnet.senses[circles[-1].kind][0].word if circles else None,
        frozenset(c.name for c in ranked if circles and c.synset in circles[-1].members),
    )


def _ranked(
    wordnet: WordNet, understood: Sequence[Understood], kinds: Sequence[int], classes: int, n: int, seed: int
) -> tuple[list[Candidate], list[Circle]]:
    """Candidates by the circle they stand in, its own by rank and score, each base class served; and the circles."""
    words = Words(wordnet)
    apart = words.apart_from([u.reading.synset for u in understood], classes)
    kin = {synset for kind in kinds for synset in wordnet.below(kind)}
    found = candidates(wordnet, words, understood, apart, kin)
    circles = circles_around(
        wordnet, understood, kinds, [c for c in found if not _set_aside(wordnet, words, c)], n
    )
    widest = circles[-1].members if circles else set[int]()
    found = [candidate for candidate in found if not candidate.kin_only or candidate.synset in widest]
    if not found:
        return [], []
    ranking = Ranking(wordnet, understood, found, usual_words(words, understood))
    ranked = ranking.spread(seed, most=len(found) if circles else 4 * n + 100)

    def rank(candidate: Candidate) -> int:
        return max(candidate.rank, int(candidate.synset in ranking.distant))

    left = [candidate for candidate in ranked if not _set_aside(wordnet, words, candidate)]
    order: list[Candidate] = []
    for circle in circles:
        inside = sorted((c for c in left if c.synset in circle.members), key=rank)
        order += ranking.serve_all([c for c in inside if c.rank < UNCLEAR])
        order += [c for c in inside if c.rank >= UNCLEAR]
        left = [c for c in left if c.synset not in circle.members]
    return [*order, *left], circles


def _set_aside(wordnet: WordNet, words: Words, candidate: Candidate) -> bool:
    """Whether it is dropped after ranking: rare words for persons are seldom kind ones."""
    person = TOPICS[wordnet.topic[candidate.synset]] == "noun.person"
    return candidate.synset in words.set_aside or (person and candidate.good < LEAST_GOOD)


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
