"""The data of pre-training, built once and kept in the work folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from examples.testbed.model import CONTEXT_LENGTH
from examples.testbed.rebuild.concepts import Concept, concepts
from examples.testbed.rebuild.packages import HELD_OUT_STYLES
from examples.testbed.rebuild.raster import draw_all
from examples.testbed.rebuild.teacher import sentence_embeddings, targets
from examples.testbed.rebuild.words import Word, all_words, pieces
from examples.testbed.tokenizer import CutTokenizer


@dataclass(frozen=True)
class Material:
    concepts: list[Concept]
    words: list[Word]  # the concepts' names first, in the concepts' order
    embeddings: Tensor  # (words, 384) the teacher's
    targets: Tensor  # (words, 128)
    tokenizer: CutTokenizer
    pieces: list[str]
    drawings: Tensor  # (icons, 4, 48, 48) uint8: the icons of pre-training styles
    styles: list[list[str]]  # for each concept, its icons' styles
    rows: list[list[int]]  # for each concept, its icons' rows of `drawings`


def material(work: Path) -> Material:
    """Read or build the words, targets, vocabulary and pre-training drawings."""
    found = [c for c in concepts(work) if any(style not in HELD_OUT_STYLES for style, _ in c.icons)]
    words = all_words(work, found)
    parts = pieces(words)
    seen = [[icon for icon in concept.icons if icon[0] not in HELD_OUT_STYLES] for concept in found]
    drawings, embeddings = work / "drawings.npy", work / "embeddings.npy"
    if not embeddings.exists():
        np.save(embeddings, sentence_embeddings(work, [word.text for word in words]).numpy())
    if not drawings.exists():
        np.save(drawings, draw_all(work, [icon for icons in seen for icon in icons]).transpose(0, 3, 1, 2))
    vectors = torch.from_numpy(np.load(embeddings))
    ends = np.cumsum([len(icons) for icons in seen])
    return Material(
        concepts=found,
        words=words,
        embeddings=vectors,
        targets=targets(vectors),
        tokenizer=CutTokenizer(parts, CONTEXT_LENGTH),
        pieces=parts,
        drawings=torch.from_numpy(np.load(drawings)),
        styles=[[style for style, _ in icons] for icons in seen],
        rows=[list(range(end - len(icons), end)) for end, icons in zip(ends, seen, strict=True)],
    )
