"""Reads a suite file and binds its components; every mistake in it is found before the first one is reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path as FilePath

from pydantic import ValidationError

from balancebench.config import JSON
from balancebench.errors import SuiteError
from balancebench.plain_text import visible
from balancebench.registry import Registry
from balancebench.suite.binder import Binder, Bound
from balancebench.suite.bound import BoundComponent, BoundSuite, SeedTriple, Selection
from balancebench.suite.document import check_values, deep_copy, read_document
from balancebench.suite.locate import line_numbers
from balancebench.suite.mistakes import Mistakes
from balancebench.suite.profiles import apply_changes, apply_profile, changed_profile
from balancebench.suite.schema import AXES, RunTable, SuiteFile
from balancebench.suite.shipped import suite_file

__all__ = ["bind_balancer", "bind_suite"]


def bind_suite(
    path: FilePath, registry: Registry, profile: str | None = None, changes: Mapping[str, JSON] | None = None
) -> BoundSuite:
    """Return the suite at `path` with its components found and options validated.

    The name of a suite that ships with balancebench will do for its path. profile: of the file. changes: what replaces
    values after it, by patterns as a profile has them. Raises SuiteError with every mistake in the file. Imports no
    torch.
    """
    changes = changes or {}
    path = suite_file(path)
    text, document = read_document(path)
    mistakes = Mistakes(document, line_numbers(text))
    check_values(document, mistakes)
    if mistakes.noted:  # what follows takes values for what they should be
        raise SuiteError(visible(str(path)), mistakes.noted)
    for axis in AXES:
        if isinstance(document.get(axis), dict):  # one entry, with one pair of brackets: its own mistakes count too
            mistakes.add((axis,), f"write [[{axis}]], with two brackets: an axis may have several entries")
            document[axis] = [document[axis]]
    if profile is not None:
        apply_profile(document, profile, registry, mistakes)
    apply_changes(document, changes, registry, mistakes)
    for name in document.get("profile", {}) if isinstance(document.get("profile"), dict) else []:
        if name != profile:  # the others must name something too; what they set is checked when they are used
            apply_profile(deep_copy(document), name, registry, mistakes)
    file = _validated(SuiteFile, document, mistakes)
    binder = Binder(path.resolve().parent, registry, mistakes)
    axes: Bound = {axis: binder.axis(axis, document.get(axis)) for axis in AXES}
    metrics = binder.metrics(document.get("metrics"))
    no_balancer = binder.component("balancer", "none", "none", {}, ())
    no_imbalance = binder.component("imbalancer", "none", "none", {}, ())
    exclude = binder.selections("exclude", document, axes)
    include = binder.selections("include", document, axes)
    published = binder.published(document, axes, metrics)
    if exclude and all(axes.values()) and not _is_left(axes, exclude, include):
        mistakes.add(("exclude", len(exclude) - 1), "with this, no cell of the suite is left: name more axes")
    if file is not None and "best_validation" in file.run.report and file.run.validation is None:
        binder.require_validation(axes["dataset"])
    if mistakes.noted or file is None or no_balancer is None or no_imbalance is None:
        raise SuiteError(visible(str(path)), mistakes.noted)
    return BoundSuite(
        name=file.name,
        title=file.title or file.name,
        description=file.description,
        path=path,
        profile=changed_profile(profile, changes),
        file_profile=profile,
        changes=changes,
        overrides={**({} if profile is None else document["profile"][profile]), **changes},
        metrics=metrics,
        reports=tuple(file.run.report),
        seeds=tuple(_seed_triples(file.run)),
        precision=file.run.precision,
        deterministic=file.run.deterministic,
        threads=file.run.threads,
        jobs_per_gpu=file.run.jobs_per_gpu,
        keep_weights=file.run.keep_weights,
        validation=file.run.validation,
        floor=file.run.floor,
        ceiling=file.run.ceiling,
        axes=axes,
        no_balancer=no_balancer,
        no_imbalance=no_imbalance,
        exclude=exclude,
        include=include,
        published=published,
    )


def _is_left(axes: Bound, exclude: tuple[Selection, ...], include: tuple[Selection, ...]) -> bool:
    """Say whether any cell is selected by an include, or by no exclude."""
    points = (dict(zip(AXES, entries, strict=True)) for entries in product(*(axes[axis] for axis in AXES)))
    return any(
        any(selection.matches(entries) for selection in include)
        or not any(selection.matches(entries) for selection in exclude)
        for entries in points
    )


def bind_balancer(use: str, options: dict[str, JSON], registry: Registry, folder: FilePath) -> BoundComponent:
    """Return one balancer outside a suite; relative paths start at `folder`. Raises SuiteError with every mistake."""
    mistakes = Mistakes({"balancer": [{"use": use, **options}]}, line_numbers(""))
    bound = Binder(folder, registry, mistakes).component("balancer", use, use, options, ("balancer", 0))
    if mistakes.noted or bound is None:
        raise SuiteError(f"balancer {use}", mistakes.noted)
    return bound


def _validated(model: type[SuiteFile], document: dict[str, JSON], mistakes: Mistakes) -> SuiteFile | None:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        mistakes.add_validation((), error, model)
        return None


def _seed_triples(run: RunTable) -> Iterator[SeedTriple]:
    if isinstance(run.seeds, list):
        yield from (SeedTriple(seed, seed, seed) for seed in run.seeds)
    else:
        yield from map(SeedTriple._make, product(run.seeds.subset, run.seeds.generator, run.seeds.classifier))
