"""Which WordNet words stand in a class name: "2012 Acura RL Sedan" holds "sedan", "Apply_Eye_Makeup" "makeup"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sar_reg.errors import InputError
from sar_reg.novel.wordnet.graph import NOUN, WordNet

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_AFTER_HEAD = {"of", "in", "on", "at", "with", "for", "from", "to", "and", "or"}
_SPELLINGS = (("ies", "y"), ("ves", "f"), ("es", ""), ("s", ""), ("ise", "ize"), ("our", "or"))
_LONGEST = 5
_KIND_PRIOR = 0.02
_MAKERS = {
    "airplane": "Airbus Antonov ATR BAE Beechcraft Boeing Bombardier Cessna Cirrus Dassault Dornier Douglas Embraer "
    "Eurofighter Fokker Gulfstream Ilyushin Learjet Lockheed Piper Saab Sukhoi Tupolev Yakovlev",
    "car": "Acura Audi Bentley BMW Bugatti Buick Cadillac Chevrolet Chrysler Daewoo Dodge Ferrari Fiat Ford GMC "
    "Honda Hyundai Infiniti Isuzu Kia Lamborghini Lexus Mazda Mercedes Mitsubishi Nissan Opel Peugeot Porsche "
    "Renault Skoda Subaru Suzuki Tesla Toyota Volkswagen Volvo",
}
_DESIGNATIONS = (
    (re.compile(r"7\d7(?:-|$)"), "Boeing"), (re.compile(r"a3\d\d"), "Airbus"), (re.compile(r"an-\d+$"), "Antonov"),
    (re.compile(r"crj"), "Bombardier"), (re.compile(r"md-\d+$|dc-\d+$|c-47$"), "Douglas"),
    (re.compile(r"c-130$|l-1011$"), "Lockheed"), (re.compile(r"tu-\d+$"), "Tupolev"),
    (re.compile(r"erj|emb-"), "Embraer"),
)  # fmt: skip
_KIND_OF_MAKER = {
    maker.lower(): (maker, kind) for kind, makers in _MAKERS.items() for maker in makers.split()
}


@dataclass(frozen=True)
class Reading:
    """One way to read a class name.

    Attributes:
        synset: what it then means.
        prior: how likely that is before the other class names are looked at, in (0, 1].
        start: first token of the phrase that was found in WordNet.
        stop: one past its last token.
        whole: the phrase is the whole name; else the name stands for something more special than `synset`.
        maker: the name is a model that WordNet does not know, by this maker, of the kind `synset`; empty if
            only the kind is known; None if WordNet knows the phrase.
    """

    synset: int
    prior: float
    start: int
    stop: int
    whole: bool = False
    maker: str | None = None


def tokens(name: str) -> list[str]:
    """The words of a class name as written, split at spaces, "_", "/" and inside CamelCase.

    Examples:
        >>> tokens("Apply_EyeMakeup"), tokens("F/A-18")
        (['Apply', 'Eye', 'Makeup'], ['F', 'A-18'])
    """
    return [part for part in _CAMEL.sub(" ", re.sub(r"[_/,()]", " ", name)).split() if part]


def readings(wordnet: WordNet, name: str, domain: str | None = None) -> list[Reading]:
    """Every way in which WordNet can read a class name, the whole name or a part of it.

    Of several words that it knows as one, such as "brown rot", the parts say nothing more.

    The head of an English name comes last, or before a preposition; other parts count little, so that the
    other class names must speak for them. A maker's name, and `domain` if given, make it a member of that kind.
    """
    words = [word.lower() for word in tokens(name)]
    cut = next((i for i, word in enumerate(words) if word in _AFTER_HEAD and i > 0), len(words))
    found: list[Reading] = []
    for start, stop in _spans(len(words)):
        synsets = _look_up(wordnet, words[start:stop])
        if not synsets or not any(c.isalpha() for word in words[start:stop] for c in word):
            continue
        share = (stop - start) / len(words)
        is_head = stop in (len(words), cut)
        place = 1.0 if share == 1 else 0.6 * (0.3 + share) if is_head else 0.15 * (0.3 + share)
        found += [
            Reading(synset, place * frequency, start, stop, share == 1)
            for synset, frequency in _shares(wordnet, synsets)
        ]
        if share == 1 and len(words) > 1:
            break
    for i, word in enumerate(words):
        maker, kind = _maker(word)
        if kind and (synset := wordnet.find(kind)) is not None:
            found.append(Reading(synset, _KIND_PRIOR, i, i + 1, maker=maker))
    if domain:
        found.append(Reading(meaning_of_domain(wordnet, domain), _KIND_PRIOR, 0, 0, maker=""))
    return found


def meaning_of_domain(wordnet: WordNet, domain: str) -> int:
    """The most usual noun that is called so.

    Raises:
        InputError: if WordNet knows no such noun.
    """
    found = _look_up(wordnet, [word.lower() for word in tokens(domain)])
    noun = next((synset for synset in found if wordnet.kind[synset] == NOUN), None)
    if noun is None:
        raise InputError(
            f'WordNet does not know the domain "{domain}"; give one noun for what all classes are'
        )
    return noun


def _maker(word: str) -> tuple[str, str]:
    """Who makes a model and what it is: "cessna" → Cessna, airplane; "737-300" → Boeing, airplane."""
    designated = next((maker for pattern, maker in _DESIGNATIONS if pattern.match(word)), word.split("-")[0])
    return _KIND_OF_MAKER.get(designated.lower(), ("", ""))


def _spans(n: int) -> Iterator[tuple[int, int]]:
    for length in range(min(n, _LONGEST), 0, -1):
        for start in range(n - length, -1, -1):
            yield start, start + length


def _look_up(wordnet: WordNet, words: list[str]) -> dict[int, str]:
    """Synset → the word found, for the first spelling of the phrase that WordNet knows."""
    for phrase in _spellings(words):
        if phrase in wordnet.index:
            return dict.fromkeys(wordnet.index[phrase], phrase)
    return {}


def _spellings(words: list[str]) -> Iterator[str]:
    joined = dict.fromkeys(
        (" ".join(words), "-".join(words), " ".join(words).replace("-", " "), "".join(words))
    )
    yield from joined
    yield from (phrase.replace("-", "") for phrase in joined if "-" in phrase)
    for phrase in joined:
        for ending, instead in _SPELLINGS:
            if phrase.endswith(ending) and len(phrase) > len(ending) + 2:
                yield phrase.removesuffix(ending) + instead


def _shares(wordnet: WordNet, synsets: dict[int, str]) -> list[tuple[int, float]]:
    """How the uses of a word fall on its meanings: tag counts, smoothed by the order of the senses."""
    weights: dict[int, float] = {}
    for synset, word in synsets.items():
        sense = next(s for s in wordnet.senses[synset] if s.word.lower() == word)
        weights[synset] = sense.count + 2.0 / sense.rank
    total = sum(weights.values())
    return [(synset, weight / total) for synset, weight in weights.items()]
