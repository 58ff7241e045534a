"""Intervals of mean differences between rows: over seeds, and over seeds and test images.

A mean difference m over S seeds is uncertain twice: other seeds would have given other subsets, generators and
initialisations, and other test images other scores. Squared half-widths of both are added:

    h^2 = max(t^2 V, z^2 r) + z^2 v        t at the difference's degrees of freedom, z normal, both two-sided

V is the variance of m over seeds, v that of other test images beyond what seeds show already, r the least that seeds
can vary: it keeps the interval from collapsing where seeds happen to agree. It is the crossed random-effects model of
radiology's reader studies (readers are seeds, cases are images; Obuchowski & Rockette 1995), with half-widths instead
of variances added, because few degrees of freedom pooled with many cover too little.

Axis suffix: P pairs of rows. Arrays are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LEVEL",
    "Estimates",
    "Interval",
    "full_intervals",
    "gap_interval",
    "half_widths",
    "p_values",
    "resampled_image_variance",
    "seeds_half_widths",
    "seeds_intervals",
]

LEVEL = 0.95
LARGEST_T = 1e150  # its square is finite, and times 0 it is 0
STEPS = 60  # of a bisection: double precision has 53 bits
GAP_TOO_UNCERTAIN = "the gap between floor and ceiling is too uncertain to divide by"
MOST_UNDEFINED = 0.05  # of the resamples
RESAMPLES_UNDEFINED = "the metric is undefined in too many resamples of the test images"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval of 95 %, low <= high, in the unit of the values it is of."""

    low: float
    high: float

    @classmethod
    def around(cls, centre: float, half_width: float) -> Interval:
        """Return centre +- half_width."""
        return cls(low=centre - half_width, high=centre + half_width)

    def excludes(self, value: float) -> bool:
        """Say whether a value lies outside."""
        return not self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """Mean differences of P pairs, and what makes them uncertain; a scalar array () is one pair.

    mean_P: NaN where there is none. seeds_variance_P: V, of the mean; NaN where there are fewer than two seeds. df_P:
    its degrees of freedom, >= 1 (S - 1, or Satterthwaite's of crossed seeds). image_variance_P: v >= 0.
    residual_variance_P: r >= 0.
    """

    mean_P: Floats
    seeds_variance_P: Floats
    df_P: Floats
    image_variance_P: Floats
    residual_variance_P: Floats

    @classmethod
    def of_one(cls, mean: float, seeds_variance: float, df: float, image: float = 0.0, rest: float = 0.0) -> Estimates:
        """Return the estimate of one pair."""
        parts = [np.float64(part) for part in (mean, seeds_variance, df, image, rest)]
        names = ("mean_P", "seeds_variance_P", "df_P", "image_variance_P", "residual_variance_P")
        return cls(**dict(zip(names, map(np.asarray, parts), strict=True)))

    @classmethod
    def joined(cls, parts: Sequence[Estimates]) -> Estimates:
        """Return the pairs of all parts, of which there is at least one, in their order."""
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )


def half_widths(estimates: Estimates, level: float = LEVEL) -> Floats:
    """Return h of seeds and test images, (P,); NaN where the variance over seeds is not known."""
    from scipy.special import ndtri, stdtrit

    tail = (1 - level) / 2
    t_P, z = -stdtrit(estimates.df_P, tail), -float(ndtri(tail))
    over_seeds_P = np.maximum(t_P**2 * estimates.seeds_variance_P, z**2 * estimates.residual_variance_P)
    return np.sqrt(over_seeds_P + z**2 * estimates.image_variance_P)


def seeds_half_widths(estimates: Estimates, level: float = LEVEL) -> Floats:
    """Return the half-widths over seeds alone, on these very test images, (P,)."""
    from scipy.special import stdtrit

    return -stdtrit(estimates.df_P, (1 - level) / 2) * np.sqrt(estimates.seeds_variance_P)


def full_intervals(estimates: Estimates) -> list[Interval | None]:
    """Return the interval over seeds and test images of each pair; None where there are fewer than two seeds."""
    return _intervals(estimates.mean_P, half_widths(estimates))


def seeds_intervals(estimates: Estimates) -> list[Interval | None]:
    """Return the interval over seeds alone of each pair; None where there are fewer than two."""
    return _intervals(estimates.mean_P, seeds_half_widths(estimates))


