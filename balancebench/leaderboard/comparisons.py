"""Pairs of rows of one task and report as estimates: which seeds pair them, and what their test images add.

Axis suffixes: P pairs, S seeds, R rows, B bytes, K classes.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from balancebench.evaluation import MeanOver, Report
from balancebench.leaderboard.board import Difference, Seeds
from balancebench.leaderboard.contest import Contest, RowName
from balancebench.leaderboard.crossed_seeds import crossed_variance, full_block, mean_squares
from balancebench.leaderboard.image_moments import ImageMoments, image_moments
from balancebench.leaderboard.intervals import Estimates, Interval, full_intervals, p_values, seeds_intervals
from balancebench.leaderboard.results import MetricHeader
from balancebench.leaderboard.statistics import deviation, mean
from balancebench.suite.bound import SeedTriple

__all__ = ["Comparisons", "Pair", "Pairs", "crossed_streams", "recall_weights"]

NO_OUTCOMES = "which test images were predicted right is not kept with these results"
NO_MEAN = "the metric is no mean over test images, whose part is not known"
NO_CLASSES = "no class counts in the metric"
OTHER_CLASSES = "the metric is of other classes under other seeds, so that the part of test images is not known"
FEW_IMAGES = "a class has fewer than two test images, so that their part is not known"
ONE_SEED = "one seed tells nothing of others"
HOLES = "the seeds cross with too many holes"

ROUNDING = 1e-12

Signature = tuple[tuple[Seeds, Seeds], ...]  # (seeds, the first seeds of the same measurement) of a row


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two rows under the seeds that both have, each measurement once.

    differences: the first row's value minus the second's, by seeds. identical: whether both are right about the very
    same images in all of them; where images are not known, whether all differences are 0. ahead: how often only the
    first, and only the second, is right, over all images and seeds; None where images are not known.
    """

    differences: Mapping[Seeds, float]
    identical: bool
    ahead: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Estimates of P pairs. image_reasons: why the part of test images is not in one, "" where it is."""

    pairs: Sequence[Pair]
    estimates: Estimates
    image_reasons: Sequence[str]

    @cached_property
    def p_P(self) -> NDArray[np.float64]:
        """The p of each pair, float64; see `balancebench.leaderboard.intervals.p_values`."""
        return p_values(self.estimates)

    @classmethod
    def joined(cls, parts: Sequence[Pairs]) -> Pairs:
        """Return the pairs of all parts, of which there is at least one, in their order."""
        return cls(
            pairs=[pair for part in parts for pair in part.pairs],
            estimates=Estimates.joined([part.estimates for part in parts]),
            image_reasons=[reason for part in parts for reason in part.image_reasons],
        )


class Comparisons:
    """Compares rows of a contest under one report. Test images are unpacked once for each set of seeds."""

    def __init__(self, contest: Contest, report: Report) -> None:
        self._contest = contest
        self._report: Report = report
        self._names = list(contest.groups)
        self._weights = {metric.label: self._class_weights(metric.mean_over) for metric in contest.suite.metrics}
        self._weighted = [label for label, weights_K in self._weights.items() if not isinstance(weights_K, str)]
        self._moments: dict[tuple[Seeds, ...], tuple[dict[RowName, int], ImageMoments]] = {}
        self._signatures: dict[tuple[RowName, str], Signature] = {}

    def from_floor(self, name: RowName, metric: MetricHeader) -> Difference | None:
        """Return the difference of a row from the floor, None where they share no seed; there must be a floor."""
        return self._from_floor.get((name, metric.label))

    @cached_property
    def _from_floor(self) -> Mapping[tuple[RowName, str], Difference]:
        """Row and metric -> its difference from the floor: the p of many pairs cost little more than that of one."""
        floor = next(floor for floor in self._names if floor[0] == "floor")
        compared = {
            metric.label: [row for row in self._names if row != floor and self._share_seeds(row, floor, metric)]
            for metric in self._contest.suite.metrics
        }
        parts = [
            self.of_pairs([(row, floor) for row in compared[metric.label]], metric)
            for metric in self._contest.suite.metrics
        ]
        names = [(row, label) for label, rows in compared.items() for row in rows]
        return dict(zip(names, _differences(Pairs.joined(parts)), strict=True)) if parts else {}

    def differences(self, pairs: Sequence[tuple[RowName, RowName]], metric: MetricHeader) -> list[Difference]:
        """Return the difference of each pair of rows with its intervals; the rows must have a seed in common."""
        return _differences(self.of_pairs(pairs, metric))

    def _share_seeds(self, first: RowName, second: RowName, metric: MetricHeader) -> bool:
        return bool(_paired_seeds(self._signature(first, metric.label), self._signature(second, metric.label)))

    def of_pairs(self, pairs: Sequence[tuple[RowName, RowName]], metric: MetricHeader) -> Pairs:
        """Return the estimates of pairs of rows; one without a seed in common has a mean of NaN."""
        count = len(pairs)
        signatures = {name: self._signature(name, metric.label) for pair in pairs for name in pair}
        by_seeds: dict[tuple[Seeds, ...], list[int]] = {}
        seeds_of: dict[tuple[Signature, Signature], tuple[Seeds, ...]] = {}
        for index, (first, second) in enumerate(pairs):
            both = signatures[first], signatures[second]
            if both not in seeds_of:
                seeds_of[both] = _paired_seeds(*both)
            by_seeds.setdefault(seeds_of[both], []).append(index)
        compared = [Pair(differences={}, identical=False, ahead=None)] * count
        reasons = [""] * count
        parts = {name: np.full(count, np.nan) for name in ("mean", "over_seeds", "df")}
        parts |= {name: np.zeros(count) for name in ("images", "rest")}
        for seeds, indices in by_seeds.items():
            if not seeds:
                continue
            images = self._images_of(seeds, metric)
            values = {
                name: [numbers[key] for key in seeds]
                for name in {name for index in indices for name in pairs[index]}
                for numbers in [self._contest.groups[name].numbers(self._report, metric.label)]
            }
            crossed = crossed_streams([self._contest.groups[pairs[indices[0]][0]][key].seeds for key in seeds])
            for index in indices:
                first, second = pairs[index]
                differences = [_difference(a, b) for a, b in zip(values[first], values[second], strict=True)]
                of_seeds = dict(zip(seeds, differences, strict=True))
                parts["mean"][index] = mean(differences)
                parts["over_seeds"][index], parts["df"][index] = self._over_seeds(first, of_seeds, crossed)
                pair, reasons[index] = _pair(of_seeds, images, first, second)
                compared[index] = pair
                if not reasons[index] and not isinstance(images, str):
                    rows, label = images.rows, images.weighting
                    a, b = rows[first], rows[second]
                    parts["images"][index] = images.moments.image_variance_WRR[label, a, b]
                    parts["rest"][index] = 0.0 if crossed else images.moments.residual_variance_WRR[label, a, b]
        parts["df"] = np.where(np.isfinite(parts["df"]), parts["df"], 1.0)
        estimates = Estimates(
            mean_P=parts["mean"],
            seeds_variance_P=parts["over_seeds"],
            df_P=parts["df"],
            image_variance_P=parts["images"],
            residual_variance_P=parts["rest"],
        )
        return Pairs(pairs=compared, estimates=estimates, image_reasons=reasons)

    def packed(self, pair: tuple[RowName, RowName], metric: MetricHeader) -> NDArray[np.uint8] | str:
        """Return packed correctness uint8 (S, 2, B) of two rows under the seeds they share, or why it is not known."""
        seeds = _paired_seeds(*(self._signature(name, metric.label) for name in pair))
        rows = [self._correct(name, seeds) for name in pair]
        if not seeds or any(row is None for row in rows):
            return NO_OUTCOMES
        return np.stack([row for row in rows if row is not None], axis=1)

    def _over_seeds(
        self, name: RowName, differences: Mapping[Seeds, float], crossed: tuple[int, int] | None
    ) -> tuple[float, float]:
        """Return the variance of the mean over seeds and its degrees of freedom; NaN where it is not known."""
        if crossed is None:
            spread = deviation(list(differences.values()))
            return (math.nan, math.nan) if spread is None else (spread**2 / len(differences), len(differences) - 1.0)
        by_levels: dict[tuple[int, int], list[float]] = {}
        for seeds, difference in differences.items():
            triple = self._contest.groups[name][seeds].seeds
            by_levels.setdefault((triple[crossed[0]], triple[crossed[1]]), []).append(difference)
        block_AC = full_block({levels: mean(values) for levels, values in by_levels.items()})
        return crossed_variance(mean_squares(block_AC)) if min(block_AC.shape) > 1 else (math.nan, math.nan)

    def _signature(self, name: RowName, label: str) -> Signature:
        if (name, label) not in self._signatures:
            group = self._contest.groups[name]
            first_of: dict[str, Seeds] = {}
            self._signatures[name, label] = tuple(
                (seeds, first_of.setdefault(group.score_keys[seeds], seeds))
                for seeds in group.numbers(self._report, label)
            )
        return self._signatures[name, label]

    def _class_weights(self, mean_over: MeanOver | None) -> NDArray[np.float64] | str:
        """Return the weights of the classes' recalls, float64 (K,), sum 1, or why there are none."""
        outcomes = self._contest.outcomes
        if outcomes is None:
            return NO_OUTCOMES
        if mean_over is None:
            return NO_MEAN
        test_K = np.bincount(outcomes.labels_N, minlength=outcomes.class_count)
        of_subsets = [
            recall_weights(mean_over, test_K, subset.counts_K, subset.class_names)
            for subset in self._contest.subsets.values()
        ]
        if not of_subsets or any(not np.array_equal(weights_K, of_subsets[0]) for weights_K in of_subsets):
            return OTHER_CLASSES
        return of_subsets[0] if of_subsets[0].any() else NO_CLASSES

    def _images_of(self, seeds: tuple[Seeds, ...], metric: MetricHeader) -> _Images | str:
        """Return what the test images say of all rows that have these seeds, or why they say nothing."""
        weights_K = self._weights[metric.label]
        if isinstance(weights_K, str) or self._contest.outcomes is None:
            return weights_K if isinstance(weights_K, str) else NO_OUTCOMES
        if seeds not in self._moments:
            of_rows = {name: row_SB for name in self._names if (row_SB := self._correct(name, seeds)) is not None}
            if not of_rows:
                return NO_OUTCOMES
            weights_WK = np.stack([np.asarray(self._weights[label], dtype=np.float64) for label in self._weighted])
            moments = image_moments(
                np.stack(list(of_rows.values()), axis=1), self._contest.outcomes.labels_N, weights_WK
            )
            self._moments[seeds] = {name: index for index, name in enumerate(of_rows)}, moments
        rows, moments = self._moments[seeds]
        return _Images(rows=rows, moments=moments, weighting=self._weighted.index(metric.label))

    def _correct(self, name: RowName, seeds: Sequence[Seeds]) -> NDArray[np.uint8] | None:
        """Return packed correctness uint8 (S, B) of a row, None where it is not known for all seeds."""
        outcomes, group = self._contest.outcomes, self._contest.groups[name]
        packed: list[NDArray[np.uint8]] = []
        for key in seeds:
            cell = group.get(key)
            reports = None if cell is None or outcomes is None else outcomes.cells.get(cell.score_key)
            if reports is None or self._report not in reports:
                return None
            packed.append(np.frombuffer(base64.b64decode(reports[self._report].correct), dtype=np.uint8))
        return np.stack(packed) if packed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Images:
    """Moments of rows by their index, and the weighting of one metric."""

    rows: Mapping[RowName, int]
    moments: ImageMoments
    weighting: int


