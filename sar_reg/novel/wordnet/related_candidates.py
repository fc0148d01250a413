"""Which WordNet meanings may be proposed for a list of class names, each with its best word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sar_reg.novel.wordnet.graph import NOUN, TOPICS, WordNet
from sar_reg.novel.wordnet.related_meaning import Understood
from sar_reg.novel.wordnet.related_surfaces import surfaces
from sar_reg.novel.wordnet.related_tree import reach, topics
from sar_reg.novel.wordnet.related_words import LEAST_GOOD, Words

USUAL, RARE, CAPITALISED, UNCLEAR, GENERAL = range(5)
_NEAREST = 2000
_LEAST_TOPIC = 0.04
_LEAST_CLEAR = 0.25  # share of a word's uses that must mean the thing
_FEW = 1 / 6  # share of the base classes below which colours and parts of buildings are another kind of thing
_PARTS = (
    ("room",), ("area", "room"), ("floor", "storey"), ("porch",), ("court", "courtyard"), ("patio",), ("wall",),
    ("roof",), ("balcony",), ("building material",), ("masonry",),
)  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A meaning that may be proposed.

    Attributes:
        synset: the meaning.
        name: its best word.
        good: how common and clear the word is, in [0, 1].
        mass: chance that a walk from the base classes ends here.
        topical: share of the base classes with the same topic.
        rank: `USUAL`, or among the kin `RARE` for words rarer than those of the base classes and `CAPITALISED`;
            `UNCLEAR` where most uses of the word say something else; `GENERAL` for what is less special than the
            base classes.
        kin_only: good enough only among the kin.
    """

    synset: int
    name: str
    good: float
    mass: float
    topical: float
    rank: int = USUAL
    kin_only: bool = False


def candidates(
    wordnet: WordNet, words: Words, base: Sequence[Understood], apart: set[int], kin: set[int]
) -> list[Candidate]:
    """Meanings near the base classes that are neither these nor above them, with a word fit to be shown.

    Args:
        wordnet: where to look.
        words: how good the words are.
        base: the base classes.
        apart: meanings that are not proposed.
        kin: meanings of which rare and capitalised words will do as well, persons excepted.
    """
    own = [understood.reading.synset for understood in base]
    above = {ancestor for synset in own for ancestor in wordnet.ancestors(synset)}
    capitals = any(sense.word != sense.word.lower() for s in own for sense in wordnet.senses[s][:1])
    usual = usual_words(words, base)
    least = min(LEAST_GOOD, 0.7 * float(np.quantile(usual, 0.2))) if any(usual) else LEAST_GOOD
    heads = _heads(wordnet, own)
    widest = _widest(wordnet, base)
    others = (_colors(wordnet), _parts_of_buildings(wordnet))
    apart = apart.union(*(branch for branch in others if sum(s in branch for s in own) < _FEW * len(own)))
    only, gathered = surfaces(wordnet, base), _gathered(wordnet, own)
    mass, topical = reach(wordnet, base), topics(wordnet, base)
    found: list[Candidate] = []
    for synset in _pool(wordnet, mass, own):
        share = topical.get(wordnet.topic[synset], 0.0)
        general = wordnet.kind[synset] == NOUN and wordnet.sizes[synset] > widest
        if general or share < _LEAST_TOPIC or synset in above or synset in apart:
            continue
        if (only is not None and synset not in only) or synset in gathered:
            continue
        best, rank = words.best(synset, capitals=capitals), USUAL
        kin_only = best is None or best[1] < least
        if kin_only and synset in kin:
            best, rank = _rare(wordnet, words, synset)
        if best is None or (kin_only and rank == USUAL):
            continue
        name, good = best
        if wordnet.kind[synset] == NOUN:
            name = words.spelled_out(synset, name)
            rank = UNCLEAR if words.clearness(synset, name) < _LEAST_CLEAR else rank
        if wordnet.sizes[synset] > 1 and name.split()[-1] in heads:
            rank = GENERAL
        found.append(Candidate(synset, name, good, mass.get(synset, 0.0), share, rank, kin_only))
    return found


