"""Where a walk through WordNet's tree ends that starts at the base classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from sar_reg.novel.wordnet.graph import NOUN, TOPICS, WordNet
from sar_reg.novel.wordnet.related_meaning import Understood

_CLIMB = 0.5
_WIDEST = 4000


def reach(wordnet: WordNet, base: Sequence[Understood]) -> dict[int, float]:
    """For each meaning the chance that a walk ends there.

    The walk takes a base class, climbs k steps with chance ∝ 2⁻ᵏ, and then any meaning below with equal chance:
    small families near many base classes get much, large ones far above get little.
    """
    total = sum(understood.weight for understood in base)
    at: defaultdict[int, float] = defaultdict(float)
    crowded = _crowded_heads(wordnet, base)
    for start, share, above in _starts(wordnet, base):
        steps = {
            ancestor: k
            for ancestor, k in _upwards(wordnet, start, crowded).items()
            if (k or above) and wordnet.sizes[ancestor] <= _WIDEST
        }
        chances = sum(_CLIMB**k for k in steps.values())
        for ancestor, k in steps.items():
            at[ancestor] += share / total * _CLIMB**k / chances
    mass: defaultdict[int, float] = defaultdict(float)
    for ancestor, share in at.items():
        for synset in wordnet.below(ancestor):
            mass[synset] += share / int(wordnet.sizes[ancestor])
    for noun in [synset for synset in mass if wordnet.kind[synset] == NOUN]:
        for adjective in across(wordnet, noun):
            mass[adjective] += mass[noun] / 2
    return mass


def _crowded_heads(wordnet: WordNet, base: Sequence[Understood]) -> set[int]:
    """Head adjectives of at least two base classes."""
    heads = Counter(head for b in base for head in wordnet.parents[b.reading.synset])
    return {head for head, count in heads.items() if count > 1 and wordnet.kind[head] != NOUN}


def _upwards(wordnet: WordNet, start: int, crowded: set[int]) -> dict[int, int]:
    """What is above a meaning, with the number of steps, and what is next to a crowded head."""
    steps = wordnet.ancestors(start)
    for head in crowded.intersection(steps):
        for other in wordnet.links[head]:
            if wordnet.kind[other] != NOUN:
                steps.setdefault(other, steps[head] + 1)
    return steps


def topics(wordnet: WordNet, base: Sequence[Understood]) -> dict[int, float]:
    """How the base classes fall on WordNet's topics; adjectives count half for the nouns they come from."""
    total = sum(understood.weight for understood in base)
    places = {TOPICS.index("noun.location"), TOPICS.index("noun.object")}
    shares: defaultdict[int, float] = defaultdict(float)
    for start, share, _ in _starts(wordnet, base):
        topic = _topic(wordnet, start)
        # WordNet files land as an object but a meadow as a location
        for same in places if topic in places else {topic}:
            shares[same] += share / total
    return shares


def _topic(wordnet: WordNet, synset: int) -> int:
    """The topic; WordNet files "food" or "person" apart from foods and persons, as tops of its trees."""
    topic = wordnet.topic[synset]
    if topic == TOPICS.index("noun.Tops") and (children := wordnet.children[synset]):
        return Counter(wordnet.topic[child] for child in children).most_common(1)[0][0]
    return topic


def across(wordnet: WordNet, synset: int) -> list[int]:
    """Links between noun and adjective, such as from stripe to striped."""
    return [other for other in wordnet.links[synset] if wordnet.kind[other] != wordnet.kind[synset]]


def _starts(wordnet: WordNet, base: Sequence[Understood]) -> Iterator[tuple[int, float, bool]]:
    """Where to begin, with what share, and whether that already stands above the base class."""
    for understood in base:
        synset = understood.reading.synset
        # of "pasture land" WordNet knows only "land", which is one step up
        yield synset, understood.weight, not understood.reading.whole
        if wordnet.kind[synset] != NOUN:
            yield from ((noun, understood.weight / 2, False) for noun in across(wordnet, synset))