def recall_weights(
    mean_over: MeanOver, test_K: NDArray[np.int64], train_K: Sequence[int], class_names: Sequence[str]
) -> NDArray[np.float64]:
    """Return what the classes' recalls weigh in a metric, float64 (K,), sum 1; all 0 where no class counts.

    test_K, train_K: test images, and training images before balancing.
    """
    if mean_over.class_name is None:
        most = math.inf if mean_over.most_train is None else mean_over.most_train
        counts_K = [mean_over.fewest_train <= count <= most for count in train_K]
    else:
        counts_K = [mean_over.class_name in (index, name) for index, name in enumerate(class_names)]
    weights_K = np.where(np.array(counts_K) & (test_K > 0), test_K if mean_over.each == "image" else 1.0, 0.0)
    return weights_K / max(1.0, float(weights_K.sum()))


def crossed_streams(seeds: Sequence[SeedTriple]) -> tuple[int, int] | None:
    """Return which two streams of seeds (0 subset, 1 generator, 2 classifier) cross, None where draws are independent.

    They are where one stream never repeats: it is new in every draw. A third stream that varies too is averaged over.
    """
    levels = [len({triple[stream] for triple in seeds}) for stream in range(3)]
    varying = [stream for stream in range(3) if levels[stream] > 1]
    if len(varying) < 2 or levels[0] == len(seeds) or (levels[0] == 1 and max(levels) == len(seeds)):
        return None
    return varying[0], varying[-1]


