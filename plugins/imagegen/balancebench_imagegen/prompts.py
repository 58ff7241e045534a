"""Prompts from templates and word lists. Light: suites are checked with it.

"A {breed} cat {action} {preposition} the {furniture}" takes a word of each list at random; {class_name} stands for the
name of the class.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import tomli

from balancebench import JSON, BalancerError, nearest, seed_for

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CAT_WORDS", "TEMPLATES", "Prompts", "candidate_seed", "read_prompts", "read_words"]

EVERY_OTHER_CLASS = "*"
TEMPLATES = {
    "cat": "A {breed} cat {action} {preposition} the {furniture}",
    EVERY_OTHER_CLASS: "a photo of a {class_name}",
}
CAT_WORDS = {
    "breed": (
        "Abyssinian", "American Shorthair", "Balinese", "Bengal", "Birman", "Bombay", "British Shorthair", "Burmese",
        "Chartreux", "Cornish Rex", "Devon Rex", "Egyptian Mau", "Exotic Shorthair", "Himalayan", "Maine Coon", "Manx",
        "Norwegian Forest", "Ocicat", "Persian", "Ragdoll", "Russian Blue", "Scottish Fold", "Siamese", "Tonkinese",
        "Turkish Angora",
    ),
    "furniture": (
        "armchair", "bed", "bench", "bookshelf", "cabinet", "carpet", "chair", "chest of drawers", "coffee table",
        "couch", "cushion", "desk", "dining table", "dresser", "footstool", "hammock", "nightstand", "ottoman",
        "piano", "recliner", "rocking chair", "sideboard", "sofa", "stool", "wardrobe",
    ),
    "preposition": ("on", "under", "beside", "behind", "near", "in front of", "next to", "against"),
    "action": ("sitting", "standing"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prompts:
    """Draws the prompts of candidates.

    templates: class name -> template, or several of which each candidate draws one; "*" for all others. words: name ->
    list.
    """

    templates: Mapping[str, str | Sequence[str]]
    words: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        for class_name, template in self.templates.items():
            for name in dict.fromkeys(name for one in _as_list(template) for name in _placeholders(one)):
                if name != "class_name" and not self.words.get(name):
                    raise BalancerError(
                        f"the template of {class_name!r} has {{{name}}}, but there is no list of words of that name"
                        f"{nearest(name, [*self.words, 'class_name'])}"
                    )

    def prompt(self, class_name: str, rng: np.random.Generator) -> str:
        """Draw a prompt for a class."""
        templates = _as_list(
            self.templates.get(class_name, self.templates.get(EVERY_OTHER_CLASS, TEMPLATES[EVERY_OTHER_CLASS]))
        )
        template = templates[0] if len(templates) == 1 else templates[int(rng.integers(len(templates)))]
        chosen = {
            name: self.words[name][int(rng.integers(len(self.words[name])))]
            for name in dict.fromkeys(_placeholders(template))
            if name != "class_name"
        }
        return template.format(class_name=class_name, **chosen)

    def refuse_missing(self, class_names: Sequence[str], path: Path) -> None:
        """Raise BalancerError where a file of prompts lacks one of the classes, and has none for all others."""
        lacking = [name for name in class_names if name not in self.templates]
        if lacking and EVERY_OTHER_CLASS not in self.templates:
            hint = nearest(lacking[0], self.templates)
            raise BalancerError(f'{path} has no prompt for class {lacking[0]!r}{hint}; "*" stands for all others')


def read_prompts(path: Path) -> dict[str, str | tuple[str, ...]]:
    """Return the prompts of a TOML or JSON file: class name -> a prompt, or a list of prompts.

    Raises BalancerError where it is anything else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document: JSON = json.loads(text) if path.suffix.lower() == ".json" else tomli.loads(text)
    except (OSError, ValueError) as error:
        raise BalancerError(f"the prompts in {path} cannot be read: {error}") from error
    prompts: dict[str, str | tuple[str, ...]] = {}
    for name, value in (cast("dict[str, JSON]", document) if isinstance(document, dict) else {}).items():
        several = cast("list[JSON]", value) if isinstance(value, list) else [value]
        if not several or not all(isinstance(one, str) and one for one in several):
            raise BalancerError(f"{path}: {name!r} must be a prompt, or a list of at least one")
        prompts[name] = tuple(several) if isinstance(value, list) else value
    if not prompts:
        raise BalancerError(f'{path} holds no prompts: write CLASS = "a photo of ..."')
    return prompts


def read_words(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the word lists of a TOML or JSON file: a table of lists of text. Raises BalancerError otherwise."""
    try:
        text = path.read_text(encoding="utf-8")
        document: JSON = json.loads(text) if path.suffix.lower() == ".json" else tomli.loads(text)
    except (OSError, ValueError) as error:
        raise BalancerError(f"the word lists in {path} cannot be read: {error}") from error
    lists = cast("dict[str, JSON]", document) if isinstance(document, dict) else {}
    for name, words in lists.items():
        if (
            not isinstance(words, list)
            or not words
            or not all(isinstance(word, str) for word in cast("list[JSON]", words))
        ):
            raise BalancerError(f"{path}: {name!r} must be a list of at least one word")
    if not lists:
        raise BalancerError(f"{path} holds no lists of words")
    return {name: tuple(words) for name, words in lists.items()}


def candidate_seed(seed: int, stream: str, class_name: str, candidate: int) -> int:
    """Return the seed of one candidate image: it depends on no other candidate, so batches may be cut anywhere."""
    return seed_for(f"stable_diffusion {stream}", seed, class_name, candidate)


def _as_list(template: str | Sequence[str]) -> Sequence[str]:
    return [template] if isinstance(template, str) else template


def _placeholders(template: str) -> list[str]:
    """Return the names in braces; raises BalancerError for anything more than a name."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise BalancerError(f"the template {template!r} cannot be read: {error}") from error
    names = [name for _, name, _, _ in parts if name is not None]
    plain = all(not spec and conversion is None for _, name, spec, conversion in parts if name is not None)
    if not plain or not all(name.isidentifier() for name in names):
        raise BalancerError(f"the template {template!r} may hold names in braces, such as {{breed}}, and nothing more")
    return names
