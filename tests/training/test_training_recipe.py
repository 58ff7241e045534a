"""The recipe of LDAM-DRW's code, each part of it against the same thing done plainly."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from balancebench import Checkpoints, Phase, Restart, TrainingPlan
from balancebench.training import loop
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.model import Head
from balancebench.training.options import TrainingOptions
from balancebench.training.schedule import schedule_phases


def rate_of_cao2019(epoch):
    """The learning rate of an epoch, counted from 0, of 200 that begin at 0.1."""
    number = epoch + 1
    if number <= 5:
        return 0.1 * number / 5
    return 0.1 * (1e-4 if number > 180 else 1e-2 if number > 160 else 1)


def test_the_learning_rate_rises_and_falls_by_whole_epochs(make_images):
    images = make_images(100)
    options = TrainingOptions(epochs=200, batch_size=32, schedule="multi_step", warmup=0.025, recipe="cao2019")
    first, second = schedule_phases(options, (Phase(images=images, share=0.8), Phase(images=images, share=0.2)))

    assert (first.steps_per_epoch, first.last_batch_size) == (4, 4)
    assert (first.steps, second.steps) == (640, 160)
    for schedule in (first, second):
        for step in range(schedule.first_step, schedule.first_step + schedule.steps):
            assert schedule.learning_rate.at(step) == pytest.approx(rate_of_cao2019(step // 4))


def test_the_standard_recipe_rises_with_every_step_and_drops_the_partial_batch(make_images):
    options = TrainingOptions(epochs=200, batch_size=32, schedule="multi_step", warmup=0.025)
    (schedule,) = schedule_phases(options, (Phase(images=make_images(100)),))

    assert (schedule.steps_per_epoch, schedule.last_batch_size) == (3, 32)
    assert [schedule.learning_rate.at(step) for step in range(3)] == pytest.approx([0.1 / 15, 0.2 / 15, 0.3 / 15])


def test_a_restarted_stretch_is_not_warmed_up(make_images):
    images = make_images(100)
    options = TrainingOptions(epochs=10, batch_size=32, warmup=0.5, recipe="cao2019", schedule="constant")
    phases = (Phase(images=images, share=0.5), Phase(images=images, share=0.5, restart=Restart()))
    first, second = schedule_phases(options, phases)

    assert first.learning_rate.warmup_steps == 8, "two of the five epochs: half of them, rounded to even"
    assert [second.learning_rate.at(step) for step in range(4)] == [0.1] * 4


@pytest.mark.parametrize(
    ("count", "sizes"), [(100, [32, 32, 32, 4]), (96, [32, 32, 32]), (97, [32, 32, 32]), (20, [20])]
)
def test_batches_of_an_epoch_are_those_of_a_loader_that_drops_none(
    count, sizes, make_images, make_context, recorded, tiny_backbone
):
    images = make_images(count)
    seen = []

    def watch(batch, _source):
        seen.append(batch.images_NCHW)
        return batch

    plan = TrainingPlan(phases=(Phase(images=images, batch_transform=watch),))
    options = TrainingOptions(epochs=2, batch_size=32, recipe="cao2019")
    NetworkClassifier(tiny_backbone, options).fit(plan, make_context(recorded))

    # A single image that is left over is left out: batch normalisation cannot tell it from its mean.
    loader = DataLoader(TensorDataset(torch.arange(count)), batch_size=32)
    assert sizes == [len(batch) for (batch,) in loader if len(batch) > 1]
    assert [len(pixels) for pixels in seen] == sizes * 2
    assert recorded.counts == [(sum(sizes), len(sizes))] * 2
    visits = Counter(image.numpy().tobytes() for pixels in seen[: len(sizes)] for image in pixels)
    assert len(visits) == sum(sizes), "each image once"


def test_sampled_epochs_keep_their_partial_batch_too(make_images, make_context, recorded, tiny_backbone):
    images = make_images(100)
    plan = TrainingPlan(phases=(Phase(images=images, sampling_weight_N=np.linspace(0.1, 1, 100)),))
    options = TrainingOptions(epochs=1, batch_size=32, recipe="cao2019")
    NetworkClassifier(tiny_backbone, options).fit(plan, make_context(recorded))

    assert recorded.counts == [(100, 4)]


def test_a_budget_of_steps_ends_inside_an_epoch_with_a_full_batch(make_images, make_context, recorded, tiny_backbone):
    options = TrainingOptions(steps=6, batch_size=32, recipe="cao2019")
    plan = TrainingPlan(phases=(Phase(images=make_images(100)),))
    NetworkClassifier(tiny_backbone, options).fit(plan, make_context(recorded))

    assert recorded.counts == [(100, 4), (64, 2)]


def test_streamed_images_train_as_resident_ones(make_images, make_context, tiny_backbone, monkeypatch):
    images = make_images(100)
    plan = TrainingPlan(phases=(Phase(images=images),))
    options = TrainingOptions(epochs=2, batch_size=32, recipe="cao2019")
    resident = NetworkClassifier(tiny_backbone, options).fit(plan, make_context())
    monkeypatch.setattr(loop, "image_budget_bytes", lambda _device: 0)
    streamed = NetworkClassifier(tiny_backbone, options).fit(plan, make_context())

    assert np.array_equal(resident.predict_logits(images.images_NCHW), streamed.predict_logits(images.images_NCHW))


class Killed(BaseException):
    """The end of a process."""


@dataclass(kw_only=True)
class KilledAfter(Checkpoints):
    """Saves after one step, and dies."""

    step: int
    steps: int = 0

    def due(self):
        self.steps += 1
        return self.steps == self.step

    def save(self, write):
        super().save(write)
        raise Killed


@pytest.mark.parametrize("step", range(1, 9))
def test_a_killed_training_goes_on_exactly_before_and_after_a_partial_batch(
    step, make_images, make_context, tiny_backbone, tmp_path
):
    images = make_images(100)
    plan = TrainingPlan(phases=(Phase(images=images),))
    classifier = NetworkClassifier(tiny_backbone, TrainingOptions(epochs=2, batch_size=32, recipe="cao2019"))
    whole = classifier.fit(plan, make_context())
    with pytest.raises(Killed):
        classifier.fit(plan, make_context(checkpoints=KilledAfter(folder=tmp_path, step=step)))
    continued = classifier.fit(plan, make_context(checkpoints=KilledAfter(folder=tmp_path, step=99)))

    assert continued.predict_logits(images.images_NCHW).tobytes() == whole.predict_logits(images.images_NCHW).tobytes()


def test_a_kaiming_head_is_drawn_as_torch_draws_one():
    reference = nn.Linear(64, 10)
    torch.manual_seed(3)
    nn.init.kaiming_normal_(reference.weight)
    torch.manual_seed(3)
    head = Head(64, 10, begins="kaiming")

    torch.testing.assert_close(head.weight, reference.weight)
    head.reset(torch.Generator().manual_seed(0))
    assert head.weight.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.1)
    assert head.bias is not None
    assert head.bias.abs().max().item() <= 1 / 8


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_only_linear_heads_of_the_recipe_begin_so(kind, make_images, make_context, tiny_backbone):
    heads = {}
    for recipe in ("standard", "cao2019"):
        images = make_images(40)

        def keep(weight_KD, recipe=recipe):
            heads[recipe] = weight_KD.clone()
            return weight_KD

        plan = TrainingPlan(phases=(Phase(images=images),), head=kind, adjust_head=keep)
        options = TrainingOptions(steps=1, batch_size=40, learning_rate=1e-12, recipe=recipe)
        NetworkClassifier(tiny_backbone, options).fit(plan, make_context()).predict_logits(images.images_NCHW)

    # 32 features: uniform in +-1/sqrt(32) has a third of that variance, the normal one six times as much.
    ratio = (heads["cao2019"].var() / heads["standard"].var()).item()
    assert ratio == pytest.approx({"linear": 6, "cosine": 1}[kind], rel=0.35)
