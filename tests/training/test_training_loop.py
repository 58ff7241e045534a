"""One loop trains every plan: as a plain loop would, in whole epochs, seeing what it is said to see."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from balancebench import Batch, ClassifierError, Phase, TrainingPlan
from balancebench.training import loop
from balancebench.training.loop import train
from balancebench.training.options import TrainingOptions
from tests.training.conftest import same


def test_losses_of_a_run_equal_a_plain_loop(make_run, make_images, recorded):
    images = make_images(48)
    phases = (Phase(images=images),)
    run = make_run(phases, TrainingOptions(epochs=8, batch_size=48, learning_rate=0.1, weight_decay=1e-3), dropout=0)
    plain = copy.deepcopy(run.model).train()

    train(run, phases)

    pixels = images.images_NCHW.astype(np.float64) / 255
    inputs = torch.from_numpy(((pixels - pixels.mean()) / pixels.std()).astype(np.float32))
    labels = torch.from_numpy(images.labels_N)
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    for epoch, (_, values) in enumerate(recorded.epochs):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * epoch / 8))
        optimiser.zero_grad()
        loss = F.cross_entropy(plain(inputs), labels)
        loss.backward()
        optimiser.step()
        assert values["loss"] == pytest.approx(loss.item(), abs=1e-4)
        assert values["learning_rate"] == pytest.approx(optimiser.param_groups[0]["lr"])


def test_predicting_leaves_every_module_in_its_mode(make_run, make_images):
    images = make_images(40)
    run = make_run((Phase(images=images),))
    run.model.train()
    run.model.backbone.eval()

    run.predictor.predict_logits(images.images_NCHW)

    assert run.model.training
    assert run.model.head.training
    assert not any(module.training for module in run.model.backbone.modules())


def test_epochs_are_numbered_through_and_counted(make_run, make_images, recorded):
    phases = (Phase(images=make_images(40), share=0.5), Phase(images=make_images(23), share=0.5))

    train(make_run(phases), phases)

    assert [epoch for epoch, _ in recorded.epochs] == [0, 1, 2, 3]
    assert recorded.counts == [(40, 4), (40, 4), (20, 2), (20, 2)]
    assert recorded.progress[-1][:2] == (12, 12)
    assert recorded.progress[-1][2].startswith("epoch 4/4 loss ")


def test_progress_within_an_epoch_names_the_epoch_that_goes_on(make_run, make_images, recorded, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_REPORTS", 0.0)
    options = TrainingOptions(epochs=2, batch_size=10, learning_rate=0.05)
    phases = (Phase(images=make_images(20)),)
    train(make_run(phases, options), phases)
    of_steps = {done: message.split(" loss ")[0] for done, _, message in reversed(recorded.progress)}
    assert of_steps == {1: "epoch 1/2", 2: "epoch 1/2", 3: "epoch 2/2", 4: "epoch 2/2"}


def test_a_weighted_phase_sees_the_images_of_weight_above_zero_alone(make_run, make_images):
    images = make_images(40)
    weights = (images.labels_N == 1).astype(np.float64)
    seen = []

    def loss(logits_NK, labels_N):
        seen.extend(labels_N.tolist())
        return F.cross_entropy(logits_NK, labels_N, reduction="none")

    phases = (Phase(images=images, sampling_weight_N=weights, loss=loss),)
    train(make_run(phases), phases)

    assert set(seen) == {1}
    assert len(seen) == 4 * 40


def test_a_batch_transform_sees_every_batch_and_may_draw_others(make_run, make_images):
    images = make_images(40)
    rare = (images.labels_N == 3).astype(np.float64)
    sizes = []

    def paste(batch, source):
        other = source.draw(len(batch.labels_N), rare)
        assert (other.labels_N == 3).all()
        share = torch.rand(len(batch.labels_N), generator=source.generator)
        sizes.append(len(batch.labels_N))
        return Batch(
            images_NCHW=torch.where(share[:, None, None, None] < 0.5, batch.images_NCHW, other.images_NCHW),
            labels_N=batch.labels_N,
            second_labels_N=other.labels_N,
            first_weight_N=share,
        )

    phases = (Phase(images=images, batch_transform=paste),)
    train(make_run(phases), phases)

    assert sizes == [10] * 16


def test_predicting_after_each_epoch_changes_nothing(make_run, make_images):
    images = make_images(40)
    phases = (Phase(images=images, share=0.5), Phase(images=images, share=0.5, trainable="head"))
    quiet, watched = make_run(phases), make_run(phases)
    object.__setattr__(
        watched.context,
        "epoch_finished",
        lambda epoch, predictor, values: predictor.predict_logits(images.images_NCHW),
    )

    for run in (quiet, watched):
        torch.manual_seed(5)
        train(run, phases)

    assert same(quiet.model.state_dict(), watched.model.state_dict())


def test_the_device_is_waited_for_once_an_epoch_and_in_no_step(make_run, make_images):
    class CountsWaits(TorchDispatchMode):
        waits = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.waits += func in {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default}
            return func(*args, **(kwargs or {}))

    images = make_images(40)
    phases = (
        Phase(images=images, share=0.5),
        Phase(images=images, share=0.5, sampling_weight_N=np.arange(40.0), batch_transform=lambda batch, source: batch),
    )
    run = make_run(phases, TrainingOptions(epochs=4, batch_size=10, augmentation="crop_flip"))

    with CountsWaits() as counter:
        train(run, phases)

    assert counter.waits == 4


def test_a_diverging_run_ends_with_the_epoch_in_its_message(make_run, make_images):
    phases = (Phase(images=make_images(40), loss=lambda logits_NK, labels_N: logits_NK.sum(1) * math.inf),)

    with pytest.raises(ClassifierError, match="diverged: the loss is not finite after epoch 1 of 4"):
        train(make_run(phases), phases)


def test_a_plan_with_a_cosine_head_hands_cosines_to_its_loss(make_run, make_images):
    seen = []

    def loss(logits_NK, labels_N):
        seen.append(logits_NK.detach())
        return F.cross_entropy(30 * logits_NK, labels_N, reduction="none")

    plan = TrainingPlan(phases=(Phase(images=make_images(40), loss=loss),), head="cosine")
    train(make_run(plan.phases, head="cosine"), plan.phases)

    assert all(cosines.abs().max() <= 1 + 1e-6 for cosines in seen)
    assert seen[-1].std() > 0.05
