"""Names such as "2012 Audi Roadster": the maker's words of one base class before another kind of thing.

WordNet knows kinds, not models. Where a list holds models, "2012 Audi A5 Coupe" or "Cessna 172", its kinds are few
and would not fill a list of 200, so makers of the list are put before kinds.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from sar_reg.novel.wordnet.graph import WordNet
from sar_reg.novel.wordnet.related_candidates import UNCLEAR, Candidate
from sar_reg.novel.wordnet.related_matching import tokens
from sar_reg.novel.wordnet.related_meaning import Understood
from sar_reg.novel.wordnet.related_words import Words

_MOST_KINDS = 20


def model_stems(wordnet: WordNet, base: Sequence[str], understood: Sequence[Understood]) -> list[str]:
    """The maker's words that begin the names of a list of models; none if the list is not of that kind.

    A list counts as one of models if at least half of its understood names are models, that is have a known maker
    or words that WordNet does not know before their kind, and four share a kind on average.
    """
    kinds = {u.reading.synset for u in understood}
    modelled = [
        u for u in understood if u.reading.maker or _unknown(wordnet, tokens(u.name)[: u.reading.start])
    ]
    if len(kinds) > len(understood) / 4 or len(modelled) < len(understood) / 2:
        return []
    shared = Counter(beginning for name in base for beginning in _beginnings(tokens(name)))
    stems: list[str] = []
    for u in understood:
        begun = [b for b in _beginnings(tokens(u.name)[: u.reading.start]) if shared[b] > 1]
        if u.reading.maker is None and begun:
            stems.append(begun[-1])
    stems = stems or [u.reading.maker or "" for u in understood]
    return [stem for stem in dict.fromkeys(stems) if any(c.isalpha() for c in stem)]


def _unknown(wordnet: WordNet, words: Sequence[str]) -> bool:
    return any(word.lower() not in wordnet.index or any(c.isdigit() for c in word) for word in words)


def _beginnings(words: Sequence[str]) -> list[str]:
    return [" ".join(words[:k]) for k in range(1, len(words) + 1)]


def kinds_for_models(
    wordnet: WordNet,
    understood: Sequence[Understood],
    ranked: Sequence[Candidate],
    stems: Sequence[str],
) -> list[str]:
    """Kinds to put behind the stems: those of the list itself, then the closest co-hyponyms of them."""
    named = [u.reading for u in understood if u.reading.maker is None]
    own = Counter(
        " ".join(tokens(u.name)[u.reading.start : u.reading.stop]) for u in understood if u.reading in named
    )
    if named:
        parents = Counter(p for r in named for p in wordnet.parents[r.synset])
        above = {p for p, count in parents.items() if count > len(named) / 4}
    else:
        above = {u.reading.synset for u in understood}
    apart = _warplanes(wordnet) - {u.reading.synset for u in understood}
    near = [
        candidate.name
        for candidate in ranked
        if above.intersection(wordnet.ancestors(candidate.synset))
        and candidate.synset not in apart
        and candidate.rank != UNCLEAR
        and candidate.name.title() not in stems
    ]
    if named:
        return [*(kind for kind, count in own.most_common() if count > 1), *near[:6]]
    # kinds are few where WordNet knows no model, so that rarer words such as "biplane" serve too
    below = {synset for kind in above for synset in wordnet.below(kind)} - above - apart
    words = Words(wordnet)
    rarer = [best[0] for s in sorted(below - words.left_out) if (best := words.best(s, capitals=False))]
    rarer = [word for word in rarer if word.title() not in stems]
    return list(dict.fromkeys([*near, *rarer]))[:_MOST_KINDS]


def recombine(stems: Sequence[str], kinds: Sequence[str], seed: int) -> list[str]:
    """Every stem with every kind, mixed so that each stem and each kind comes about equally often."""
    if not kinds:
        return []
    stems = random.Random(seed).sample(list(stems), len(stems))
    # walk the table of stems and kinds along its diagonals
    return [
        f"{stem} {kinds[(i + d) % len(kinds)]}" for d in range(len(kinds)) for i, stem in enumerate(stems)
    ]


def _warplanes(wordnet: WordNet) -> set[int]:
    # makers in lists of civil aircraft do not build them
    found = wordnet.find("warplane", "military plane") if "warplane" in wordnet.index else None
    return wordnet.below(found) if found is not None else set()
