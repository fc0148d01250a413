"""The handcrafted prompts of the paper (appendix B): seven general ones and one for each data set."""

from __future__ import annotations

from collections.abc import Sequence

from sar_reg.errors import InputError

GENERAL: tuple[str, ...] = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

SPECIFIC: dict[str, str] = {
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


def resolve_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Turn a data set's key, or the user's own prompts, into a tuple of prompts.

    Args:
        templates: a key of `SPECIFIC` (gives the paper's eight prompts: `GENERAL` and the data set's own),
            or a sequence of prompts that each contain `{}` exactly once, the place of the class name.

    Raises:
        InputError: for an unknown key, an empty sequence, or a prompt without exactly one `{}`.

    Examples:
        >>> resolve_templates("dtd")[-1]
        'a photo of a {}, a type of texture.'
        >>> resolve_templates(["a sketch of a {}."])
        ('a sketch of a {}.',)
    """
    if isinstance(templates, str):
        if templates not in SPECIFIC:
            hint = (
                f"To use one prompt of your own, pass it in a list: [{templates!r}]."
                if "{}" in templates
                else f"Known keys: {', '.join(SPECIFIC)}; or pass a sequence of prompts with '{{}}'."
            )
            raise InputError(f"templates={templates!r} is not a data set of the paper. {hint}")
        return (*GENERAL, SPECIFIC[templates])
    prompts = tuple(templates)
    if not prompts:
        raise InputError("templates is empty; pass at least one prompt such as 'a photo of a {}.'")
    for prompt in prompts:
        if not isinstance(prompt, str) or prompt.count("{}") != 1:  # pyright: ignore[reportUnnecessaryIsInstance] — callers without types
            raise InputError(
                f"the template {prompt!r} must contain '{{}}' exactly once, where the class name goes, "
                "as in 'a photo of a {}.'"
            )
    return prompts
