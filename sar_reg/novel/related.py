"""From base classes to related names: read them, rank what is near, recombine where WordNet knows only kinds."""

from __future__ import annotations

from collections.abc import Sequence

from sar_reg.errors import InputError
from sar_reg.novel.related_meaning import understand
from sar_reg.novel.related_ranking import Candidates
from sar_reg.novel.related_recombining import kinds_for_models, model_stems, recombine
from sar_reg.novel.related_words import Words
from sar_reg.novel.wordnet_graph import WordNet


def related_names(
    wordnet: WordNet, base_classes: Sequence[str], n: int, *, seed: int, domain: str | None = None
) -> list[str]:
    """Words for things of the same kind as the base classes, the best first, not yet cleaned or formatted.

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
    candidates = Candidates(wordnet, Words(wordnet), understood)
    order = candidates.spread(seed, most=4 * n + 100)
    ranked = [candidates.names[i] for i in order]
    stems = model_stems(names, understood)
    if not stems:
        return ranked
    kinds = kinds_for_models(wordnet, understood, [(candidates.synsets[i], candidates.names[i]) for i in order], stems)
    models = recombine(stems, kinds, seed)
    if any(u.reading.maker is None for u in understood):
        return [*models, *ranked]
    return [*kinds, *models, *ranked]
