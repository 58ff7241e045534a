"""What the paper's eight data sets say of gains by generated images against similarity (Guo et al., Table 5, Figure 7).

    gain in per cent of the accuracy without = amplitude * exp(-rate * SSIM-supSubCls)

The paper prints f(x) = 0.94^(202.74 x - 79.92). That is the least-squares fit with its base rounded from 0.9373 to
0.94, which costs it: R^2 is 0.83 instead of 0.875. Its "MAE" is a median, its second "R^2" a squared correlation. An
association over eight data sets, of which one decides: no cause, and no threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from balancebench import Relation

__all__ = [
    "GUIDED_DIFFUSION",
    "LEAST_SQUARES",
    "PRINTED",
    "PUBLISHED",
    "RELATION",
    "Curve",
    "Observation",
    "fit",
    "left_out",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A data set of the paper: its SSIM-supSubCls, and accuracies in per cent without and with chosen images.

    They are of ResNet-18, of the best validation epoch.
    """

    dataset: str
    similarity: float
    accuracy: float
    chosen_accuracy: float

    @property
    def gain(self) -> float:
        """The gain in per cent of the accuracy without."""
        return 100 * (self.chosen_accuracy - self.accuracy) / self.accuracy


PUBLISHED: Sequence[Observation] = (
    Observation(dataset="UTKFace", similarity=0.3834, accuracy=82.31, chosen_accuracy=84.29),
    Observation(dataset="Birds", similarity=0.3742, accuracy=52.12, chosen_accuracy=54.50),
    Observation(dataset="Insects", similarity=0.3115, accuracy=61.23, chosen_accuracy=61.70),
    Observation(dataset="scene", similarity=0.2625, accuracy=90.12, chosen_accuracy=90.65),
    Observation(dataset="flowers", similarity=0.1652, accuracy=64.14, chosen_accuracy=80.00),
    Observation(dataset="Fungi", similarity=0.0880, accuracy=50.00, chosen_accuracy=75.00),
    Observation(dataset="Reptiles", similarity=0.0793, accuracy=28.21, chosen_accuracy=41.03),
    Observation(dataset="Amphibians", similarity=0.0792, accuracy=20.00, chosen_accuracy=36.67),
)
"""The transitional cGAN's."""

GUIDED_DIFFUSION: Sequence[Observation] = (
    Observation(dataset="Birds", similarity=0.3742, accuracy=52.12, chosen_accuracy=55.03),
    Observation(dataset="scene", similarity=0.2625, accuracy=90.12, chosen_accuracy=90.24),
    Observation(dataset="Fungi", similarity=0.0880, accuracy=50.00, chosen_accuracy=69.44),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """amplitude * exp(-rate * similarity), in per cent of the accuracy without generated images."""

    amplitude: float
    rate: float

    def gain(self, similarity: float) -> float:
        """Return the relative gain in per cent."""
        return float(self.amplitude * np.exp(-self.rate * similarity))

    def errors(self, observations: Sequence[Observation]) -> NDArray[np.float64]:
        """Return the gains seen less those of the curve, in points."""
        return np.array([seen.gain - self.gain(seen.similarity) for seen in observations])

    def r_squared(self, observations: Sequence[Observation]) -> float:
        """Return the share of the gains' variance that the curve explains."""
        gains = np.array([seen.gain for seen in observations])
        return float(1 - (self.errors(observations) ** 2).sum() / ((gains - gains.mean()) ** 2).sum())

    def squared_correlation(self, observations: Sequence[Observation]) -> float:
        """Return the squared correlation of the gains with the curve's, which forgives any scale and offset."""
        curve = [self.gain(seen.similarity) for seen in observations]
        return float(np.corrcoef(curve, [seen.gain for seen in observations])[0, 1] ** 2)


LEAST_SQUARES = Curve(amplitude=176.61, rate=13.128)
PRINTED = Curve(amplitude=float(0.94**-79.92), rate=float(-202.74 * np.log(0.94)))

RELATION = Relation(
    metric="ssim_super_sub_classes",
    title="SSIM-supSubCls of the training subset",
    name="176.6 exp(-13.1 x): least squares over the eight data sets of Guo et al. 2023",
    gain=LEAST_SQUARES.gain,
    seen=(min(seen.similarity for seen in PUBLISHED), max(seen.similarity for seen in PUBLISHED)),
)


def fit(observations: Sequence[Observation]) -> Curve:
    """Return the least-squares curve."""
    from scipy.optimize import curve_fit

    similarities = np.array([seen.similarity for seen in observations])
    gains = np.array([seen.gain for seen in observations])

    def gain(similarity: NDArray[np.float64], amplitude: float, rate: float) -> NDArray[np.float64]:
        return amplitude * np.exp(-rate * similarity)

    (amplitude, rate), _ = curve_fit(gain, similarities, gains, p0=(100.0, 10.0), maxfev=10_000)
    return Curve(amplitude=float(amplitude), rate=float(rate))


def left_out(observations: Sequence[Observation]) -> dict[str, float]:
    """Return what the curve of all other data sets gives for each: how it predicts what it has not seen."""
    return {
        seen.dataset: fit([other for other in observations if other is not seen]).gain(seen.similarity)
        for seen in observations
    }
