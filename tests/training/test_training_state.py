"""An interrupted training ends, bit for bit, where it would have ended; one that ran through is the reference."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from balancebench import Batch, Checkpoints, ClassifierError, Phase, Restart, TrainingPlan
from balancebench.training import loop
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.options import TrainingOptions
from balancebench.training.training_state import SavedState

IMAGE_BYTES = 64  # of the images of conftest: 1x8x8


class Killed(BaseException):
    """The end of a process."""


@dataclass(kw_only=True)
class Scripted(Checkpoints):
    """Saves after one step of this attempt, and dies then or after a later step."""

    save_after: int = 0
    die_after: int | None = None
    steps: int = field(default=0)

    def due(self):
        self.steps += 1
        if self.steps == self.die_after:
            raise Killed
        return self.steps == self.save_after

    def save(self, write):
        super().save(write)
        if self.die_after is None:
            raise Killed


def cutmix(batch, source):
    """Paste the upper half of other images, drawn towards the later classes, at a place of its own for each batch."""
    weights = np.linspace(0.1, 1.0, 40)
    other = source.draw(len(batch.labels_N), weights)
    row = int(torch.randint(4, (1,), generator=source.generator))
    share_N = torch.rand(len(batch.labels_N), generator=source.generator)
    pasted = batch.images_NCHW.clone()
    pasted[:, :, row : row + 4] = other.images_NCHW[:, :, row : row + 4]
    return Batch(images_NCHW=pasted, labels_N=batch.labels_N, second_labels_N=other.labels_N, first_weight_N=share_N)


def two_phases(images, restart=None, trainable="all", batch_norm=None):
    """All that draws numbers or has state: 5 epochs of 4 steps."""
    return TrainingPlan(
        phases=(
            Phase(images=images, share=0.6, batch_transform=cutmix),
            Phase(
                images=images,
                share=0.4,
                sampling_weight_N=np.linspace(0.1, 1.0, 40),
                reset_head=True,
                restart=restart,
                trainable=trainable,
                batch_norm=batch_norm,
            ),
        )
    )


@pytest.fixture
def fit(make_context, tiny_backbone, recorded):
    """Train a tiny network; the logits, epochs and counts, notes, and the global random numbers that follow."""

    def run(plan, checkpoints=None, backbone=tiny_backbone, **options):
        recorded.epochs.clear()
        recorded.counts.clear()
        notes = {}
        context = make_context(recorded, checkpoints=checkpoints, note=lambda name, value: notes.update({name: value}))
        settings = {"epochs": 5, "batch_size": 10, "learning_rate": 0.05, "augmentation": "crop_flip", **options}
        predictor = NetworkClassifier(backbone, TrainingOptions(**settings)).fit(plan, context)
        logits_NK = predictor.predict_logits(plan.phases[0].images.images_NCHW)
        return logits_NK, list(recorded.epochs), list(recorded.counts), notes

    return run


@pytest.fixture
def interrupted(fit, tmp_path):
    """Save after a step, die then or `later` steps after it, and go on in a second attempt."""

    def run(plan, step, later=0, **options):
        with pytest.raises(Killed):
            fit(plan, Scripted(folder=tmp_path, save_after=step, die_after=step + later if later else None), **options)
        return fit(plan, Scripted(folder=tmp_path), **options)

    return run


def assert_same(continued, whole):
    logits_NK, epochs, counts, _ = continued
    assert logits_NK.tobytes() == whole[0].tobytes()
    assert epochs == whole[1][-len(epochs) :]
    assert counts == whole[2][-len(counts) :]


@pytest.mark.parametrize("step", range(1, 21))
def test_a_killed_training_goes_on_exactly(fit, interrupted, make_images, step):
    plan = two_phases(make_images(40))
    continued, whole = interrupted(plan, step), fit(plan)

    assert_same(continued, whole)
    assert len(continued[1]) == 5 - (step - 1) // 4, "the epoch that had begun, and those after it"
    assert continued[3]["continued"] == f"after interruption at step {step}"
    assert "continued" not in whole[3]


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("restart", [None, Restart(learning_rate=0.1, schedule="cosine")])
@pytest.mark.parametrize("step", [6, 14])
def test_every_optimiser_remembers_what_it_knew(fit, interrupted, make_images, optimiser, restart, step):
    plan = two_phases(make_images(40), restart, trainable="head")
    settings = {"optimiser": optimiser, "schedule": "multi_step", "warmup": 0.2, "weight_decay": 1e-3}

    assert_same(interrupted(plan, step, later=3, **settings), fit(plan, **settings))


@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
@pytest.mark.parametrize("step", [12, 13, 18])
def test_statistics_of_batch_normalisation_go_on_where_they_were(fit, interrupted, make_images, batch_norm, step):
    plan = two_phases(make_images(40), trainable="head", batch_norm=batch_norm)

    assert_same(interrupted(plan, step), fit(plan))


def test_streamed_phases_train_batch_normalisation_as_resident_ones(fit, make_images, monkeypatch):
    plans = [two_phases(make_images(40), trainable="head", batch_norm=kind) for kind in ("train", "frozen")]
    trained, frozen = (fit(plan) for plan in plans)
    monkeypatch.setattr(loop, "image_budget_bytes", lambda device: 39 * IMAGE_BYTES)

    assert_same(fit(plans[0]), trained)
    assert trained[0].tobytes() != frozen[0].tobytes()


@pytest.mark.parametrize("step", [2, 4, 11, 16])
def test_streamed_images_are_gone_on_from_inside_a_block(fit, interrupted, make_images, monkeypatch, step):
    plan = two_phases(make_images(40))
    whole = fit(plan)
    monkeypatch.setattr(loop, "image_budget_bytes", lambda device: 39 * IMAGE_BYTES)
    monkeypatch.setattr(loop, "BLOCKS_IN_BUDGET", 1)  # blocks of three batches
    monkeypatch.delattr(loop.ResidentImages, "upload")

    assert_same(interrupted(plan, step), whole)


def test_a_training_that_is_killed_again_and_again_ends_the_same(fit, make_images, tmp_path):
    plan = two_phases(make_images(40))
    for _attempt in range(6):
        with pytest.raises(Killed):
            fit(plan, Scripted(folder=tmp_path, save_after=3, die_after=5))

    continued = fit(plan, Scripted(folder=tmp_path))

    assert_same(continued, fit(plan))
    assert continued[3]["continued"] == "after interruptions at steps 3, 6, 9, 12, 15, 18"


def test_numbers_that_layers_draw_from_torch_itself_go_on_too(fit, interrupted, make_images):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 8)
            self.register_buffer("moves", torch.zeros(8), persistent=False)

        def forward(self, images_NCHW):
            features_ND = self.linear(images_NCHW.flatten(1))
            if self.training:
                features_ND = features_ND + torch.randn_like(features_ND)
                self.moves += features_ND.detach().mean(0)
            return features_ND + self.moves

    plan = TrainingPlan(phases=(Phase(images=make_images(40)),))
    settings = {"backbone": lambda channels, image_size: Noisy()}

    assert_same(interrupted(plan, 7, **settings), fit(plan, **settings))


def test_saving_changes_nothing(fit, make_images, tmp_path):
    plan = two_phases(make_images(40))

    saving = fit(plan, Checkpoints(folder=tmp_path, seconds=0))

    assert_same(saving, fit(plan))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_state_of_another_network_is_refused_with_its_folder(fit, interrupted, make_images, tmp_path):
    plan = TrainingPlan(phases=(Phase(images=make_images(40)),))
    with pytest.raises(Killed):
        fit(plan, Scripted(folder=tmp_path, save_after=3))

    with pytest.raises(ClassifierError, match=f"{tmp_path}.*delete it"):
        fit(plan, Scripted(folder=tmp_path), lambda channels, image_size: nn.Flatten())


def test_a_state_holds_safetensors_and_json_alone(fit, make_images, tmp_path):
    with pytest.raises(Killed):
        fit(TrainingPlan(phases=(Phase(images=make_images(40)),)), Scripted(folder=tmp_path, save_after=6))

    state = tmp_path / "saved.1" / "state"
    assert {path.name for path in state.iterdir()} == {"state.safetensors", "state.json"}
    assert json.loads((state / "state.json").read_text()) == {"phase": 0, "epoch": 1, "interruptions": []}
    assert len(SavedState(state).epoch(torch.device("cpu")).indices_SB) == 2
