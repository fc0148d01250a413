"""Make the packaged data of the WordNet source, byte for byte.

    apt-get download wordnet-base=1:3.0-37 wordnet-sense-index=1:3.0-37
    for file in wordnet-*.deb; do dpkg -x $file wordnet; done
    pip download --no-deps better-profanity==0.7.0
    python scripts/build_wordnet.py wordnet/usr/share/wordnet better_profanity-0.7.0-py3-none-any.whl

`--check` compares with the committed files instead of writing. Also needs open_clip. Takes half a minute.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import zipfile
from dataclasses import astuple, fields
from pathlib import Path

from sar_reg.files import write_atomic
from sar_reg.novel.wordnet.graph import WordNet
from sar_reg.novel.wordnet.wndb import read_wndb

DATA = Path(__file__).parents[1] / "sar_reg" / "novel" / "data"
# the public list also holds these, which are names of ordinary things
HARMLESS = {
    "cow girl", "cowgirl", "dummy", "enlargement", "facial", "flange", "god", "hemp", "hooch", "hookah", "hump",
    "hymen", "maxi", "nappy", "oral", "organ", "orally", "ovary", "ovum", "paddy", "panties", "panty", "pawn",
    "peyote", "pollock", "pot", "potty", "ram", "reefer", "revue", "rum", "rump", "sandbar", "seaman", "seamen",
    "shag", "shagging", "slope", "steamy", "strip", "stroke", "suck", "tampon", "teat", "thrust", "toots", "tramp",
    "undies", "urinal", "uterus", "vixen", "vodka", "weed", "womb", "woody",
}  # fmt: skip


def pack(wordnet: WordNet) -> bytes:
    """The content of a compressed JSON file that holds `wordnet`."""
    content = {
        **vars(wordnet),
        "senses": [[astuple(sense) for sense in senses] for senses in wordnet.senses],
        "mentions": _known(wordnet.mentions, wordnet),
        "elsewhere": _known(wordnet.elsewhere, wordnet),
    }
    fields_alone = {field.name: content[field.name] for field in fields(WordNet)}
    text = json.dumps(fields_alone, ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0)


def _known(counts: dict[str, int], wordnet: WordNet) -> dict[str, int]:
    """The counts of the words that `wordnet` has, in alphabetical order."""
    return {word: counts[word] for word in sorted(wordnet.index) if counts.get(word)}


def common_words(wordnet: WordNet) -> str:
    """Whole words of CLIP's vocabulary that WordNet knows, in the order in which the vocabulary learned them."""
    from open_clip.tokenizer import SimpleTokenizer

    entries = sorted(SimpleTokenizer().encoder.items(), key=lambda item: item[1])
    senses = (sense.word.lower() for senses in wordnet.senses for sense in senses)
    parts = {part for word in senses for part in re.findall("[a-z]+", word)}
    whole = [entry.removesuffix("</w>") for entry, _ in entries if entry.endswith("</w>")]
    return "".join(f"{word}\n" for word in whole if len(word) > 2 and word in parts)


def profanity(wordnet: WordNet, wheel: Path) -> str:
    """Those words of better-profanity's list that WordNet has."""
    with zipfile.ZipFile(wheel) as archive:
        listed = archive.read("better_profanity/profanity_wordlist.txt").decode().split("\n")
    words = {word.strip().lower() for word in listed} - HARMLESS
    return "".join(f"{word}\n" for word in sorted(words) if word in wordnet.index)


def licence(folder: Path) -> str:
    """The licence text that WordNet's data files begin with."""
    lines = (folder / "data.noun").read_text(encoding="utf-8").splitlines()
    numbered = [line.strip().partition(" ")[2].rstrip() for line in lines if line.startswith("  ")]
    return "\n".join(numbered) + "\n"


def build(folder: Path, wheel: Path) -> dict[str, bytes]:
    """The content of each data file by its name."""
    wordnet = read_wndb(lambda name: (folder / name).open("rb"))
    return {
        "wordnet.json.gz": pack(wordnet),
        "common_words.txt.gz": gzip.compress(common_words(wordnet).encode(), mtime=0),
        "profanity.txt": profanity(wordnet, wheel).encode(),
        "WORDNET_LICENSE.txt": licence(folder).encode(),
        "PROFANITY_LICENSE.txt": zipfile.ZipFile(wheel).read("better_profanity-0.7.0.dist-info/LICENSE"),
    }


def main() -> None:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="WordNet's data files")
    parser.add_argument("wheel", type=Path, help="the wheel of better-profanity")
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    options = parser.parse_args()
    different: list[str] = []
    for name, content in build(options.folder, options.wheel).items():
        if not options.check:
            write_atomic(DATA / name, content)
        elif (DATA / name).read_bytes() != content:
            different.append(name)
    if different:
        sys.exit(f"different from what is committed: {', '.join(different)}")


if __name__ == "__main__":
    main()
