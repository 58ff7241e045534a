"""Tells whether results were made from the same images, and if not, which class differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from balancebench.leaderboard.results import CellResult, SubsetSummary

__all__ = ["difference_between", "reference_subsets", "why_not_comparable"]

NAMED_CLASSES = 3


def reference_subsets(rows: Sequence[Sequence[CellResult]]) -> dict[str, SubsetSummary]:
    """Return, for each seeds, the subset that rows must share: the floor's, else the one that most rows have."""
    by_seeds: dict[str, list[CellResult]] = {}
    for cells in rows:
        for cell in cells:
            if cell.role != "ceiling" and cell.subset is not None:
                by_seeds.setdefault(str(cell.seeds), []).append(cell)
    references: dict[str, SubsetSummary] = {}
    for seeds, cells in by_seeds.items():
        floors = [cell.subset for cell in cells if cell.role == "floor" and cell.subset is not None]
        subsets = floors[:1] or [cell.subset for cell in cells if cell.subset is not None]
        counted = Counter(subset.fingerprint for subset in subsets)
        chosen = min(counted, key=lambda fingerprint: (-counted[fingerprint], fingerprint))
        references[seeds] = next(subset for subset in subsets if subset.fingerprint == chosen)
    return references


def why_not_comparable(cells: Sequence[CellResult], references: Mapping[str, SubsetSummary]) -> str:
    """Return why a row's finished cells cannot be ranked with the others, or "" where they can."""
    reasons: list[tuple[str, str]] = []
    for cell in cells:
        if cell.status != "done":
            continue
        seeds = str(cell.seeds)
        if cell.subset is None or seeds not in references:
            reasons.append((seeds, "which images it was trained on is not known"))
        elif cell.subset.fingerprint != references[seeds].fingerprint:
            reasons.append((seeds, difference_between(cell.subset, references[seeds])))
    if not reasons:
        return ""
    word = "seed" if len(reasons) == 1 else "seeds"
    all_seeds = ", ".join(seeds for seeds, _ in reasons)
    return f"made from other training images than the other rows ({word} {all_seeds}): {reasons[0][1]}"


def difference_between(actual: SubsetSummary, expected: SubsetSummary) -> str:
    """Name what differs between two subsets of different fingerprints: the classes, their counts, or the images."""
    if len(actual.class_names) != len(expected.class_names):
        return f"{len(actual.class_names)} classes instead of {len(expected.class_names)}"
    for label, (name, expected_name) in enumerate(zip(actual.class_names, expected.class_names, strict=True)):
        if name != expected_name:
            return f"class {label} is {name!r} instead of {expected_name!r}"
    differing = [
        f"class {name!r} has {count} images instead of {expected_count}"
        for name, count, expected_count in zip(actual.class_names, actual.counts_K, expected.counts_K, strict=True)
        if count != expected_count
    ]
    if not differing:
        return "same counts, other images"
    more = f", and {len(differing) - NAMED_CLASSES} more classes differ" if len(differing) > NAMED_CLASSES else ""
    return ", ".join(differing[:NAMED_CLASSES]) + more
