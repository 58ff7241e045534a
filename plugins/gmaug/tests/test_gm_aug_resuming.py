"""An interrupted GM-augCls goes on from the rounds it finished."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from balancebench import Balancer, Base, LabelledImages, Options, Phase, TrainingPlan, concatenate
from balancebench.testing import synthesis_context, tiny_training_set
from balancebench_gmaug.gm_aug import GmAug
from balancebench_gmaug.selection_options import GmAugOptions


class Noise:
    """Draws noise, and counts the images it drew."""

    def __init__(self):
        self.drawn = 0

    def draw(self, labels_B, random):
        self.drawn += len(labels_B)
        return torch.randint(0, 256, (len(labels_B), 1, 8, 8), generator=random).numpy().astype(np.uint8)


class Shuffled(Balancer[Options]):
    """Trains on real and made images in an order of its own: plans that depend on the random numbers."""

    def plan(self, train, synthetic, context):
        images = concatenate([train, synthetic])
        return TrainingPlan(phases=(Phase(images=images.take(context.rng.permutation(len(images)))),))


class ByFirstHalf:
    """Finds images the likelier the nearer their first pixel is to what the first half of its training set says."""

    def __init__(self, images):
        self.level = float(images.images_NCHW[: len(images) // 2].astype(float).mean() * 997 % 256)

    def predict_logits(self, images_NCHW):
        distance_N1 = np.abs(images_NCHW[:, 0, 0, :1].astype(float) - self.level) / 64
        return np.concatenate([np.full_like(distance_N1, 1.0), *[2 - distance_N1] * 2], axis=1).astype(np.float32)


class Interrupted(Exception):
    """Ends an attempt as a crash does."""


class Attempts:
    """Runs of one step, whose checkpoints lie in one folder; each training costs 100 images and 10 steps."""

    def __init__(self, folder, **options):
        self.folder = folder
        self.options = GmAugOptions(base={"use": "stub"}, alpha=0.4, rounds=3, **options)

    def run(self, fail_in_training=None):
        name = f"attempt{len(list(self.folder.iterdir()))}"
        (self.folder / name).mkdir()
        counted, trained, generator = [0, 0], [], Noise()

        def count(images, steps):
            counted[:] = counted[0] + images, counted[1] + steps

        def train_classifier(plan: TrainingPlan):
            trained.append(plan)
            if len(trained) == fail_in_training:
                raise Interrupted
            count(100, 10)
            return ByFirstHalf(plan.phases[0].images)

        context = synthesis_context(
            self.folder / name,
            seed=3,
            train_classifier=train_classifier,
            base=Base(balancer=Shuffled(Options()), synthetic=None, generator=lambda: generator),
            count=count,
        )
        kept = self.folder.parent / f"checkpoints_of_{self.folder.name}"
        kept.mkdir(exist_ok=True)
        context = replace(
            context, counted=lambda: (counted[0], counted[1]), checkpoints=replace(context.checkpoints, folder=kept)
        )
        train = tiny_training_set((12, 5, 3), height=8, width=8)
        images = GmAug(self.options).synthesise(train, context)
        files = {path.name: path.read_text() for path in context.artefacts.iterdir()}
        return images, files, tuple(counted), len(trained), generator.drawn


def attempts(folder, **options):
    folder.mkdir()
    return Attempts(folder, **options)


def assert_equal(images: LabelledImages, others: LabelledImages):
    np.testing.assert_array_equal(images.images_NCHW, others.images_NCHW)
    np.testing.assert_array_equal(images.labels_N, others.labels_N)
    np.testing.assert_array_equal(images.origins_N, others.origins_N)


@pytest.mark.parametrize(("fail_in_training", "trainings_left"), [(1, 3), (2, 2), (3, 1)])
def test_an_interrupted_selection_ends_with_the_same_images_files_and_costs(tmp_path, fail_in_training, trainings_left):
    whole, files, cost, trainings, drawn = attempts(tmp_path / "whole").run()
    assert trainings == 3
    broken = attempts(tmp_path / "broken")
    with pytest.raises(Interrupted):
        broken.run(fail_in_training)
    resumed, resumed_files, resumed_cost, resumed_trainings, drawn_again = broken.run()
    assert_equal(resumed, whole)
    assert resumed_files == files
    assert resumed_trainings == trainings_left
    assert resumed_cost == cost == (300, 30)
    assert drawn_again < drawn or fail_in_training == 1  # candidates are kept from attempt to attempt
    rounds = json.loads(files["acceptance_by_class.json"])["rounds"]
    assert len({json.dumps(one["classes"]) for one in rounds}) == 3  # each round chose otherwise


@pytest.mark.parametrize("fail_in_training", [2, 3])
def test_a_selection_that_stops_by_validation_goes_on_too(tmp_path, fail_in_training):
    whole, files, cost, _, _ = attempts(tmp_path / "whole", epsilon_points=0.0).run()
    broken = attempts(tmp_path / "broken", epsilon_points=0.0)
    with pytest.raises(Interrupted):
        broken.run(fail_in_training)
    resumed, resumed_files, resumed_cost, _, _ = broken.run()
    assert_equal(resumed, whole)
    assert (resumed_files, resumed_cost) == (files, cost)
