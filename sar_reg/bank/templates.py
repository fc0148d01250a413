"""The handcrafted prompts of the paper (appendix B): seven general templates and one for each data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Literal, cast

from sar_reg.errors import InputError, did_you_mean

DataSet = Literal[
    "imagenet", "caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101", "fgvc_aircraft",
    "sun397", "dtd", "eurosat", "ucf101",
]  # fmt: skip
Template = str | Callable[[str], str]

GENERAL: tuple[str, ...] = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

SPECIFIC: dict[DataSet, str] = {
    "imagenet": "a photo of a {}.",
    "caltech101": "a photo of a {}.",
    "oxford_pets": "a photo of a {}, a type of pet.",
    "stanford_cars": "a photo of a {}.",
    "oxford_flowers": "a photo of a {}, a type of flower.",
    "food101": "a photo of {}, a type of food.",
    "fgvc_aircraft": "a photo of an aircraft {}.",
    "sun397": "a photo of a {}.",
    "dtd": "a photo of a {}, a type of texture.",
    "eurosat": "a centered satellite photo of {}.",
    "ucf101": "a photo of a person doing {}.",
}


def resolve_templates(templates: DataSet | Iterable[Template]) -> tuple[str, ...]:
    """Turn a data set's key, or the user's own templates, into a tuple of templates.

    Args:
        templates: a key of `SPECIFIC` (for the paper's eight templates: `GENERAL` and the data set's own),
            or templates that each contain `{}` exactly once, the place of the class name. A template may also be
            a function of the class name, as in `open_clip.OPENAI_IMAGENET_TEMPLATES`.

    Raises:
        InputError: for an unknown key, an empty list, a template without exactly one `{}`, or a function that
            does more than put the name into a sentence.

    Examples:
        >>> resolve_templates("dtd")[-1]
        'a photo of a {}, a type of texture.'
        >>> resolve_templates(["a sketch of a {}.", lambda name: f"the {name}."])
        ('a sketch of a {}.', 'the {}.')
    """
    if isinstance(templates, str):
        return (*GENERAL, _of_data_set(templates))
    if isinstance(templates, Set | Mapping | bytes) or not isinstance(templates, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(
            f"templates must be a data set's key or a list of templates, not {type(templates).__name__}"
        )
    sentences = tuple(_sentence(template) for template in templates)
    if not sentences:
        raise InputError("templates is empty; pass at least one template such as 'a photo of a {}.'")
    return sentences


def _of_data_set(key: str) -> str:
    known = cast("dict[str, str]", SPECIFIC)
    if key in known:
        return known[key]
    hint = (
        f"to use one template of your own, pass it in a list: [{key!r}]"
        if "{}" in key
        else f"known keys: {', '.join(known)}; or pass a list of templates with '{{}}'"
    )
    raise InputError(f"templates={key!r} is not a data set of the paper{did_you_mean(key, known)}; {hint}")


def _sentence(template: Any) -> str:
    text: Any = template("{}") if callable(template) else template
    if not isinstance(text, str) or text.count("{}") != 1:
        raise InputError(
            f"the template {text!r} must contain '{{}}' exactly once, where the class name goes, "
            "as in 'a photo of a {}.'"
        )
    for name in ("Apple Pie", "zebra") if callable(template) else ():
        if template(name) != text.replace("{}", name):
            raise InputError(
                f"a template function must put the name into a sentence unchanged, but for {name!r} it returned "
                f"{template(name)!r}; write the sentences out, or change the class names beforehand"
            )
    return str(text)
