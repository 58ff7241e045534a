"""A comparison of two rows, and how many seeds one wants, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from balancebench.leaderboard.board import Difference
from balancebench.leaderboard.claims import CheckedClaim
from balancebench.leaderboard.class_differences import ClassDifference
from balancebench.leaderboard.format import REPORT_TITLES, difference_text, seconds_text, value_text
from balancebench.leaderboard.intervals import Interval
from balancebench.leaderboard.results import MetricHeader
from balancebench.leaderboard.two_rows import Comparison, in_unit
from balancebench.leaderboard.verdict import seeds_for_difference, smallest_difference, upper_deviation

__all__ = ["SeedsWanted", "claim_line", "comparison_lines", "seeds_lines", "seeds_wanted"]

SHOWN_CLASSES = 20  # one by one; of more, groups and the extremes
EXTREME_CLASSES = 10
CONFIDENT = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedsWanted:
    """How many seeds find a true difference 4 times in 5, by the deviation between the seeds that there are.

    difference, deviation, smallest: as tables show the metric. plainly: by the observed deviation; cautiously: by one
    that is larger than the true one in 4 of 5 samples; None where more than 10,000. smallest: below it the test images
    cannot tell, whatever the seeds. pairs: seeds that the deviation is of.
    """

    difference: float
    deviation: float
    pairs: int
    plainly: int | None
    cautiously: int | None
    smallest: float

    @property
    def test_set_is_too_small(self) -> bool:
        """Whether no number of seeds tells this difference on these test images."""
        return self.smallest > self.difference


def seeds_wanted(comparison: Comparison, difference: float) -> SeedsWanted | None:
    """Return how many seeds a true difference wants, > 0 and as tables show the metric.

    None below two seeds, and where seeds are crossed: their runs do not vary as fresh seeds would.
    """
    observed = comparison.difference
    if observed.std is None or comparison.crossed:
        return None
    deviation = in_unit(observed.std, comparison.metric)
    return SeedsWanted(
        difference=difference,
        deviation=deviation,
        pairs=observed.n,
        plainly=seeds_for_difference(difference, deviation),
        cautiously=seeds_for_difference(difference, upper_deviation(deviation, observed.n)),
        smallest=in_unit(smallest_difference(observed.image_variance), comparison.metric),
    )


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return the verdict in words, then how sure it is, then classes and costs."""
    report = "" if comparison.report == "last" else f", {REPORT_TITLES[comparison.report].lower()}"
    lines = [f"{comparison.task}, {comparison.metric.label}{report}:", f"  {_verdict_text(comparison)}"]
    if comparison.verdict not in ("not comparable", "identical"):
        lines += [f"  {text}" for text in _certainty(comparison)]
    if comparison.same_run_p is not None:
        lines.append(f"  In this run alone: McNemar's exact p {_p_text(comparison.same_run_p)} of the test images.")
    lines += [f"  {text}" for text in (*_class_lines(comparison), *_cost_lines(comparison))]
    return lines


def claim_line(checked: CheckedClaim) -> str:
    """Return a claim, whether it holds, and by what."""
    comparison = checked.comparison
    about = f"{comparison.task}, {comparison.metric.label}"
    claimed = f"{comparison.first} {checked.claim.verdict} {_claim_joint(checked)}{comparison.second}"
    adjusted = "" if checked.p_adjusted is None else f", p {_p_text(checked.p_adjusted)} adjusted"
    measured = (
        "" if comparison.difference.mean is None else difference_text(comparison.difference, comparison.metric.unit)
    )
    if checked.holds:
        return f"holds: {claimed} ({about}): {measured}{adjusted}"
    return f"does not hold: {claimed} ({about}): {measured}{adjusted}; {checked.reason}"


def _claim_joint(checked: CheckedClaim) -> str:
    margin, joint = checked.claim.margin, {"better": "than ", "worse": "than ", "level": "with "}
    by = f"by {margin:g}{_unit(checked.comparison.metric)} " if margin else ""
    return f"{by}{joint.get(checked.claim.verdict, 'with ')}"


def _verdict_text(comparison: Comparison) -> str:
    first, second, metric = comparison.first, comparison.second, comparison.metric
    if comparison.verdict == "not comparable":
        difference = comparison.difference
        this_run = "" if difference.run_interval is None else " this run only"
        shown = "" if difference.mean is None else f" ({difference_text(difference, metric.unit)}{this_run})"
        return f"{first} and {second} are not comparable{shown}: {comparison.reason}."
    if comparison.verdict == "identical":
        return f"{first} and {second} are identical: no difference in any seed."
    measured = f"{difference_text(comparison.difference, metric.unit)}{_unit(metric)}, {_seeds(comparison)}"
    p = "" if comparison.difference.p is None else f", p {_p_text(comparison.difference.p)}"
    within = f" by more than {value_text(comparison.margin, metric.unit)}{_unit(metric)}" if comparison.margin else ""
    if comparison.verdict == "level":
        margin = f"{value_text(comparison.margin, metric.unit)}{_unit(metric)}"
        return f"{first} and {second} are level within {margin}: {measured}."
    if comparison.verdict == "undecided":
        return f"Undecided: {first} - {second} is {measured}{p}.{_seeds_hint(comparison)}"
    return f"{first} is {comparison.verdict} than {second}{within}: {measured}{p}."


def _unit(metric: MetricHeader) -> str:
    return {"%": " points", "": "", "s": ""}.get(metric.unit, f" {metric.unit}")


