"""The formulae, against independent implementations, loops written out, and cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from balancebench_quality import blocks
from balancebench_quality.blocks import kth_neighbour_distances, nearest_distances, neighbours_within
from balancebench_quality.frechet_metric import Fid
from balancebench_quality.kernel import Kid
from balancebench_quality.manifold import Coverage, Density, GenerativePrecision, GenerativeRecall
from balancebench_quality.options import FrechetOptions, KynkaanniemiOptions, NaeemOptions, PairOptions

CPU = torch.device("cpu")


OVERLAPS = {
    GenerativePrecision: KynkaanniemiOptions,
    GenerativeRecall: KynkaanniemiOptions,
    Density: NaeemOptions,
    Coverage: NaeemOptions,
}


def fid(real_ND, generated_ND, correction="none") -> float:
    return Fid(FrechetOptions(correction=correction)).compare(real_ND, generated_ND, CPU)


def kid(real_ND, generated_ND) -> float:
    return Kid(PairOptions()).compare(real_ND, generated_ND, CPU)


def overlaps(real_ND, generated_ND, k) -> list[float]:
    """Return precision, recall, density and coverage."""
    return [metric(options(k=k)).compare(real_ND, generated_ND, CPU) for metric, options in OVERLAPS.items()]


def test_fid_is_that_of_torchmetrics(make_features):
    from torchmetrics.image.fid import _compute_fid

    real_ND, generated_ND = make_features(80, features=16), make_features(70, features=16, seed=1)
    arguments = []
    for features in (real_ND, generated_ND):
        tensor = torch.from_numpy(features).double()
        arguments += [tensor.mean(dim=0), tensor.T.cov()]
    assert fid(real_ND, generated_ND) == pytest.approx(float(_compute_fid(*arguments)), rel=1e-6)


def test_fid_of_few_images_is_too_high_and_the_extrapolated_one_is_nearer_to_the_truth(make_features):
    real_ND = make_features(3_000, features=16)
    truth = 0.0  # both sets are of one distribution
    plain, extrapolated = [], []
    for seed in range(1, 6):
        generated_ND = make_features(200, features=16, seed=seed)
        plain.append(fid(real_ND, generated_ND))
        extrapolated.append(fid(real_ND, generated_ND, "extrapolated"))
    assert min(plain) > 0.5
    assert abs(np.mean(extrapolated) - truth) < 0.4 * np.mean(plain)


def test_extrapolated_fid_is_the_intercept_over_one_by_n(monkeypatch, make_features):
    from balancebench_quality import frechet_metric

    monkeypatch.setattr(frechet_metric, "moments_of", len)
    monkeypatch.setattr(frechet_metric, "frechet_distance", lambda _, count: 2.5 + 30 / count)
    assert fid(make_features(30), make_features(100), "extrapolated") == pytest.approx(2.5)


def test_kid_is_the_double_loop(make_features):
    real_ND, generated_MD = make_features(12).astype(np.float64), make_features(9, seed=1).astype(np.float64)

    def kernel(x, y):
        return (x @ y / 8 + 1) ** 3

    within_real = [kernel(x, y) for i, x in enumerate(real_ND) for j, y in enumerate(real_ND) if i != j]
    within_made = [kernel(x, y) for i, x in enumerate(generated_MD) for j, y in enumerate(generated_MD) if i != j]
    between = [kernel(x, y) for x in real_ND for y in generated_MD]
    expected = np.mean(within_real) + np.mean(within_made) - 2 * np.mean(between)
    assert kid(make_features(12), make_features(9, seed=1)) == pytest.approx(expected, rel=1e-9)


def test_kid_is_that_of_torchmetrics(make_features):
    from torchmetrics.image.kid import poly_mmd

    real_ND, generated_ND = make_features(40), make_features(40, seed=1, shift=1.0)
    expected = poly_mmd(torch.from_numpy(real_ND).double(), torch.from_numpy(generated_ND).double())
    assert kid(real_ND, generated_ND) == pytest.approx(float(expected), rel=1e-9)


def test_kid_of_one_distribution_is_around_nothing_for_few_images_too(make_features):
    scale = kid(make_features(30), make_features(30, seed=1, shift=1.0))
    values = [kid(make_features(30), make_features(30, seed=seed)) for seed in range(1, 41)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 0.2 * scale


def brute_force(real_ND, generated_ND, k):
    """Return precision, recall, density and coverage by their definitions."""

    def distance(x, y):
        return float(np.sqrt(((x.astype(np.float64) - y.astype(np.float64)) ** 2).sum()))

    def radius(features, index):
        others = [distance(features[index], other) for j, other in enumerate(features) if j != index]
        return sorted(others)[k - 1]

    real_radii = [radius(real_ND, index) for index in range(len(real_ND))]
    made_radii = [radius(generated_ND, index) for index in range(len(generated_ND))]
    around = [
        [distance(generated, real) <= r for real, r in zip(real_ND, real_radii, strict=True)]
        for generated in generated_ND
    ]
    back = [
        [distance(real, generated) <= r for generated, r in zip(generated_ND, made_radii, strict=True)]
        for real in real_ND
    ]
    return (
        np.mean([any(row) for row in around]),
        np.mean([any(row) for row in back]),
        np.sum(around) / (k * len(generated_ND)),
        np.mean([any(row[index] for row in around) for index in range(len(real_ND))]),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_recall_density_and_coverage_are_the_loops(make_features, k):
    real_ND, generated_ND = make_features(25, features=3), make_features(20, features=3, seed=1, shift=3.0)
    expected = brute_force(real_ND, generated_ND, k)
    values = overlaps(real_ND, generated_ND, k)
    assert values == pytest.approx(expected, abs=1e-12)
    assert all(0 < value < 1 for value in values[:2]), "the sets overlap in part, so that the loops say something"


def test_the_overlap_of_points_on_a_line_is_known():
    real_ND = np.array([[0.0], [1.0], [3.0], [7.0]], dtype=np.float32)  # balls of k = 1: radii 1, 1, 2, 4
    generated_ND = np.array([[-0.5], [4.0], [20.0]], dtype=np.float32)  # radii 4.5, 4.5, 16
    assert kth_neighbour_distances(real_ND, 1, CPU).tolist() == pytest.approx([1, 1, 2, 4])
    # -0.5 lies in the ball of 0; 4 in those of 3 and of 7; 20 in none
    assert neighbours_within(real_ND, np.array([1.0, 1, 2, 4]), generated_ND, CPU).tolist() == [1, 2, 0]
    precision, recall, density, coverage = overlaps(real_ND, generated_ND, 1)
    assert precision == pytest.approx(2 / 3)
    assert density == pytest.approx(3 / 3)
    assert coverage == pytest.approx(3 / 4)  # the balls of 0, 3 and 7
    assert recall == pytest.approx(1.0)  # 0, 1, 3 near -0.5; 7 within 4.5 of 4


def test_a_point_on_the_border_of_a_ball_lies_in_it():
    real_ND = np.array([[0.0], [2.0], [100.0]], dtype=np.float32)
    border_ND = np.array([[-2.0], [4.0]], dtype=np.float32)
    assert neighbours_within(real_ND, np.array([2.0, 2.0, 98.0]), border_ND, CPU).tolist() == [1, 2]


def test_copies_lie_at_no_distance_though_far_from_the_origin():
    features_ND = (np.random.default_rng(0).normal(0, 1e-3, (500, 64)) + 1000).astype(np.float32)
    assert nearest_distances(features_ND[:50], features_ND, CPU).max() < 1e-6
    apart = np.sort(np.linalg.norm(features_ND[0].astype(np.float64) - features_ND[1:], axis=1))
    assert kth_neighbour_distances(features_ND, 2, CPU)[0] == pytest.approx(apart[1], rel=1e-4)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_results_do_not_depend_on_the_size_of_blocks(make_features, monkeypatch, rows):
    real_ND, generated_ND = make_features(33), make_features(21, seed=1)

    def numbers():
        return [
            *overlaps(real_ND, generated_ND, 3),
            kid(real_ND, generated_ND),
            *kth_neighbour_distances(real_ND, 3, CPU),
        ]

    whole = numbers()
    monkeypatch.setattr(blocks, "MOST_ROWS", rows)
    assert numbers() == pytest.approx(whole, rel=1e-9)


def test_no_block_is_larger_than_its_limit(make_features, monkeypatch):
    monkeypatch.setattr(blocks, "MOST_VALUES", 800)
    shapes = [
        tuple(products.shape) for *_, products in blocks.inner_products(make_features(350), make_features(250), CPU)
    ]
    assert {shape[0] for shape in shapes} == {100, 50}  # 800 values are 100 rows of 8 features
    assert len(shapes) == 4 * 3
