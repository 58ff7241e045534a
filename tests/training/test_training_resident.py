from __future__ import annotations

import numpy as np
import pytest
import torch

from balancebench import BalancerError, LabelledImages
from balancebench.training import resident
from balancebench.training.augment import unchanged
from balancebench.training.normalise import make_normaliser
from balancebench.training.resident import BatchDrawer, ResidentImages, cumulative_weights, indices_at


@pytest.fixture
def drawer_over(generator):
    def make(images: LabelledImages) -> BatchDrawer:
        on_device = ResidentImages.upload(images, torch.device("cpu"))
        return BatchDrawer(on_device, unchanged, make_normaliser("half", on_device.images_NCHW), generator)

    return make


def test_memory_mapped_images_are_uploaded_whole_in_chunks(make_images, tmp_path, monkeypatch, recwarn):
    images = make_images(37)
    np.save(tmp_path / "images.npy", images.images_NCHW)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    monkeypatch.setattr(resident, "CHUNK_BYTES", 500)

    uploaded = ResidentImages.upload(
        LabelledImages(images_NCHW=mapped, labels_N=images.labels_N, class_names=images.class_names),
        torch.device("cpu"),
    )

    assert np.array_equal(uploaded.images_NCHW.numpy(), images.images_NCHW)
    assert np.array_equal(uploaded.labels_N.numpy(), images.labels_N)
    assert not recwarn.list


def test_an_epoch_without_weights_visits_no_image_twice(make_images, drawer_over):
    indices = drawer_over(make_images(40)).epoch_indices(5, 8)

    assert indices.shape == (5, 8)
    assert sorted(indices.flatten().tolist()) == list(range(40))


def test_epochs_are_shuffled_differently(make_images, drawer_over):
    drawer = drawer_over(make_images(40))

    assert not torch.equal(drawer.epoch_indices(5, 8), drawer.epoch_indices(5, 8))


def test_weighted_sampling_follows_the_weights(make_images, drawer_over):
    images = make_images(40)
    weights = np.random.default_rng(0).uniform(0, 1, 40)
    weights[[0, 7, 39]] = 0

    drawn = drawer_over(images).epoch_indices(500, 100, weights).flatten().numpy()

    counts = np.bincount(drawn, minlength=40)
    expected = 50_000 * weights / weights.sum()
    assert (counts[[0, 7, 39]] == 0).all()
    chosen = expected > 0
    chi_square = ((counts[chosen] - expected[chosen]) ** 2 / expected[chosen]).sum()
    assert chi_square < 73.4, "the 0.9998 quantile of chi-square with 36 degrees of freedom"


@pytest.mark.parametrize("weights", [[0, 0, 1, 0], [1e-300, 0, 1e-300, 0], [0, 3, 1e20, 0]])
def test_images_of_weight_zero_are_never_drawn_at_the_ends_of_the_unit_interval(weights):
    weights = np.array(weights, dtype=np.float64)
    cumulative = cumulative_weights(weights, torch.device("cpu"))

    ends = torch.tensor([0.0, np.nextafter(1.0, 0.0)], dtype=torch.float64)
    drawn = indices_at(cumulative, ends).numpy()

    assert (weights[drawn] > 0).all()


def test_draws_of_a_batch_transform_follow_weights_and_labels_stay_with_images(make_images, drawer_over):
    images = make_images(40)
    weights = (images.labels_N == 2).astype(np.float64)

    batch = drawer_over(images).draw(25, weights)

    assert (batch.labels_N == 2).all()
    of_class = images.images_NCHW[images.labels_N == 2].astype(np.float32) / 127.5 - 1
    for image in batch.images_NCHW.numpy():
        assert np.abs(of_class - image).max((1, 2, 3)).min() < 1e-5


def test_draws_without_weights_are_uniform_with_replacement(make_images, drawer_over):
    assert len(drawer_over(make_images(8)).draw(100).labels_N) == 100


def test_weights_of_a_draw_must_fit_the_images(make_images, drawer_over):
    with pytest.raises(BalancerError, match="40 images but sampling weights of shape"):
        drawer_over(make_images(40)).draw(3, np.ones(39))
