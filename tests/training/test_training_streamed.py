"""Streaming changes where images come from and nothing else; resident images are the reference."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from balancebench import Batch, Phase, TrainingPlan, concatenate, large_images
from balancebench.training import loop, visiting_order
from balancebench.training.augment import random_crop, unchanged
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.normalise import channel_statistics, make_normaliser
from balancebench.training.options import TrainingOptions
from balancebench.training.resident import BatchDrawer, ResidentImages
from balancebench.training.streamed import StreamedImages

CPU = torch.device("cpu")
IMAGE_BYTES = 64  # of the images of conftest: 1x8x8


@pytest.fixture
def map_images(make_images, tmp_path):
    def make(count=40, **changes):
        images = make_images(count, **changes)
        np.save(tmp_path / "images.npy", images.images_NCHW)
        return replace(images, images_NCHW=np.load(tmp_path / "images.npy", mmap_mode="r"))

    return make


@pytest.fixture
def large(monkeypatch):
    """Sets of any size count as large: chunks of 4 images, windows of 24."""
    monkeypatch.setattr(large_images, "LARGE_BYTES", 1)
    monkeypatch.setattr(visiting_order, "CHUNK_BYTES", 4 * IMAGE_BYTES)
    monkeypatch.setattr(visiting_order, "WINDOW_BYTES", 24 * IMAGE_BYTES)


def drawer_over(on_device, augment=unchanged, seed=0):
    normaliser = make_normaliser("training_set", on_device.images_NCHW)
    return BatchDrawer(on_device, augment, normaliser, torch.Generator().manual_seed(seed))


def same(first, second):
    return torch.equal(first.images_NCHW, second.images_NCHW) and torch.equal(first.labels_N, second.labels_N)


@pytest.mark.parametrize("block_bytes", [1, 17 * IMAGE_BYTES, 10**6])
@pytest.mark.parametrize("weighted", [False, True])
def test_streamed_batches_equal_resident_ones_bit_for_bit(map_images, block_bytes, weighted):
    images = map_images(43)
    weights = np.arange(43.0) if weighted else None
    resident = drawer_over(ResidentImages.upload(images, CPU), random_crop)
    streamed = drawer_over(StreamedImages(images, CPU, block_bytes), random_crop)

    for _epoch in range(2):
        for first, second in zip(resident.epoch(8, 5, weights), streamed.epoch(8, 5, weights), strict=True):
            assert same(first, second)
    assert same(resident.draw(9, weights), streamed.draw(9, weights))
    assert same(resident.draw(9), streamed.draw(9))


@pytest.mark.usefixtures("large")
def test_every_image_is_seen_exactly_once_an_epoch(map_images):
    images = map_images(60)
    kept = concatenate([images.take(np.arange(0, 60, 2)), images.take(np.arange(1, 60, 2))])
    expected = sorted(image.tobytes() for image in images.images_NCHW)

    streamed = StreamedImages(kept, CPU, 24 * IMAGE_BYTES)
    batches = streamed.batches(drawer_over(streamed).epoch_indices(12, 5))

    assert sorted(pixels.numpy().tobytes() for batch in batches for pixels in batch) == expected


@pytest.mark.usefixtures("large")
def test_labels_stay_with_their_images(map_images):
    images = map_images(60)
    label_of = {image.tobytes(): label for image, label in zip(images.images_NCHW, images.labels_N, strict=True)}
    streamed = StreamedImages(images, CPU, 24 * IMAGE_BYTES)
    indices = drawer_over(streamed).epoch_indices(12, 5)

    for indices_B, pixels in zip(indices, streamed.batches(indices), strict=True):
        assert [label_of[image.tobytes()] for image in pixels.numpy()] == streamed.labels_N[indices_B].tolist()


@pytest.mark.usefixtures("large")
def test_repeated_images_are_read_once_for_each_block(map_images, monkeypatch):
    images = map_images(10)
    oversampled = images.take(np.repeat(np.arange(10), 6))
    streamed = StreamedImages(oversampled, CPU, 10**6)
    read = []
    rows_read = large_images.ImageRows.read
    monkeypatch.setattr(
        large_images.ImageRows,
        "read",
        lambda rows, rows_M, into_MCHW: read.append(len(rows_M)) or rows_read(rows, rows_M, into_MCHW),
    )

    batches = list(streamed.batches(torch.randperm(60).view(6, 10)))

    assert read == [10]
    assert torch.cat(batches).float().mean() == pytest.approx(images.images_NCHW.mean(), rel=1e-5)


def test_the_next_block_is_read_while_one_is_in_use_and_never_a_third(map_images, monkeypatch):
    images = map_images(40)
    streamed = StreamedImages(images, CPU, 10 * IMAGE_BYTES)
    begun, threads = threading.Semaphore(0), []
    read = StreamedImages._read

    def watched(self, rows_M):
        threads.append(threading.current_thread())
        begun.release()
        return read(self, rows_M)

    monkeypatch.setattr(StreamedImages, "_read", watched)
    batches = streamed.batches(torch.arange(40).view(8, 5))  # two batches a block, four blocks

    next(batches)

    assert begun.acquire(timeout=10)
    assert begun.acquire(timeout=10), "the second block is read while the first is trained on"
    next(batches)
    assert not begun.acquire(timeout=0.05), "the third waits until the second is in use"
    assert threading.main_thread() not in threads
    batches.close()
    assert not any(thread.is_alive() for thread in threads), "nothing goes on reading after the end"


def test_an_error_while_reading_ends_the_epoch_with_it(map_images, monkeypatch):
    def broken(self, rows_M):
        raise OSError("the disk is gone")

    monkeypatch.setattr(StreamedImages, "_read", broken)

    with pytest.raises(OSError, match="the disk is gone"):
        list(StreamedImages(map_images(40), CPU).batches(torch.arange(40).view(8, 5)))


def test_statistics_of_streamed_images_are_exactly_those_of_resident_ones(map_images):
    images = map_images(50, channels=3)

    streamed = channel_statistics(StreamedImages(images, CPU).images_NCHW)

    assert streamed == channel_statistics(ResidentImages.upload(images, CPU).images_NCHW)


def test_memory_is_pinned_for_the_device_that_trains_also_by_the_thread_that_reads_ahead(map_images, monkeypatch):
    chosen, pinned = threading.local(), []

    class Chosen:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            self.before, chosen.device = getattr(chosen, "device", 0), self.device.index

        def __exit__(self, *_error):
            chosen.device = self.before

    def pin():
        pinned.append((threading.current_thread().name.partition("_")[0], getattr(chosen, "device", 0)))

    def empty(*arguments, pin_memory=False, plain=torch.empty, **names):
        if pin_memory:
            pin()
        return plain(*arguments, **names)

    images = StreamedImages(map_images(20), CPU)
    images._device = SimpleNamespace(type="cuda", index=1)
    monkeypatch.setattr(torch.cuda, "device", Chosen)
    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: [pin(), tensor][1])
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *_arguments, **_names: tensor)
    list(images.batches(torch.arange(20).view(2, 10)))
    images.select(torch.arange(4))

    assert set(pinned) == {("balancebench-read-ahead", 1), (threading.current_thread().name, 1)}


@pytest.fixture
def fitted(make_context, tiny_backbone, monkeypatch):
    """Logits after training a plan on a device with room for `budget` bytes of images."""

    def fit(plan, budget, epochs=3, **changes):
        monkeypatch.setattr(loop, "image_budget_bytes", lambda device: budget)
        options = TrainingOptions(epochs=epochs, batch_size=10, learning_rate=0.05, augmentation="crop_flip")
        predictor = NetworkClassifier(tiny_backbone, options).fit(plan, make_context(**changes))
        return predictor.predict_logits(np.array(plan.phases[0].images.images_NCHW[:20]))

    return fit


@pytest.mark.parametrize("size", ["small", "large"])
def test_training_gives_the_same_network_bit_for_bit_wherever_the_images_are(map_images, fitted, request, size):
    if size == "large":
        request.getfixturevalue("large")
    images = map_images(50)
    rare = np.where(images.labels_N == 3, 1.0, 0.1)

    def paste(batch, source):
        other = source.draw(len(batch.labels_N), rare)
        return Batch(images_NCHW=(batch.images_NCHW + other.images_NCHW) / 2, labels_N=batch.labels_N)

    plan = TrainingPlan(
        phases=(
            Phase(images=images, share=0.4, batch_transform=paste),
            Phase(images=images.take(np.arange(50).repeat(2)), share=0.3),
            Phase(images=images, share=0.3, sampling_weight_N=rare),
        ),
        normalise_on=images,
    )

    resident, partly, streamed = (fitted(plan, budget) for budget in (10**9, 60 * IMAGE_BYTES, 4 * IMAGE_BYTES))

    assert np.array_equal(resident, partly)
    assert np.array_equal(resident, streamed)
    assert not np.array_equal(resident, fitted(plan, 10**9, seed=1))


def test_what_fits_is_held_and_the_rest_is_streamed_and_both_are_said_once(
    map_images, make_images, monkeypatch, caplog
):
    monkeypatch.setattr(loop, "image_budget_bytes", lambda device: 60 * IMAGE_BYTES)
    first, second, third = map_images(40), make_images(40, seed=1), make_images(20, seed=2)
    caplog.set_level(logging.INFO, "balancebench")

    sets = loop.ImageSets([Phase(images=images) for images in (first, second, third)], CPU)
    held = [type(sets.on_device(images)) for images in (first, second, third, first)]

    assert held == [ResidentImages, StreamedImages, ResidentImages, ResidentImages]
    assert [record.message.split(" are ")[1].split(" cpu")[0] for record in caplog.records] == [
        "held by",
        "streamed to",
        "held by",
    ]


@pytest.mark.usefixtures("large")
def test_shuffling_by_chunks_learns_as_well_as_one_permutation_does_though_files_are_sorted_by_class(
    make_images, make_context, tiny_backbone, monkeypatch
):
    images = make_images(480)
    by_class = images.take(np.argsort(images.labels_N, kind="stable"))
    test = make_images(200, seed=1)
    options = TrainingOptions(epochs=4, batch_size=24, learning_rate=0.02)
    monkeypatch.setattr(visiting_order, "WINDOW_BYTES", 120 * IMAGE_BYTES)

    def test_loss(seed):
        plan = TrainingPlan(phases=(Phase(images=by_class),))
        logits = NetworkClassifier(tiny_backbone, options).fit(plan, make_context(seed=seed))
        predicted = torch.from_numpy(logits.predict_logits(test.images_NCHW))
        return nn.functional.cross_entropy(predicted, torch.from_numpy(test.labels_N)).item()

    by_chunks = [test_loss(seed) for seed in range(4)]
    monkeypatch.setattr(large_images, "LARGE_BYTES", 2**40)
    permuted = [test_loss(seed) for seed in range(4)]

    noise = np.sqrt((np.var(by_chunks, ddof=1) + np.var(permuted, ddof=1)) / 4)
    assert abs(np.mean(by_chunks) - np.mean(permuted)) < 3 * noise + 0.01
    assert np.mean(permuted) < 0.5 * np.log(4), "and both learn"


MEMORY_PROGRAM = """
import json, sys
import numpy as np, torch
from balancebench import LabelledImages, large_images
from balancebench.stages.memory import peak_memory_bytes, reset_peak_memory
from balancebench.training.augment import unchanged
from balancebench.training.normalise import make_normaliser
from balancebench.training.resident import BatchDrawer
from balancebench.training.streamed import StreamedImages

