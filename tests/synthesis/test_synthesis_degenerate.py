"""Degenerate images are told from real ones by three figures, and what mixes or redraws real images is not."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest

from balancebench import LabelledImages, Origin
from balancebench.large_images import ImageRows
from balancebench.synthesis import degenerate
from balancebench.synthesis.degenerate import ImageFigures, degeneracy_warnings, image_figures

SIDE = 24


def scenes(count, label, seed, channels=1):
    """Blobs at a place of the class, of random size, brightness and jitter: images as alike as those of a class are."""
    rng = np.random.default_rng([seed, label])
    rows, columns = np.mgrid[:SIDE, :SIDE]
    centre_N2 = np.array([6 + 5 * label, 12]) + rng.normal(0, 1.5, (count, 2))
    width_N, level_N = rng.uniform(2, 5, count), rng.uniform(90, 230, (count, channels))
    squared_NHW = (rows - centre_N2[:, 0, None, None]) ** 2 + (columns - centre_N2[:, 1, None, None]) ** 2
    blob_NHW = np.exp(-squared_NHW / (2 * width_N[:, None, None] ** 2))
    images = 20 + level_N[:, :, None, None] * blob_NHW[:, None] + rng.normal(0, 6, (count, channels, SIDE, SIDE))
    return images.clip(0, 255).astype(np.uint8)


def labelled(parts, origin=Origin.REAL):
    labels_N = np.repeat(np.arange(len(parts)), [len(part) for part in parts]).astype(np.int64)
    return LabelledImages(
        images_NCHW=np.concatenate(parts),
        labels_N=labels_N,
        class_names=tuple(f"class {label}" for label in range(len(parts))),
        origin_N=np.full(len(labels_N), origin, dtype=np.uint8),
    )


def generated(*parts):
    return labelled(parts, Origin.SYNTHETIC)


@pytest.fixture
def train():
    return labelled([scenes(count, label, 0) for label, count in enumerate((60, 25, 20))])


def nothing(channels=1):
    return np.empty((0, channels, SIDE, SIDE), dtype=np.uint8)


def test_other_real_images_are_1_and_1_and_1_and_draw_no_warning(train):
    figures_K = image_figures(generated(*(scenes(200, label, 1) for label in range(3))), train)
    for figures in figures_K:
        assert figures.contrast == pytest.approx(1, abs=0.2)
        assert figures.spread == pytest.approx(1, abs=0.25)
        assert figures.distance == pytest.approx(1, abs=0.25)
    assert degeneracy_warnings(figures_K) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_one_grey_are_flat_and_identical(channels):
    train = labelled([scenes(20, label, 0, channels) for label in range(2)])
    grey = np.full((30, channels, SIDE, SIDE), 128, dtype=np.uint8)
    grey[:] += np.arange(channels, dtype=np.uint8)[:, None, None] * 40  # brown is as flat as grey
    figures_K = image_figures(generated(nothing(channels), grey), train)
    assert figures_K[0] is None, "no image of that class was made"
    assert figures_K[1].contrast == pytest.approx(0, abs=1e-5)
    assert figures_K[1].spread == pytest.approx(0, abs=1e-5)
    flat, identical = degeneracy_warnings(figures_K)[:2]
    assert flat == "flat images in 1 of 1 classes: contrast 0.00 of the real images'"
    assert identical == "near-identical images in 1 of 1 classes: spread 0.00 of the real images'"


def test_copies_of_one_image_with_a_little_noise_are_near_identical(train):
    rng = np.random.default_rng(0)
    copies = scenes(1, 1, 1).astype(int) + rng.integers(-3, 4, (40, 1, SIDE, SIDE))
    figures_K = image_figures(
        generated(scenes(40, 0, 1), copies.clip(0, 255).astype(np.uint8), scenes(40, 2, 1)), train
    )
    assert figures_K[1].contrast > 0.5
    assert 0 < figures_K[1].spread < 0.1
    assert degeneracy_warnings(figures_K) == [
        f"near-identical images in 1 of 3 classes: spread {figures_K[1].spread:.2f} of the real images'"
    ]


def test_noise_is_far_from_images_that_are_alike(train):
    noise = np.random.default_rng(0).integers(0, 256, (50, 1, SIDE, SIDE), dtype=np.uint8)
    figures_K = image_figures(generated(noise, noise, noise), train)
    assert all(figures.distance > degenerate.LARGEST_DISTANCE for figures in figures_K)
    (line,) = degeneracy_warnings(figures_K)
    assert line.startswith("far-off images in 3 of 3 classes: ")


def test_mixtures_of_real_images_as_smote_makes_them_are_not_marked(train):
    rng = np.random.default_rng(0)
    parts = []
    for label in range(3):
        real = train.images_NCHW[train.labels_N == label].astype(float)
        squared = ((real[:, None] - real[None]) ** 2).sum(axis=(2, 3, 4))
        first = rng.integers(0, len(real), 80)
        second = squared.argsort(axis=1)[first, rng.integers(1, 6, 80)]
        share = rng.random((80, 1, 1, 1))
        parts.append((real[first] + share * (real[second] - real[first])).astype(np.uint8))
    figures_K = image_figures(generated(*parts), train)
    assert degeneracy_warnings(figures_K) == []
    assert all(figures.distance < 1 for figures in figures_K), "they lie between real images"


def test_the_figures_are_those_of_their_definitions():
    rng = np.random.default_rng(4)
    real, new = (rng.integers(0, 256, (7, 3, 12, 9), dtype=np.uint8) for _ in range(2))
    (figures,) = image_figures(generated(new), labelled([real]))

    def means(images, value):
        return np.mean([value(image) for image in images])

    def contrast(image):
        return np.mean([channel.std() for channel in image.astype(float)])

    assert figures.contrast == pytest.approx(means(new, contrast) / means(real, contrast), rel=1e-4)
    assert figures.spread == pytest.approx(new.std(axis=0).mean() / real.std(axis=0).mean(), rel=1e-4)
    apart = [min(np.linalg.norm(image.astype(float) - other) for other in real) for image in new]
    among = [min(np.linalg.norm(real[i].astype(float) - real[j]) for j in range(7) if j != i) for i in range(7)]
    assert figures.distance == pytest.approx(np.median(apart) / np.median(among), rel=1e-4)


@pytest.mark.parametrize("side", [17, 28, 32, 40, 64])
def test_large_images_are_averaged_over_areas_to_16_at_most(side):
    rng = np.random.default_rng(0)
    images_NCHW = rng.integers(0, 256, (3, 1, side, side + 5), dtype=np.uint8)
    small_NCHW = degenerate._small(labelled([images_NCHW]), np.arange(3))
    assert max(small_NCHW.shape[2:]) <= 16
    block = [-(-length // 16) for length in (side, side + 5)]
    first = images_NCHW[:, :, : block[0], : block[1]].mean(axis=(2, 3)) / 255
    np.testing.assert_allclose(small_NCHW[:, :, 0, 0], first, rtol=1e-5)
    last_row = (small_NCHW.shape[2] - 1) * block[0]
    last = images_NCHW[:, :, last_row:, : block[1]].mean(axis=(2, 3)) / 255
    np.testing.assert_allclose(small_NCHW[:, :, -1, 0], last, rtol=1e-5)


def test_a_class_of_few_real_images_is_compared_with_all_classes():
    train = labelled([scenes(40, 0, 0), scenes(degenerate.ENOUGH_REAL - 1, 1, 0), nothing()])
    parts = [scenes(30, label, 1) for label in range(3)]
    figures_K = image_figures(generated(*parts), train)
    everything = labelled([train.images_NCHW])
    for label in (1, 2):
        assert figures_K[label] == image_figures(generated(parts[label]), everything)[0]
    assert figures_K[0] == image_figures(generated(parts[0]), labelled([train.images_NCHW[:40]]))[0]


def test_only_images_of_origin_synthetic_are_looked_at(train):
    repeated = train.take(np.zeros(30, dtype=np.int64), origin=Origin.REPEATED)
    assert image_figures(repeated, train) == (None, None, None)
    assert degeneracy_warnings((None, None, None)) == []


@pytest.mark.parametrize(
    ("real", "new"),
    [
        (np.zeros((1, 1, 4, 4), np.uint8), np.zeros((1, 1, 4, 4), np.uint8)),
        (np.full((9, 1, 4, 4), 77, np.uint8), np.full((9, 1, 4, 4), 200, np.uint8)),
        (np.zeros((9, 3, 1, 1), np.uint8), np.full((2, 3, 1, 1), 200, np.uint8)),
    ],
)
def test_what_cannot_be_told_is_none_and_never_fails_or_warns(real, new):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (figures,) = image_figures(generated(new), labelled([real]))
    assert figures == ImageFigures(contrast=None, spread=None, distance=None)


def test_without_any_real_image_nothing_can_be_told():
    assert image_figures(generated(scenes(9, 0, 0)), labelled([nothing()])) == (None,)


def test_few_made_images_have_no_spread(train):
    figures_K = image_figures(generated(scenes(4, 0, 1), scenes(5, 1, 1), nothing()), train)
    assert figures_K[0].spread is None
    assert figures_K[1].spread is not None


def test_large_sets_are_read_only_where_they_are_looked_at_and_the_same_images_each_time():
    images_NCHW = np.concatenate([scenes(300, 0, seed) for seed in range(10)])
    read = []

    class Watched(ImageRows):
        def read(self, rows_M, into_MCHW):
            read.append(len(rows_M))
            super().read(rows_M, into_MCHW)

    train = labelled([scenes(60, 0, 99)])
    plain = generated(images_NCHW)
    large = LabelledImages(
        images_NCHW=Watched([images_NCHW], np.arange(3000)),
        labels_N=plain.labels_N,
        class_names=plain.class_names,
        origin_N=plain.origin_N,
    )
    assert image_figures(large, train) == image_figures(plain, train) == image_figures(plain, train)
    assert sum(read) == degenerate.IMAGES_COMPARED


def test_ten_classes_of_thousands_take_a_fraction_of_a_second():
    train = labelled([np.tile(scenes(200, label % 3, 0), (15, 1, 1, 1)) for label in range(10)])
    synthetic = generated(*(np.tile(scenes(200, label % 3, 1), (25, 1, 1, 1)) for label in range(10)))
    begin = time.process_time()
    image_figures(synthetic, train)
    assert time.process_time() - begin < 2, "it takes 0.1 s where nothing else runs"
