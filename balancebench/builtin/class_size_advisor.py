"""What the core says of a training subset: how many images its classes have, and which test images it has seen.

Axis suffix: K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from balancebench.advice import Advice
from balancebench.builtin.metrics.near_duplicates import NearDuplicates
from balancebench.builtin.metrics.options import NearDuplicatesOptions
from balancebench.evaluation import SubsetEvaluation, Undefined

__all__ = ["advise_on_class_counts", "advise_on_near_duplicates"]

MOST_CLASSES = 12
MANY, FEW = 100, 20  # images, as long-tailed recognition counts many- and few-shot classes


def advise_on_class_counts(evaluation: SubsetEvaluation) -> Advice:
    """Say how many images the classes have, and how unequal that is."""
    train = evaluation.train
    counts = dict(zip(train.class_names, train.counts_K.tolist(), strict=True))
    largest_first = sorted(counts.items(), key=lambda entry: -entry[1])
    shown = largest_first
    if len(shown) > MOST_CLASSES:
        shown = [*largest_first[: MOST_CLASSES // 2], ("...", 0), *largest_first[-(MOST_CLASSES // 2) :]]
    listed = ", ".join(name if name == "..." else f"{name} {count}" for name, count in shown)
    empty = [name for name, count in counts.items() if count == 0]
    many, few = sum(count > MANY for count in counts.values()), sum(count < FEW for count in counts.values())
    paragraphs = [
        f"{len(train)} training images of {len(counts)} classes: {listed}.",
        f"Classes with more than {MANY} images: {many}; with fewer than {FEW}: {few}.",
    ]
    ratio = None
    if empty:
        paragraphs.append(f"No images at all: {_listed(empty)}. Methods that start from a class's images refuse them.")
    else:
        ratio = max(counts.values()) / min(counts.values())
        paragraphs.append(f"The largest class has {ratio:.3g} times the images of the smallest.")
        if ratio < 1.5:
            paragraphs.append("That is nearly balanced: there is little for any balancer to mend.")
    return Advice(
        heading="Classes", paragraphs=tuple(paragraphs), figures={"class_counts": counts, "imbalance_ratio": ratio}
    )


def advise_on_near_duplicates(evaluation: SubsetEvaluation) -> Advice:
    """Say how many test images have a near-duplicate among the training images."""
    share = NearDuplicates(NearDuplicatesOptions())(evaluation)
    heading = "Training images among the test images"
    if isinstance(share, Undefined):
        return Advice(heading=heading, paragraphs=(f"Not known: {share.reason}.",), figures={"near_duplicates": None})
    value = float(share)  # type: ignore[arg-type] - it is one number
    paragraphs = [f"{100 * value:.2g} % of the test images have a near-duplicate among the training images."]
    if value > 0.01:
        paragraphs.append(
            "So says a hash of 64 bits, which takes small images that are alike for duplicates: look at some pairs. "
            "Where they are the same photograph a classifier remembers them, and methods that repeat training images "
            "gain unduly: split again by what the images show."
        )
    return Advice(heading=heading, paragraphs=tuple(paragraphs), figures={"near_duplicates": value})


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
    return ", ".join(names[:MOST_CLASSES]) + more