def _heads(wordnet: WordNet, own: Sequence[int]) -> set[str]:
    """Last words for what half of the base classes are: "bird", of which "oceanic bird" is a general kind."""
    counts = Counter(ancestor for synset in own for ancestor in wordnet.ancestors(synset))
    shared = {synset for synset, count in counts.items() if 2 * count >= len(own)} - set(own)
    return {sense.word.split()[-1] for synset in shared for sense in wordnet.senses[synset]}


def _rare(wordnet: WordNet, words: Words, synset: int) -> tuple[tuple[str, float] | None, int]:
    """The best word whatever its rarity, with its rank; with capitals for animals and plants alone."""
    topic = TOPICS[wordnet.topic[synset]]
    if topic == "noun.person":
        return None, USUAL
    if (best := words.best(synset, capitals=False)) or topic not in ("noun.animal", "noun.plant"):
        return best, RARE
    best = words.best(synset, capitals=True)
    # "English setter" ends in a word of its own, "Entoloma aprile" does not
    known = best and " ".join(best[0].lower().split()[1:]).split("-")[0]
    return (None, USUAL) if known and known not in wordnet.index else (best, CAPITALISED)


def usual_words(words: Words, base: Sequence[Understood]) -> list[float]:
    """How common and clear the words of the base classes are; 0 where none may be proposed."""
    best = [words.best(understood.reading.synset, capitals=True) for understood in base]
    return [found[1] if found else 0.0 for found in best]


def _colors(wordnet: WordNet) -> set[int]:
    """Colours: by definition near to patterns and materials, but another kind of thing unless the list has some."""
    heads = [wordnet.find("color", "colour")] if "color" in wordnet.index else []
    heads += [s for word in ("chromatic", "achromatic") for s in wordnet.index.get(word, [])]
    return {synset for head in heads if head is not None for synset in wordnet.below(head)}


def _parts_of_buildings(wordnet: WordNet) -> set[int]:
    """Rooms, floors, porches: near to buildings, but no places of their own unless the list has some."""
    parts = {s for words in _PARTS for s in wordnet.index.get(words[0], []) if _has(wordnet, s, words)}
    artifacts = [s for s in parts if TOPICS[wordnet.topic[s]] == "noun.artifact"]
    return {synset for part in artifacts for synset in wordnet.below(part)}


def _has(wordnet: WordNet, synset: int, words: Sequence[str]) -> bool:
    return {sense.word for sense in wordnet.senses[synset]}.issuperset(words)


def _gathered(wordnet: WordNet, own: Sequence[int]) -> set[int]:
    """Groups that are of another kind than those in the list: WordNet files forests, but also mythologies, there."""
    group = TOPICS.index("noun.group")
    listed = [synset for synset in own if wordnet.topic[synset] == group]
    kin = {s for synset in listed for parent in wordnet.parents[synset] for s in wordnet.below(parent)}
    return {synset for synset, topic in enumerate(wordnet.topic) if topic == group} - kin


def _widest(wordnet: WordNet, base: Sequence[Understood]) -> float:
    """How many meanings may stand below a candidate, so that it is no more general than the base classes."""
    sizes = [
        wordnet.sizes[b.reading.synset] if b.reading.whole else min(wordnet.sizes[b.reading.synset], 5)
        for b in base
    ]
    return 2 * float(np.quantile(sizes, 0.8)) + 1


def _pool(wordnet: WordNet, mass: Iterable[int], own: Sequence[int]) -> list[int]:
    """What the walk reaches, and what means nearly the same as some base classes wherever it stands."""
    if not wordnet.meanings.shape[1]:
        return sorted(mass)
    vectors = np.array([wordnet.meaning(synset) for synset in own])
    near = np.sort(wordnet.meanings @ vectors.T, axis=1)[:, -3:].mean(axis=1)
    return sorted({*mass, *np.argsort(-near)[:_NEAREST].tolist()})
