"""Near-duplicates of test images among the training images, against hand-made images and a slow reference."""

from typing import Any

import numpy as np
import pytest

from balancebench import LabelledImages, SubsetEvaluation, Undefined
from balancebench.builtin.metrics import near_duplicates
from balancebench.builtin.metrics.components import METRICS
from balancebench.builtin.metrics.near_duplicates import difference_hashes
from balancebench.large_images import ImageRows, rows_of

(COMPONENT,) = (component for component in METRICS if component.name == "near_duplicates")


def share(train_NCHW, test_NCHW, **options: Any) -> Any:
    train = LabelledImages(
        images_NCHW=train_NCHW, labels_N=np.zeros(len(train_NCHW), dtype=np.int64), class_names=("one",)
    )
    evaluation = SubsetEvaluation(train=train, test_images_NCHW=test_NCHW, device="cpu")
    return COMPONENT.create(COMPONENT.options(**options))(evaluation)


def image_of(bits_RL, level: int = 128) -> np.ndarray:
    """Return a grey image of 8 rows and 9 columns, (1, 1, 8, 9), whose hash has these bits, and no equal neighbours."""
    steps_RL = np.where(bits_RL, 10, -10)
    return (level + np.pad(np.cumsum(steps_RL, axis=1), ((0, 0), (1, 0)))).astype(np.uint8)[None, None]


def random_bits(seed: int) -> np.ndarray:
    """Return bits (8, 8); two of different seeds differ in about half of them, also when one is mirrored."""
    return np.random.default_rng(seed).random((8, 8)) < 0.5


def flipped(bits_RL, count: int) -> np.ndarray:
    """Return the bits with the first `count` of them turned over."""
    turned_RL = bits_RL.copy()
    turned_RL.ravel()[:count] ^= True
    return turned_RL


def reference_bits(image_CHW) -> np.ndarray:
    """Return the 64 bits of an image's difference hash, by sums over cells of the enlarged image."""
    weights_C = [299, 587, 114] if len(image_CHW) == 3 else [1]
    grey_HW = np.tensordot(np.array(weights_C), image_CHW.astype(np.int64), axes=1)
    height, width = grey_HW.shape
    cells_RL = grey_HW.repeat(8, axis=0).repeat(9, axis=1).reshape(8, height, 9, width).sum(axis=(1, 3))
    return (cells_RL[:, :-1] < cells_RL[:, 1:]).ravel()


def reference_share(train_NCHW, test_NCHW, distance: int) -> float:
    """Return the share by its definition, pair by pair."""
    train_bits = [reference_bits(image) for image in train_NCHW]

    def is_near(image) -> bool:
        bits = reference_bits(image)
        return any(
            np.array_equal(image, other)
            or (8 <= sum(bits) <= 56 and 8 <= sum(other_bits) <= 56 and sum(bits != other_bits) <= distance)
            for other, other_bits in zip(train_NCHW, train_bits, strict=True)
        )

    return sum(is_near(image) or is_near(image[:, :, ::-1]) for image in test_NCHW) / len(test_NCHW)


@pytest.mark.parametrize(
    "shape", [(1, 8, 9), (1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 13, 10), (1, 5, 7), (1, 1, 1)], ids=str
)
def test_hashes_are_those_of_exact_arithmetic(shape):
    # Few levels, so that neighbours are often equal, which rounding would turn into either.
    images_NCHW = np.random.default_rng(0).integers(0, 3, (4, *shape), dtype=np.uint8) * 80
    expected_NB = np.array([reference_bits(image_CHW) for image_CHW in images_NCHW])
    hashes_N = difference_hashes(images_NCHW)
    assert hashes_N.dtype == np.uint64
    np.testing.assert_array_equal(np.unpackbits(hashes_N.view(np.uint8).reshape(-1, 8), axis=1), expected_NB)


def test_a_bit_says_that_the_image_gets_brighter_to_the_right():
    rising_HW = np.tile(np.arange(9, dtype=np.uint8), (8, 1))
    images_NCHW = np.stack([rising_HW, rising_HW[:, ::-1], np.full((8, 9), 200, dtype=np.uint8)])[:, None]
    assert np.bitwise_count(difference_hashes(images_NCHW)).tolist() == [64, 0, 0]


def test_colours_count_as_bright_as_they_look():
    # Red falls by 20 where green rises by 11: 0.299 * 20 = 5.98 below 0.587 * 11 = 6.457.
    columns = np.arange(9)
    red, green, blue = (np.tile(line, (8, 1)) for line in (200 - 20 * columns, 11 * columns, 0 * columns))
    image_CHW = np.stack([red, green, blue]).astype(np.uint8)
    assert np.bitwise_count(difference_hashes(image_CHW[None])).tolist() == [64]


