from __future__ import annotations

import numpy as np
import pytest
import torch

from balancebench import large_images
from balancebench.training import visiting_order as visiting_order_module
from balancebench.training.visiting_order import visiting_order

IMAGE_BYTES = 10


@pytest.fixture
def _large(monkeypatch):
    monkeypatch.setattr(large_images, "LARGE_BYTES", 1)
    monkeypatch.setattr(visiting_order_module, "CHUNK_BYTES", 8 * IMAGE_BYTES)
    monkeypatch.setattr(visiting_order_module, "WINDOW_BYTES", 128 * IMAGE_BYTES)


def drawn(count, batch_size=5, seed=0):
    return visiting_order(count, IMAGE_BYTES, batch_size, torch.Generator().manual_seed(seed)).numpy()


def test_small_sets_are_shuffled_by_one_permutation_as_ever():
    expected = torch.randperm(1000, generator=torch.Generator().manual_seed(3)).numpy()

    assert np.array_equal(drawn(1000, seed=3), expected)


@pytest.mark.usefixtures("_large")
@pytest.mark.parametrize("count", [1, 7, 8, 9, 125, 126, 1000, 1001])
@pytest.mark.parametrize("batch_size", [1, 5, 64, 128, 500])
def test_every_image_of_a_large_set_comes_once(count, batch_size):
    assert np.array_equal(np.sort(drawn(count, batch_size)), np.arange(count))


@pytest.mark.usefixtures("_large")
def test_the_seed_decides_the_order():
    assert np.array_equal(drawn(1000), drawn(1000))
    assert not np.array_equal(drawn(1000), drawn(1000, seed=1))


@pytest.mark.usefixtures("_large")
def test_a_window_is_whole_batches_and_is_read_in_whole_chunks_but_at_its_ends():
    windows = drawn(1000, batch_size=10).reshape(-1)
    window = np.sort(windows[:120])  # twelve batches of ten; thirteen would be more than 128 images

    runs = np.split(window, np.flatnonzero(np.diff(window) != 1) + 1)

    assert sum(len(run) % 8 == 0 for run in runs) >= len(runs) - 2
    assert len(runs) < 120 / 8 + 2


@pytest.mark.usefixtures("_large")
def test_a_window_mixes_chunks_from_all_over_the_set_and_the_images_of_each_chunk():
    first = drawn(1000, batch_size=8)[:128]

    thirds = np.histogram(first, bins=3, range=(0, 1000))[0]
    together = np.mean(np.diff(first) == 1)

    assert thirds.min() > 20, "of 128 images 43 are expected from each third"
    assert together < 0.05, "neighbours in the file are not neighbours in a batch"
