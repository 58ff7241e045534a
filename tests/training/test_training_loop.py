from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from balancebench import Batch, ClassifierError, Phase, Restart, TrainingPlan
from balancebench.training import loop
from balancebench.training.loop import ImageSets, Run, train
from balancebench.training.model import build_model
from balancebench.training.normalise import make_normaliser
from balancebench.training.options import TrainingOptions
from balancebench.training.predict import ModelPredictor
from balancebench.training.resident import ResidentImages

CPU = torch.device("cpu")


@pytest.fixture
def make_run(make_context, tiny_backbone, recorded):
    """A run over phases, with the network in plain sight."""

    def make(phases, options=None, head="linear", dropout=0.2, **changes):
        torch.manual_seed(0)
        shape = phases[0].images.images_NCHW.shape
        model = build_model(
            tiny_backbone,
            channels=shape[1],
            image_size=shape[2:],
            class_count=phases[0].images.class_count,
            head=head,
        )
        model.backbone.layers[5].p = dropout
        image_sets = ImageSets(phases, CPU)
        normaliser = make_normaliser("training_set", torch.from_numpy(phases[0].images.images_NCHW))
        return Run(
            model=model,
            options=options or TrainingOptions(epochs=4, batch_size=10, learning_rate=0.05),
            context=make_context(recorded, **changes),
            image_sets=image_sets,
            normaliser=normaliser,
            generator=torch.Generator().manual_seed(1),
            predictor=ModelPredictor(
                model,
                normaliser,
                image_shape=phases[0].images.images_NCHW.shape[1:],
                device=CPU,
                precision="fp32",
                deterministic=True,
                adjust_head=None,
                adjust_logits=None,
            ),
        )

    return make


def state_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


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


def test_predicting_leaves_every_module_in_its_mode(make_run, make_images):
    images = make_images(40)
    run = make_run((Phase(images=images),))
    run.model.train()
    run.model.backbone.eval()

    run.predictor.predict_logits(images.images_NCHW)

    assert run.model.training
    assert run.model.head.training
    assert not any(module.training for module in run.model.backbone.modules())


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