def _differences(estimated: Pairs) -> list[Difference]:
    """Return the differences of pairs that have a seed in common, with their intervals."""
    fulls, over_seeds = full_intervals(estimated.estimates), seeds_intervals(estimated.estimates)
    differences: list[Difference] = []
    for index, pair in enumerate(estimated.pairs):
        values, why_no_images = list(pair.differences.values()), estimated.image_reasons[index]
        p = float(estimated.p_P[index])
        spread, known = deviation(values), math.isfinite(p)
        reason = why_no_images or ("" if known else ONE_SEED if spread is None else HOLES)
        differences.append(
            Difference(
                mean=mean(values),
                std=spread,
                n=len(values),
                seeds_interval=over_seeds[index],
                full_interval=None if why_no_images else fulls[index],
                run_interval=_of_images(estimated, index) if spread is None and not why_no_images else None,
                p=p if known else None,
                df=float(estimated.estimates.df_P[index]) if known else None,
                image_variance=float(estimated.estimates.image_variance_P[index]),
                interval_reason=reason,
            )
        )
    return differences


def _difference(first: float, second: float) -> float:
    """Return first - second: 0 where they differ by rounding alone, which no test must take for a difference."""
    difference = first - second
    return 0.0 if abs(difference) <= ROUNDING * max(abs(first), abs(second)) else difference