def _seeds(comparison: Comparison) -> str:
    of = f" of {comparison.planned}, those that finished" if comparison.unfinished else ""
    return f"{comparison.difference.n} seeds{of}"


def _seeds_hint(comparison: Comparison) -> str:
    difference = (
        1.0 if comparison.metric.unit == "%" else 2 * in_unit(comparison.difference.std or 0, comparison.metric)
    )
    wanted = seeds_wanted(comparison, difference) if difference else None
    if wanted is None or wanted.test_set_is_too_small or wanted.plainly is None:
        return ""
    cautiously = "" if wanted.cautiously is None else f", cautiously {wanted.cautiously}"
    return f" {wanted.plainly} seeds would tell {difference:.3g}{_unit(comparison.metric)}{cautiously}."


def _certainty(comparison: Comparison) -> list[str]:
    over = "seeds and test images"
    lines: list[str] = []
    if comparison.difference.full_interval is None:
        lines.append(f"The interval is over seeds alone: {comparison.difference.interval_reason}.")
        over = "seeds"
    if comparison.one_subset:
        lines.append("All seeds share one training subset: this is of that subset alone.")
    mean = comparison.difference.mean or 0.0
    ahead = comparison.first if (mean > 0) == bool(comparison.metric.higher_is_better) else comparison.second
    if comparison.confidence is not None:
        sure = comparison.confidence
        share = f"over {CONFIDENT:.1%}" if sure > CONFIDENT else f"{sure:.1%}"
        chance = comparison.next_seed_ahead
        next_seed = "" if chance is None else f" Chance that it is in the next seed: {chance:.0%}."
        lines.append(f"Confidence that {ahead} is ahead over all {over}: {share}.{next_seed}")
    return lines


def _class_lines(comparison: Comparison) -> list[str]:
    classes = comparison.classes
    if classes is None or all(of.interval is None for of in classes):
        return []
    if len(classes) > SHOWN_CLASSES:
        return _many_class_lines(comparison, classes)
    lines: list[str] = []
    for verdict, words in (("gains", "Classes that gain"), ("pays", "Classes that pay")):
        told = sorted((of for of in classes if of.verdict == verdict), key=lambda of: -abs(of.mean))
        shown = _class_texts(comparison, told) or "none"
        lines.append(f"{words} (recall, points; Holm over {len(classes)}): {shown}.")
    return lines


def _many_class_lines(comparison: Comparison, classes: Sequence[ClassDifference]) -> list[str]:
    """Return groups of classes, then those that lose most and gain most, with what is told apart among all."""
    groups = "; ".join(
        f"{of.name} ({of.classes} {'class' if of.classes == 1 else 'classes'}) {_points(of.mean, of.interval)}"
        for of in comparison.groups
    )
    ordered = sorted(classes, key=lambda of: of.mean)
    gaining = [of for of in reversed(ordered[-EXTREME_CLASSES:]) if of.mean > 0]
    losing = [of for of in ordered[:EXTREME_CLASSES] if of.mean < 0]
    told = {verdict: sum(of.verdict == verdict for of in classes) for verdict in ("gains", "pays")}
    by_group = [f"Classes by training images (mean recall, points): {groups}."] if groups else []
    return [
        *by_group,
        f"Classes that gain most: {_class_texts(comparison, gaining) or 'none'}.",
        f"Classes that lose most: {_class_texts(comparison, losing) or 'none'}.",
        f"Of {len(classes)} classes {told['gains']} gain and {told['pays']} pay (Holm over all).",
    ]


def _class_texts(comparison: Comparison, classes: Sequence[ClassDifference]) -> str:
    return ", ".join(f"{comparison.class_names[of.label]} {_points(of.mean, of.interval)}" for of in classes)


def _points(mean: float, interval: Interval | None) -> str:
    return difference_text(Difference(mean=mean, full_interval=interval), "%")


def _cost_lines(comparison: Comparison) -> list[str]:
    first, second = comparison.costs
    if first.cost is None or second.cost is None:
        return []
    return [
        f"Costs: {seconds_text(first.cost.duration_seconds)} and {first.cost.images_seen:,.0f} images seen, against "
        f"{seconds_text(second.cost.duration_seconds)} and {second.cost.images_seen:,.0f}."
    ]


def _p_text(p: float) -> str:
    return "below 0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.001 else f"{p:.3f}"


def seeds_lines(comparison: Comparison, wanted: SeedsWanted | None) -> list[str]:
    """Return how many seeds tell a difference, in words."""
    lines = [f"{comparison.task}, {comparison.metric.label}: {comparison.first} against {comparison.second}"]
    if wanted is None:
        crossed = "the seeds are crossed: `balancebench variance` shows what each stream adds"
        needed = "two seeds of both rows are needed to see how much seeds differ"
        return [*lines, f"  {comparison.reason or (crossed if comparison.crossed else needed)}."]
    unit = _unit(comparison.metric)
    deviation = f"The differences of {wanted.pairs} seeds have a standard deviation of {wanted.deviation:.3g}{unit}."
    lines.append(f"  {deviation}")
    if wanted.test_set_is_too_small:
        lines.append(
            f"  More seeds cannot tell {wanted.difference:.3g}{unit}: the test set is too small for less than "
            f"{wanted.smallest:.2g}{unit}."
        )
    else:
        lines.append(
            f"  A difference of {wanted.difference:.3g}{unit} is found 4 times in 5 by {_count(wanted.plainly)} seeds, "
            f"cautiously {_count(wanted.cautiously)}."
        )
    return lines


def _count(seeds: int | None) -> str:
    return "more than 10,000" if seeds is None else str(seeds)