def _intervals(mean_P: Floats, half_P: Floats) -> list[Interval | None]:
    return [
        Interval.around(mean, half) if math.isfinite(half) else None
        for mean, half in zip(np.atleast_1d(mean_P).tolist(), np.atleast_1d(half_P).tolist(), strict=True)
    ]


def p_values(estimates: Estimates) -> Floats:
    """Return the two-sided p of each pair, (P,): the level a at which the interval of 1 - a ends at 0.

    1 where the mean is 0, 0 where it is not and nothing varies; NaN where the interval is not known.
    """
    from scipy.special import ndtr, stdtrit

    size_P = np.abs(estimates.mean_P)
    over_seeds_P, images_P = estimates.seeds_variance_P, estimates.image_variance_P

    def beyond(variance_P: Floats) -> Floats:
        """Return |m| in standard deviations; infinite where it does not vary."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(size_P == 0, 0.0, size_P / np.sqrt(variance_P))

    # h is the larger of two that fall as a rises, so that p is the larger of two.
    least_P = 2 * ndtr(-beyond(estimates.residual_variance_P + images_P))
    # t >= z: the z at which t^2 V + z^2 v = m^2 is no larger than |m| / sqrt(V + v).
    low_P, high_P = np.zeros_like(size_P), np.minimum(beyond(over_seeds_P + images_P), 37.0)
    for _ in range(STEPS):
        z_P = (low_P + high_P) / 2
        t_P = np.minimum(-stdtrit(estimates.df_P, ndtr(-z_P)), LARGEST_T)
        inside_P = np.hypot(t_P * np.sqrt(over_seeds_P), z_P * np.sqrt(images_P)) < size_P
        low_P, high_P = np.where(inside_P, z_P, low_P), np.where(inside_P, high_P, z_P)
    p_P = np.maximum(2 * ndtr(-(low_P + high_P) / 2), least_P)
    p_P = np.where(over_seeds_P + images_P + estimates.residual_variance_P == 0, least_P, p_P)
    return np.where(np.isnan(over_seeds_P) | np.isnan(estimates.mean_P), np.nan, np.where(size_P == 0, 1.0, p_P))


def gap_interval(gains: Sequence[float], rooms: Sequence[float]) -> Interval | str:
    """Return Fieller's interval of mean gain / mean room over n pairs, or why there is none (Fieller 1954).

    gains: row - floor of each seed. rooms: ceiling - floor of the same seeds.
    """
    from scipy.special import stdtrit

    n = len(gains)
    if n < 2:
        return "an interval needs two seeds"
    gain, room = math.fsum(gains) / n, math.fsum(rooms) / n

    def covariance(left: Sequence[float], right: Sequence[float]) -> float:
        products = [(a - math.fsum(left) / n) * (b - math.fsum(right) / n) for a, b in zip(left, right, strict=True)]
        return math.fsum(products) / (n - 1) / n

    squared_t = float(stdtrit(n - 1, (1 - LEVEL) / 2)) ** 2
    a = room**2 - squared_t * covariance(rooms, rooms)
    b = gain * room - squared_t * covariance(gains, rooms)
    c = gain**2 - squared_t * covariance(gains, gains)
    if a <= 0:
        return GAP_TOO_UNCERTAIN
    root = math.sqrt(max(0.0, b**2 - a * c))  # never negative where a > 0, but for rounding
    return Interval(low=(b - root) / a, high=(b + root) / a)


def resampled_image_variance(
    statistic: Callable[[NDArray[np.int64]], float | None],
    labels_N: NDArray[np.int64],
    *,
    seed: int,
    resamples: int = 1000,
) -> float | str:
    """Return v of a metric that is no weighted mean, by resampling test images within their classes, or why not.

    statistic: indices of N images, with repeats -> the mean over seeds of the difference, or None where it is undefined
    there. The same images are drawn for both rows and all seeds. v contains what images and seeds do together once more
    and is slightly too large.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels_N == label) for label in np.unique(labels_N)]
    drawn = [
        statistic(np.concatenate([rng.choice(images, size=len(images)) for images in members]))
        for _ in range(resamples)
    ]
    defined = [value for value in drawn if value is not None]
    if len(defined) < 2 or len(defined) < (1 - MOST_UNDEFINED) * resamples:
        return RESAMPLES_UNDEFINED
    return float(np.var(defined, ddof=1))
