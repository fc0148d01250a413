"""A tiny WordNet database in WNDB format, written for tests."""

from __future__ import annotations

from pathlib import Path

LICENCE = "".join(f"  {i} {text}  \n" for i, text in enumerate(["Some terms.", "WordNet 9.9 Copyright"], 1))

# key: (topic, type, words, pointers as (mark, target key), gloss)
ENTRIES: dict[str, tuple[int, str, list[str], list[tuple[str, str]], str]] = {
    "thing": (3, "n", ["thing"], [], "what there is"),
    "dog": (5, "n", ["dog", "domestic_dog"], [("@", "thing")], "a friend; \"the dog barked\""),
    "pug": (5, "n", ["pug", "pug-dog"], [("@", "dog")], "a small dog"),
    "collie": (5, "n", ["collie"], [("@", "dog")], "a dog for sheep"),
    "rex": (5, "n", ["Rex"], [("@i", "dog")], "the name of one dog"),
    "cur": (5, "n", ["cur"], [("@", "dog")], "(offensive) a dog without friends"),
    "pooch": (5, "n", ["pooch"], [("@", "dog"), (";u", "slang")], "informal terms for dogs"),
    "slang": (10, "n", ["slang"], [("@", "thing")], "informal language"),
    "spotted": (0, "a", ["spotted"], [("&", "dotted"), ("=", "thing")], "having spots"),
    "dotted": (0, "s", ["dotted(a)"], [("&", "spotted")], "having dots"),
}  # fmt: skip
# a kind has members only from twenty on
BREEDS = [
    f"{color} {breed}"
    for color in ("red", "blue", "grey", "white", "black")
    for breed in ("hound", "spitz", "setter", "terrier")
]
ENTRIES |= {name: (5, "n", [name.replace(" ", "_")], [("@", "dog")], "a breed") for name in BREEDS}
COUNTS = {"dog": 42, "pug": 1}


def write_wndb(folder: Path) -> Path:
    """Write data.noun, data.adj and index.sense of `ENTRIES`, with true byte offsets."""
    offsets = dict.fromkeys(ENTRIES, 0)
    files = {"n": "data.noun", "a": "data.adj", "s": "data.adj"}
    for _ in range(2):  # offsets have a fixed width, so that a second pass has the final ones
        texts = {"data.noun": LICENCE, "data.adj": LICENCE}
        for key, (topic, kind, words, pointers, gloss) in ENTRIES.items():
            file = files[kind]
            offsets[key] = len(texts[file].encode())
            listed = " ".join(f"{word} 0" for word in words)
            to = "".join(
                f" {mark} {offsets[target]:08d} {ENTRIES[target][1].replace('s', 'a')} 0000"
                for mark, target in pointers
            )
            texts[file] += (
                f"{offsets[key]:08d} {topic:02d} {kind} {len(words):02x} {listed} {len(pointers):03d}{to} | {gloss}  \n"
            )
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    types = {"n": 1, "a": 3, "s": 5}
    senses = [
        f"{word.split('(')[0].lower()}%{types[kind]}:{topic:02d}:00:: {offsets[key]:08d} 1 {COUNTS.get(word, 0)}"
        for key, (topic, kind, words, *_) in ENTRIES.items()
        for word in words
    ]
    (folder / "index.sense").write_text(
        "\n".join([*senses, "dog%2:38:00:: 00000001 1 7"]) + "\n", encoding="utf-8"
    )
    return folder
