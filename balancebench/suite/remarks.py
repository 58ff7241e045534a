"""What a person may want to know of a suite that is no mistake: what its seeds can tell, and what ranks its rows."""

from __future__ import annotations

from balancebench.component import MetricComponent
from balancebench.suite.bound import BoundSuite

__all__ = ["ranking_advice", "seed_advice"]

SEEDS_TO_CLAIM = 5
COSTS = ("s", "images", "steps", "MiB")
"""Units of metrics that count what a row took, not how good it is."""
TOGETHER = f"seeds = [{', '.join(map(str, range(SEEDS_TO_CLAIM)))}]"


def seed_advice(suite: BoundSuite) -> str | None:
    """Return advice on the seeds of a suite in one line, or None where they suffice for claims.

    The figures are standard deviations of balanced accuracy over 12 subsets x 10 initialisations of a small network on
    Fashion-MNIST-LT, see docs/decisions/030-intervals-and-ranges.md.
    """
    subsets = len({seeds.subset for seeds in suite.seeds})
    subset_is_drawn = any(imbalancer.component.seeded for imbalancer in suite.axes["imbalancer"])
    if len(suite.seeds) > 1 and subsets == 1 and subset_is_drawn:
        return (
            "all seeds share one training subset, whose draw moves scores most: by 0.8 to 1.4 points where it was "
            f"measured, a classifier's seed by 0.1 to 0.3; {TOGETHER} varies both, and claims need it"
        )
    draws = subsets if subset_is_drawn else len(suite.seeds)
    if draws >= SEEDS_TO_CLAIM:
        return None
    if draws == 1:
        return f"one seed tells nothing of others; {TOGETHER} for a suite that is to make claims"
    return f"{draws} seeds are a look; {TOGETHER} for a suite that is to make claims"


def ranking_advice(suite: BoundSuite) -> str | None:
    """Return a question in one line where a suite ranks by nothing, or by what a row cost; None else."""
    first = suite.metrics[0]
    component = first.component
    assert isinstance(component, MetricComponent)  # noqa: S101 - the registry has checked it
    if component.of == "subset":
        return f"{first.label}, the first metric, is of the training subset and ranks no row: put another first"
    if component.higher_is_better is None:
        return f"{first.label}, the first metric, says of no value whether it is better: no row is ranked"
    if component.unit in COSTS:
        return f"rows are ranked by {first.label}, the first metric, which is a cost: is that meant?"
    return None