@pytest.mark.parametrize(("distance", "expected"), [(0, 0.25), (1, 0.25), (2, 0.5), (3, 0.75), (64, 1.0)])
def test_the_share_of_test_images_within_the_distance(distance, expected):
    train_NCHW = np.concatenate([image_of(random_bits(0)), image_of(random_bits(1))])
    # At distances 0 (of another brightness), 2, 3 and far from both.
    test_NCHW = np.concatenate(
        [
            image_of(random_bits(0), level=140),
            image_of(flipped(random_bits(1), 2)),
            image_of(flipped(random_bits(0), 3)),
            image_of(random_bits(2)),
        ]
    )
    assert share(train_NCHW, test_NCHW, distance=distance) == expected


def test_the_distance_is_two_bits_where_left_out():
    train_NCHW = image_of(random_bits(0))
    test_NCHW = np.concatenate([image_of(flipped(random_bits(0), count)) for count in (2, 3)])
    assert share(train_NCHW, test_NCHW) == 0.5


def test_mirrored_images_are_near_duplicates():
    train_NCHW = image_of(random_bits(0))
    test_NCHW = np.concatenate([image_of(flipped(random_bits(0), 1)), image_of(random_bits(3))])[..., ::-1]
    assert share(train_NCHW, test_NCHW, distance=1) == 0.5


def test_flat_images_are_near_their_copies_alone():
    seven_set_RL = flipped(np.zeros((8, 8), dtype=bool), 7)
    for bits_RL in (seven_set_RL, ~seven_set_RL):
        train_NCHW = image_of(bits_RL)
        test_NCHW = np.concatenate([image_of(bits_RL, level=129), train_NCHW, train_NCHW[..., ::-1]])
        assert share(train_NCHW, test_NCHW) == pytest.approx(2 / 3)


def test_eight_bits_are_enough_to_tell_an_image_by():
    eight_set_RL = flipped(np.zeros((8, 8), dtype=bool), 8)
    for bits_RL in (eight_set_RL, ~eight_set_RL):
        assert share(image_of(bits_RL), image_of(bits_RL, level=129), distance=0) == 1.0


def test_a_flat_image_is_not_near_one_that_is_not():
    seven_set_RL, eight_set_RL = (flipped(np.zeros((8, 8), dtype=bool), count) for count in (7, 8))
    assert share(image_of(eight_set_RL), image_of(seven_set_RL), distance=1) == 0.0
    assert share(image_of(seven_set_RL), image_of(eight_set_RL), distance=1) == 0.0


def test_blank_images_of_different_greys_are_no_near_duplicates():
    def blank(grey):
        return np.full((1, 3, 20, 20), grey, dtype=np.uint8)

    assert share(blank(10), blank(11)) == 0.0
    assert share(blank(10), blank(10)) == 1.0


def alike_images(channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return training and test images of 11x14: of some the noise is weak, some are mirrored, copies, or flat."""
    rng = np.random.default_rng(channels)
    train_NCHW = rng.integers(0, 256, (12, channels, 11, 14))
    train_NCHW[-3:] = np.array([0, 130, 131])[:, None, None, None]
    noise_NCHW = rng.normal(0, 1, (24, *train_NCHW.shape[1:])) * rng.choice([0, 2, 15, 60], (24, 1, 1, 1))
    test_NCHW = np.concatenate([train_NCHW, train_NCHW[..., ::-1]]) + noise_NCHW
    return train_NCHW.astype(np.uint8), test_NCHW.clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("distance", [0, 2, 5, 20, 64])
def test_the_share_follows_its_definition_pair_by_pair(channels, distance):
    train_NCHW, test_NCHW = alike_images(channels)
    assert share(train_NCHW, test_NCHW, distance=distance) == reference_share(train_NCHW, test_NCHW, distance)


def test_images_are_read_and_compared_a_block_at_a_time(monkeypatch):
    train_NCHW, test_NCHW = alike_images(3)
    expected = share(train_NCHW, test_NCHW, distance=5)
    longest = 3 * train_NCHW[0].nbytes
    monkeypatch.setattr("balancebench.large_images.CHUNK_BYTES", longest)
    monkeypatch.setattr(near_duplicates, "BLOCK", 5)
    read = []
    read_rows = ImageRows.read

    def watched_read(self, rows_M, into_MCHW):
        read.append(into_MCHW.nbytes)
        read_rows(self, rows_M, into_MCHW)

    monkeypatch.setattr(ImageRows, "read", watched_read)
    assert share(rows_of(train_NCHW), rows_of(test_NCHW), distance=5) == expected
    assert 0 < max(read) <= longest


def test_without_test_images_the_share_is_undefined_and_without_training_images_none_is_a_duplicate():
    images_NCHW = image_of(random_bits(0))
    assert share(images_NCHW, images_NCHW[:0]) == Undefined("there are no test images")
    assert share(images_NCHW[:0], images_NCHW) == 0.0