def _paired_seeds(first: Signature, second: Signature) -> tuple[Seeds, ...]:
    """Return the seeds that two rows share, each pair of measurements once."""
    of_second = dict(second)
    distinct: dict[tuple[Seeds, Seeds], Seeds] = {}
    for seeds, measurement in first:
        if seeds in of_second:
            distinct.setdefault((measurement, of_second[seeds]), seeds)
    return tuple(distinct.values())


def _pair(
    differences: Mapping[Seeds, float], images: _Images | str, first: RowName, second: RowName
) -> tuple[Pair, str]:
    """Return a pair, and why the part of test images is not known, "" where it is."""
    same = not any(differences.values())
    if isinstance(images, str):
        return Pair(differences=differences, identical=same, ahead=None), images
    if first not in images.rows or second not in images.rows:
        return Pair(differences=differences, identical=same, ahead=None), NO_OUTCOMES
    a, b = images.rows[first], images.rows[second]
    ahead_RR = images.moments.ahead_RR
    pair = Pair(
        differences=differences,
        identical=not images.moments.differing_RR[a, b],
        ahead=(int(ahead_RR[a, b]), int(ahead_RR[b, a])),
    )
    known = math.isfinite(images.moments.image_variance_WRR[images.weighting, a, b])
    return pair, "" if known else FEW_IMAGES


def _of_images(pairs: Pairs, index: int) -> Interval:
    """Return the interval of one seed, over test images alone."""
    from scipy.special import ndtri

    estimates = pairs.estimates
    half_width = float(ndtri(0.975)) * math.sqrt(float(estimates.image_variance_P[index]))
    return Interval.around(float(estimates.mean_P[index]), half_width)
