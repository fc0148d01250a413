"""The prompt that asks a language model for novel classes.

The paper's prompt is a picture in its appendix A that we do not have as text. This one follows the description:
a list of base classes, and new ones that are semantically aligned with them, at the same level of detail and in
the same format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sar_reg.class_names import spoken
from sar_reg.errors import counted

AnswerFormat = Literal["schema", "json", "list"]

_TASK = """You extend the list of classes of an image classification data set.
{domain}
Classes of the data set:
{base}

Name {wanted} that could stand in the same list. Each of them must
- be of the same kind as the classes above, and something that can be seen in a picture;
- be at the same level of detail, neither more general nor more specific;
- be written in the same format: word order, capital letters, numbers, with or without a maker or a species;
- be new: not one of the names listed here, nor another spelling, plural or synonym of one.
{known}
{ending}"""

_AS_JSON = 'Answer with JSON of the form {"names": ["...", "..."]} and nothing else.'
_AS_LINES = "Answer with one name on each line, without numbers, explanations or any other text."


def class_prompt(
    base_classes: Sequence[str], known: Sequence[str], count: int, *, domain: str | None, form: AnswerFormat
) -> str:
    """The text of one request.

    Args:
        base_classes: the classes to extend.
        known: novel names accepted so far, which must not be repeated; without excluded ones.
        count: how many names to ask for.
        domain: one line that describes what the data set shows, or `None`.
        form: in which form the answer is wanted.
    """
    return _TASK.format(
        domain=f"It shows: {domain.strip()}\n" if domain else "",
        base=_bullets(base_classes),
        wanted=counted(count, "further class"),
        known=f"\nAlready named, do not repeat:\n{_bullets(known)}\n" if known else "",
        ending=_AS_LINES if form == "list" else _AS_JSON,
    )


def _bullets(names: Sequence[str]) -> str:
    return "\n".join(f"- {' '.join(spoken(name).split())}" for name in names)
