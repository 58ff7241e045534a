"""What a phase of a training keeps, forgets and leaves alone: weights, momentum, heads, statistics of batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from balancebench import Phase, Restart
from balancebench.training.loop import ImageSets, train
from balancebench.training.options import TrainingOptions
from balancebench.training.resident import ResidentImages
from tests.training.conftest import CPU, same, state_of


def test_two_phases_without_a_restart_train_as_one(make_run, make_images):
    images = make_images(40)
    whole = (Phase(images=images),)
    halves = (Phase(images=images, share=0.5), Phase(images=images, share=0.5))
    first, second = make_run(whole), make_run(halves)

    for run, phases in ((first, whole), (second, halves)):
        torch.manual_seed(5)
        train(run, phases)

    assert same(first.model.state_dict(), second.model.state_dict())


def test_a_restart_forgets_the_momentum(make_run, make_images):
    images = make_images(40)
    plans = [
        (Phase(images=images, share=0.5), Phase(images=images, share=0.5, restart=restart))
        for restart in (None, Restart())
    ]
    runs = [make_run(phases, TrainingOptions(epochs=4, batch_size=10, schedule="constant")) for phases in plans]

    for run, phases in zip(runs, plans, strict=True):
        torch.manual_seed(5)
        train(run, phases)

    assert not same(runs[0].model.state_dict(), runs[1].model.state_dict())


@pytest.mark.parametrize("restart", [None, Restart(learning_rate=0.1)])
def test_a_head_only_phase_leaves_the_backbone_bit_identical(make_run, make_images, restart):
    images = make_images(40)
    options = TrainingOptions(epochs=4, batch_size=10, weight_decay=0.1)
    phases = (
        Phase(images=images, share=0.5),
        Phase(images=images, share=0.5, trainable="head", restart=restart),
    )
    run = make_run(phases, options)
    after_epoch = []

    def epoch_finished(epoch, predictor, values):
        after_epoch.append((state_of(run.model.backbone), state_of(run.model.head)))

    object.__setattr__(run.context, "epoch_finished", epoch_finished)
    train(run, phases)

    (first, _), (before, head_before), (during, head_during), (after, head_after) = after_epoch
    assert same(before, during)
    assert same(before, after), "batch-norm statistics and decayed weights included"
    assert not same(first, before)
    assert not torch.equal(head_before["weight"], head_during["weight"])
    assert not torch.equal(head_during["weight"], head_after["weight"])


STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.parametrize(
    ("trainable", "batch_norm", "moving"),
    [
        ("head", None, False),
        ("head", "frozen", False),
        ("head", "train", True),
        ("all", None, True),
        ("all", "train", True),
        ("all", "frozen", False),
    ],
)
def test_a_phase_says_whether_batch_normalisation_trains(make_run, make_images, trainable, batch_norm, moving):
    phases = (Phase(images=make_images(40), trainable=trainable, batch_norm=batch_norm),)
    run = make_run(phases)
    before = state_of(run.model.backbone)

    train(run, phases)

    moved = {name for name, tensor in run.model.backbone.state_dict().items() if not torch.equal(tensor, before[name])}
    kinds = {name.rpartition(".")[2] for name in moved}
    assert kinds & STATISTICS == (STATISTICS if moving else set())
    assert kinds - STATISTICS == ({"weight", "bias"} if trainable == "all" else set())


def test_running_statistics_of_a_head_only_phase_move_towards_those_of_its_batches(make_run, make_images):
    images = make_images(40)
    phases = (Phase(images=images, trainable="head", batch_norm="train"),)
    run = make_run(phases, TrainingOptions(epochs=1, batch_size=40))
    convolution, norm = run.model.backbone.layers[:2]
    pixels = images.images_NCHW.astype(np.float64) / 255
    inputs = torch.from_numpy(((pixels - pixels.mean()) / pixels.std()).astype(np.float32))

    train(run, phases)

    # Ioffe and Szegedy 2015, with torch's momentum of 0.1, from mean 0 and variance 1.
    maps = convolution(inputs).detach().transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, 0.1 * maps.mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * maps.var(1), atol=1e-5, rtol=1e-4)


def test_the_whole_network_learns_again_after_a_head_only_phase(make_run, make_images):
    images = make_images(40)
    phases = (Phase(images=images, share=0.5, trainable="head"), Phase(images=images, share=0.5))
    run = make_run(phases)
    before = state_of(run.model.backbone)

    train(run, phases)

    assert not same(before, run.model.backbone.state_dict())
    assert all(parameter.requires_grad for parameter in run.model.parameters())


def test_parameters_that_a_network_froze_itself_stay_frozen(make_run, make_images):
    phases = (Phase(images=make_images(40), share=0.5, trainable="head"), Phase(images=make_images(40), share=0.5))
    run = make_run(phases)
    convolution = run.model.backbone.layers[0]
    convolution.requires_grad_(False)
    before = state_of(convolution)

    train(run, phases)

    assert same(before, convolution.state_dict())
    assert not convolution.weight.requires_grad


def test_reset_head_draws_a_new_head(make_run, make_images):
    images = make_images(40)
    frozen = TrainingOptions(epochs=2, batch_size=10, learning_rate=1e-30, schedule="constant")
    phases = (Phase(images=images, share=0.5), Phase(images=images, share=0.5, reset_head=True))
    run = make_run(phases, frozen)
    before = state_of(run.model)

    train(run, phases)

    after = run.model.state_dict()
    assert torch.equal(before["backbone.layers.0.weight"], after["backbone.layers.0.weight"])
    assert not torch.equal(before["head.weight"], after["head.weight"])
    assert not torch.equal(before["head.bias"], after["head.bias"])
    bound = 1 / math.sqrt(after["head.weight"].shape[1])
    assert after["head.weight"].abs().max() <= bound


def test_a_head_that_is_reset_has_no_momentum_left(make_run, make_images):
    images = make_images(40)
    phases = (
        Phase(images=images, share=0.5),
        Phase(images=images, share=0.5, reset_head=True, loss=lambda logits_NK, labels_N: 0 * logits_NK[:, 0]),
    )
    run = make_run(phases, TrainingOptions(epochs=4, batch_size=10, schedule="constant"))
    weights = []
    object.__setattr__(
        run.context,
        "epoch_finished",
        lambda epoch, predictor, values: weights.append(run.model.head.weight.detach().clone()),
    )

    train(run, phases)

    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[2], weights[3])


def test_images_shared_by_phases_are_uploaded_once_and_let_go_after_their_last(make_run, make_images, monkeypatch):
    first, second = make_images(40), make_images(40, seed=1)
    phases = tuple(Phase(images=images, share=0.25) for images in (first, second, first, second))
    uploads = []
    upload = ResidentImages.upload
    monkeypatch.setattr(
        ResidentImages, "upload", lambda images, device: uploads.append(images) or upload(images, device)
    )
    run = make_run(phases)

    train(run, phases)

    assert [images is first for images in uploads] == [True, False]
    sets = ImageSets(phases, CPU)
    held = sets.on_device(first)
    sets.release_after(1)
    assert sets.on_device(first) is held
    sets.release_after(2)
    assert sets.on_device(first) is not held
