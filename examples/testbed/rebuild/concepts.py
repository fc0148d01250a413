"""The concepts (things with a name and a group) and the icons that show them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from examples.testbed.rebuild.packages import (
    COLOUR_STYLES,
    HELD_OUT_STYLES,
    OUTLINE_STYLES,
    icon_set,
    list_file,
)

# flags and symbols show letters, arrows and colours instead of things; clock faces differ only in their hands
GROUPS = (
    "animals_nature",
    "food_drink",
    "travel_places",
    "objects",
    "activities",
    "smileys_emotion",
    "people_body",
)
_SKIPPED = re.compile(r"o.clock|.*-thirty|(.*\b(man|woman|men|women|boy|girl)\b.*)|.*skin tone.*")
_WEIGHT_SUFFIX = re.compile(r"-(fill|filled|solid|bold|duotone)$")


@dataclass(frozen=True)
class Concept:
    name: str
    group: str
    tags: tuple[str, ...]
    icons: tuple[tuple[str, str], ...]  # (style, icon name)


def concepts(work: Path) -> list[Concept]:
    """Every emoji of the wanted groups with all its icons, in Unicode's order."""
    groups = json.loads(
        list_file(work, "unicode-emoji-json", "data-by-group.json").read_text(encoding="utf-8")
    )
    tags = _tags(work)
    index = {
        style: _by_plain_name(work, style) for style in (COLOUR_STYLES | OUTLINE_STYLES | HELD_OUT_STYLES)
    }
    found: dict[str, Concept] = {}
    for group in groups:
        if group["slug"] not in GROUPS:
            continue
        for emoji in group["emojis"]:
            name = emoji["name"].lower().replace("’", "'").replace("“", "").replace("”", "")
            key = plain(name)
            if _SKIPPED.fullmatch(name) or key in found:
                continue
            icons = tuple((style, icons[key]) for style, icons in index.items() if key in icons)
            if icons:
                found[key] = Concept(
                    name, group["slug"], tags.get(emoji["emoji"].rstrip("\ufe0f"), ()), icons
                )
    return list(found.values())


def held_out(concept: Concept) -> list[tuple[str, str]]:
    """The concept's drawings that pre-training never sees."""
    return [icon for icon in concept.icons if icon[0] in HELD_OUT_STYLES]


def is_downstream(concept: Concept) -> bool:
    """Whether a downstream data set can show it: two held-out drawings, so that styles can be distinguished."""
    return concept.group != "people_body" and len(held_out(concept)) >= 2


def plain(name: str) -> str:
    """A name stripped of everything but letters and digits: how the sets' names are matched."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _by_plain_name(work: Path, style: str) -> dict[str, str]:
    data = icon_set(work, style)
    names = [*data["icons"], *data.get("aliases", {})]
    index = {plain(_WEIGHT_SUFFIX.sub("", name)): name for name in names if _WEIGHT_SUFFIX.search(name)}
    # outline and filled version share a name; the filled one shows more of the shape
    return {plain(name): name for name in names} | index


def _tags(work: Path) -> dict[str, tuple[str, ...]]:
    data = json.loads(list_file(work, "emojibase-data", "en/data.json").read_text(encoding="utf-8"))
    return {entry["emoji"].rstrip("\ufe0f"): tuple(entry.get("tags", ())) for entry in data}
