"""Losses that read features, and the images that pixels are normalised by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from balancebench import BalancerError, ClassifierError, Phase, TrainingPlan
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.options import TrainingOptions

OPTIONS = TrainingOptions(epochs=2, batch_size=10, learning_rate=0.05, augmentation="crop_flip")


@pytest.fixture
def classifier(tiny_backbone):
    return NetworkClassifier(tiny_backbone, OPTIONS)


def cross_entropy(logits_NK, labels_N, _context):
    return F.cross_entropy(logits_NK, labels_N, reduction="none")


def logits(classifier, make_context, images, test, **phase):
    plan = TrainingPlan(phases=(Phase(images=images, **phase),))
    return classifier.fit(plan, make_context(seed=3)).predict_logits(test.images_NCHW)


def test_a_loss_that_leaves_features_alone_trains_as_one_without_them(classifier, make_context, make_images):
    images, test = make_images(40), make_images(20, seed=9)
    plain = logits(classifier, make_context, images, test)
    assert np.array_equal(logits(classifier, make_context, images, test, feature_loss=cross_entropy), plain)


def test_gradients_pass_through_the_features(classifier, make_context, make_images):
    images, test = make_images(40), make_images(20, seed=9)

    def shrinking(logits_NK, labels_N, context):
        return cross_entropy(logits_NK, labels_N, context) + context.features_ND.square().sum(1)

    plain = logits(classifier, make_context, images, test, feature_loss=cross_entropy)
    assert np.abs(logits(classifier, make_context, images, test, feature_loss=shrinking) - plain).max() > 0.01


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_are_float32_one_row_an_image_and_both_labels_of_mixed_batches_meet_them(
    classifier, make_context, make_images, precision
):
    images, seen = make_images(40), []

    def mix(batch, source):
        other = source.draw(len(batch.labels_N))
        return replace(batch, second_labels_N=other.labels_N, first_weight_N=torch.full((len(batch.labels_N),), 0.5))

    def watching(logits_NK, labels_N, context):
        seen.append((context.features_ND.dtype, tuple(context.features_ND.shape), context.features_ND.data_ptr()))
        return cross_entropy(logits_NK, labels_N, context)

    plan = TrainingPlan(phases=(Phase(images=images, feature_loss=watching, batch_transform=mix),))
    classifier.fit(plan, make_context(precision=precision))
    assert {entry[:2] for entry in seen} == {(torch.float32, (10, 32))}
    assert all(first[2] == second[2] for first, second in zip(seen[::2], seen[1::2], strict=True))


def test_what_a_loss_draws_comes_from_the_runs_seed(classifier, make_context, make_images):
    images = make_images(40)

    def drawn(seed):
        numbers = []

        def drawing(logits_NK, labels_N, context):
            numbers.append(torch.rand(1, generator=context.generator).item())
            return cross_entropy(logits_NK, labels_N, context)

        classifier.fit(TrainingPlan(phases=(Phase(images=images, feature_loss=drawing),)), make_context(seed=seed))
        return numbers

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_phase_has_one_loss(make_images):
    with pytest.raises(BalancerError, match="either a loss or a feature_loss"):
        Phase(images=make_images(4), loss=lambda *_: None, feature_loss=cross_entropy)


def test_phases_over_different_images_must_say_what_normalises_them(make_images):
    synthetic, train = make_images(40), make_images(20, seed=1)
    phases = (Phase(images=synthetic, share=0.5), Phase(images=train, share=0.5))
    with pytest.raises(BalancerError, match="normalise_on=train"):
        TrainingPlan(phases=phases)
    assert TrainingPlan(phases=phases, normalise_on=train).normalising_images is train
    assert TrainingPlan(phases=phases[1:]).normalising_images is train


@pytest.mark.parametrize("other", [False, True], ids=["of a later phase", "of none"])
def test_pixels_are_normalised_by_the_images_the_plan_names(classifier, make_context, make_images, tmp_path, other):
    from balancebench.training.saved import read_saved

    dark, train = make_images(40), make_images(20, seed=1)
    bright = replace(train, images_NCHW=train.images_NCHW // 2 + 100)
    plan = TrainingPlan(
        phases=(Phase(images=dark, share=0.5), Phase(images=dark if other else bright, share=0.5)), normalise_on=bright
    )
    predictor = classifier.fit(plan, make_context())
    predictor.save(tmp_path)
    _, tensors = read_saved(tmp_path)
    mean, std = bright.images_NCHW.mean() / 255, bright.images_NCHW.std() / 255
    assert tensors["scale_1C11"].item() == pytest.approx(1 / (255 * std), rel=1e-5)
    assert tensors["shift_1C11"].item() == pytest.approx(-mean / std, rel=1e-5)


def test_images_of_other_channels_cannot_normalise(classifier, make_context, make_images):
    plan = TrainingPlan(phases=(Phase(images=make_images(20)),), normalise_on=make_images(20, channels=3))
    with pytest.raises(ClassifierError, match="normalise_on has images of 3 channels, the phases of 1"):
        classifier.fit(plan, make_context())
