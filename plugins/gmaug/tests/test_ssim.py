"""Structural similarity, against scikit-image and by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from balancebench import LabelledImages, Undefined
from balancebench.testing import tiny_subset_evaluation
from balancebench_gmaug.similarity import SsimMergeClasses, SsimSuperSubClasses, TooSmall, merged, super_sub
from balancebench_gmaug.ssim import C1, Windows
from balancebench_gmaug.ssim_options import SsimOptions, definition


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def photographs(count, size=48, seed=0, channels=3):
    """Smooth coloured noise with a flat corner: variances from nothing to large."""
    coarse = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, channels, 8, 8)).astype(np.uint8))
    images = torch.nn.functional.interpolate(coarse.float(), size=size, mode="bicubic").clamp(0, 255).round()
    images[:, :, : size // 3, : size // 3] = images[:, :, :1, :1]
    return images.to(torch.uint8)


def labelled(images, labels=None, superclasses=None):
    labels_N = np.zeros(len(images), dtype=np.int64) if labels is None else np.array(labels, dtype=np.int64)
    return LabelledImages(
        images_NCHW=np.asarray(images),
        labels_N=labels_N,
        class_names=tuple("abcdef"[: labels_N.max() + 1]),
        superclass_K=superclasses,
    )


@pytest.mark.parametrize(
    ("options", "theirs"),
    [
        ({}, {}),
        ({"covariance": "population"}, {"use_sample_covariance": False}),
        (
            {"window": "gaussian", "covariance": "population"},
            {"gaussian_weights": True, "use_sample_covariance": False},
        ),
        ({"window": "gaussian"}, {"gaussian_weights": True}),
    ],
)
def test_pairs_are_as_similar_as_scikit_image_says(options, theirs):
    from skimage.metrics import structural_similarity

    images = photographs(21)
    firsts, seconds = torch.arange(20), torch.arange(1, 21)
    ours = Windows.of(images, SsimOptions(**options)).similarity(firsts, seconds)
    expected = [
        structural_similarity(
            images[i].numpy(), images[i + 1].numpy(), channel_axis=0, data_range=255, sigma=1.5, **theirs
        )
        for i in range(20)
    ]
    np.testing.assert_allclose(ours, expected, atol=1e-6, rtol=0)


def test_two_flat_images_differ_by_their_means_alone():
    images = torch.stack([torch.full((3, 9, 9), level, dtype=torch.uint8) for level in (40, 200)])
    value = Windows.of(images, SsimOptions()).similarity(torch.tensor([0]), torch.tensor([1]))
    assert float(value) == pytest.approx((2 * 40 * 200 + C1) / (40**2 + 200**2 + C1), abs=1e-7)


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_an_image_is_as_similar_to_itself_as_can_be(window):
    value = Windows.of(photographs(3), SsimOptions(window=window)).similarity(torch.arange(3), torch.arange(3))
    np.testing.assert_allclose(value, 1, atol=1e-6)


def test_the_value_of_a_pair_does_not_move_with_its_batch():
    images, options = photographs(12), SsimOptions()
    together = Windows.of(images, options).similarity(torch.arange(11), torch.arange(1, 12))
    for index in range(11):
        alone = Windows.of(images[index : index + 2], options).similarity(torch.tensor([0]), torch.tensor([1]))
        assert float(alone) == float(together[index])


def test_no_image_is_paired_with_itself_and_all_others_as_often(monkeypatch):
    from balancebench_gmaug import similarity

    monkeypatch.setattr(similarity, "GROUP_IMAGES", 4)
    counts = np.zeros((10, 10))
    rng = np.random.default_rng(0)
    for _ in range(5000):
        for group_N, first_P, second_P in similarity._groups_and_pairs(10, rng):
            np.add.at(counts, (group_N[first_P], group_N[second_P]), 1)
    assert counts.sum() == 100_000
    assert np.trace(counts) == 0
    others = counts[~np.eye(10, dtype=bool)]
    assert abs(others / (100_000 / 90) - 1).max() < 0.15


def test_a_set_has_two_pairs_an_image_whatever_its_groups():
    from balancebench_gmaug.similarity import _groups_and_pairs

    for count in (2, 3, 511, 513, 1500):
        groups = list(_groups_and_pairs(count, np.random.default_rng(0)))
        assert sum(len(first_P) for _, first_P, _ in groups) == 2 * count
        assert sorted(np.concatenate([group_N for group_N, _, _ in groups])) == list(range(count))
        assert min(len(group_N) for group_N, _, _ in groups) >= 2


def test_a_set_is_the_mean_of_its_pairs():
    """With two images all pairs are one."""
    from skimage.metrics import structural_similarity

    images = photographs(2, size=64)
    expected = structural_similarity(images[0].numpy(), images[1].numpy(), channel_axis=0, data_range=255)
    similarity = merged(labelled(images), SsimOptions(size=64), "cpu")
    assert similarity.value == pytest.approx(expected, abs=1e-6)
    assert (similarity.images, similarity.pairs) == (2, 4)


def test_the_super_class_of_equal_images_is_found_and_those_of_one_image_are_skipped():
    images = photographs(11)
    images[4:8] = images[4]
    train = labelled(images, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5], ("cats", "cats", "dogs", "dogs", "birds", "one"))
    similarity = super_sub(train, SsimOptions(size=48), "cpu")
    assert similarity.value == pytest.approx(1, abs=1e-6)
    assert (similarity.set_name, similarity.images, similarity.pairs) == ("dogs", 4, 8)
    assert similarity.skipped == ("one",)
    assert similarity.standard_error == pytest.approx(0, abs=1e-6)
    assert merged(train, SsimOptions(size=48), "cpu").value < 0.9


def test_classes_are_their_own_super_classes_where_there_are_none():
    images = photographs(6)
    images[3:] = images[3]
    assert super_sub(labelled(images, [0, 0, 0, 1, 1, 1]), SsimOptions(size=48), "cpu").set_name == "b"


def test_the_standard_error_is_the_spread_over_fresh_sets():
    rng = np.random.default_rng(0)

    def drawn():
        levels = rng.integers(20, 236, 40).astype(np.uint8)
        return labelled(np.broadcast_to(levels[:, None, None, None], (40, 1, 12, 12)).copy())

    similarities = [merged(drawn(), SsimOptions(size="as_is", seed=seed), "cpu") for seed in range(120)]
    spread = np.std([similarity.value for similarity in similarities])
    said = np.mean([similarity.standard_error for similarity in similarities])
    assert 0.9 < said / spread < 1.75  # too large rather than too small: see the module


def test_of_a_large_set_no_more_pairs_are_taken_than_asked_for():
    train = labelled(photographs(60))
    few = merged(train, SsimOptions(size=48, most_pairs=20), "cpu")
    every = merged(train, SsimOptions(size=48), "cpu")
    assert (few.pairs, few.images, every.pairs) == (20, 60, 120)
    assert few.standard_error > every.standard_error
    assert abs(few.value - every.value) < 4 * few.standard_error
    assert merged(train, SsimOptions(size=48, most_pairs=120), "cpu") == every


def test_options_change_what_is_compared():
    train = labelled(photographs(8, size=96))
    values = {
        str(options): merged(train, SsimOptions(**options), "cpu").value
        for options in (
            {"size": 32},
            {"size": 32, "resize": "bilinear"},
            {"size": 32, "resize": "nearest"},
            {"size": 32, "channels": "grey"},
            {"size": "as_is"},
            {"size": 32, "seed": 1},
        )
    }
    assert len(set(values.values())) == 6


def test_a_square_is_cut_out_of_the_middle():
    wide = np.zeros((4, 1, 16, 48), dtype=np.uint8)
    middles = photographs(4, size=16, channels=1).numpy()
    wide[..., 16:32] = middles
    cropped = merged(labelled(wide), SsimOptions(size=16, crop=True), "cpu").value
    # The pairs are drawn by content, so that two sets of four are compared through all their pairs.
    alone = merged(labelled(wide[..., 16:32]), SsimOptions(size=16), "cpu")
    everything = merged(labelled(wide), SsimOptions(size=16), "cpu").value
    assert abs(cropped - alone.value) < abs(everything - alone.value)


def test_too_few_or_too_small_images_have_no_value_and_say_why():
    train = labelled(photographs(1))
    with pytest.raises(TooSmall, match="fewer than 2 training images"):
        merged(train, SsimOptions(), "cpu")
    with pytest.raises(TooSmall, match="images of 6 pixels are smaller than a window of 7"):
        merged(labelled(photographs(3, size=8)[..., :6, :6]), SsimOptions(size="as_is"), "cpu")
    evaluation = tiny_subset_evaluation((1, 1))
    assert SsimSuperSubClasses(SsimOptions())(evaluation) == Undefined("no super-class has 2 training images")
    assert isinstance(SsimMergeClasses(SsimOptions(size=16))(evaluation), float)


def test_the_definition_is_said_in_words():
    assert definition(SsimOptions()) == (
        "7x7 uniform window, sample covariance, each channel, at 128x128 (antialiased), 2 pairs an image, seed 0"
    )
    other = SsimOptions(window="gaussian", channels="grey", crop=True, size=64, most_pairs=10, covariance="population")
    assert definition(other) == (
        "11x11 Gaussian window, sigma 1.5, population covariance, luminance, at 64x64 (antialiased), the square in the "
        "middle, 2 pairs an image, 10 at most, seed 0"
    )


@pytest.mark.slow
def test_it_is_five_times_as_fast_as_scikit_images_loop():
    from skimage.metrics import structural_similarity

    images, options = photographs(32, size=128), SsimOptions()
    firsts, seconds = torch.arange(32).repeat(2), (torch.arange(64) * 5 + 1) % 32
    ratios = []
    for _ in range(5):  # interleaved, by the processor's own time: other work on the machine counts for neither
        start = time.process_time()
        for first, second in zip(firsts[:16], seconds[:16], strict=True):
            structural_similarity(images[first].numpy(), images[second].numpy(), channel_axis=0, data_range=255)
        theirs = (time.process_time() - start) / 16
        start = time.process_time()
        Windows.of(images, options).similarity(firsts, seconds)
        ratios.append(theirs / ((time.process_time() - start) / 64))
    assert np.median(ratios) > 5, ratios