mapped = np.load(sys.argv[1], mmap_mode="r")
count, batch_size, block_bytes = len(mapped), 32, int(sys.argv[2])
large_images.LARGE_BYTES = mapped.nbytes
images = LabelledImages(images_NCHW=mapped, labels_N=np.zeros(count, np.int64), class_names=("a",))


def drawer_over(images):
    streamed = StreamedImages(images, torch.device("cpu"), block_bytes)
    normaliser = make_normaliser("half", streamed.images_NCHW)
    return streamed, BatchDrawer(streamed, unchanged, normaliser, torch.Generator().manual_seed(0))


list(drawer_over(images.take(np.arange(64)))[1].epoch(2, batch_size))  # what a first use loads is not the images'
streamed, drawer = drawer_over(images.take(np.arange(count)))
reset_peak_memory("cpu")
before = peak_memory_bytes("cpu")
images.digest()
seen_N = np.zeros(count, np.int64)
for pixels in streamed.batches(drawer.epoch_indices(count // batch_size, batch_size)):
    seen_N[np.ascontiguousarray(pixels[:, 0, 0, :8].numpy()).view(np.int64)[:, 0]] += 1
unweighted = peak_memory_bytes("cpu") - before
for batch in drawer.epoch(count // batch_size // 8, batch_size, np.ones(count)):
    pass
weighted = peak_memory_bytes("cpu") - before
print(json.dumps({"unweighted": unweighted, "weighted": weighted, "seen": np.unique(seen_N).tolist()}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory that can be reset is Linux's")
def test_a_large_file_is_trained_on_in_a_part_of_its_size(tmp_path):
    count, block_bytes = 8192, 36 * 2**20
    path = tmp_path / "large.npy"
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, 3, 128, 128))
    file[:, 0, 0, :8] = np.arange(count).view(np.uint8).reshape(count, 8)  # zeros elsewhere take no room on the disk
    size = file.nbytes
    del file

    ran = subprocess.run(
        [sys.executable, "-c", MEMORY_PROGRAM, str(path), str(block_bytes)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    path.unlink()

    assert ran.returncode == 0, ran.stderr
    grown = json.loads(ran.stdout)
    assert grown["seen"] == [1], "every image once an epoch"
    # The kernel's peak, mapped pages included: two blocks, and what is read or made of them at a time.
    assert grown["unweighted"] < size / 2
    assert grown["weighted"] < size / 2
