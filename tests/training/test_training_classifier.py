from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from balancebench import ClassifierError, Phase, Restart, TrainingPlan
from balancebench.training import predict
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.options import TrainingOptions
from balancebench.training.reproducibility import run_seeds

OPTIONS = TrainingOptions(epochs=3, batch_size=10, learning_rate=0.05, augmentation="crop_flip")


@pytest.fixture
def classifier(tiny_backbone):
    return NetworkClassifier(tiny_backbone, OPTIONS)


@pytest.fixture
def plan(make_images):
    images = make_images(40)
    return TrainingPlan(
        phases=(
            Phase(images=images, share=0.7),
            Phase(images=images, share=0.3, sampling_weight_N=np.arange(40.0), reset_head=True, restart=Restart()),
        )
    )


@pytest.fixture
def test_images(make_images):
    return make_images(30, seed=9).images_NCHW


def test_the_same_seed_gives_the_same_logits_bit_for_bit(classifier, plan, make_context, test_images):
    first, second = (classifier.fit(plan, make_context(seed=3)).predict_logits(test_images) for _ in range(2))

    assert np.array_equal(first, second)


def test_the_same_seed_gives_the_same_logits_whatever_the_global_state(classifier, plan, make_context, test_images):
    torch.manual_seed(1)
    first = classifier.fit(plan, make_context()).predict_logits(test_images)
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002 - it is the global state that must not matter

    assert np.array_equal(first, classifier.fit(plan, make_context()).predict_logits(test_images))


def test_another_seed_gives_other_logits(classifier, plan, make_context, test_images):
    first, second = (classifier.fit(plan, make_context(seed=seed)).predict_logits(test_images) for seed in (0, 1))

    assert not np.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("fails", [False, True])
def test_global_states_and_settings_are_left_as_they_were(plan, make_context, tiny_backbone, fails):
    def backbone(channels, image_size):
        if fails:
            raise ValueError("broken network")
        return tiny_backbone(channels, image_size)

    before = (torch.get_rng_state(), random.getstate(), np.random.get_state())  # noqa: NPY002 - the global state
    settings = (torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark)

    if fails:
        with pytest.raises(ValueError, match="broken network"):
            NetworkClassifier(backbone, OPTIONS).fit(plan, make_context())
    else:
        NetworkClassifier(backbone, OPTIONS).fit(plan, make_context())

    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert all(np.array_equal(was, now) for was, now in zip(before[2], np.random.get_state(), strict=True))  # noqa: NPY002
    assert settings == (torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark)


def test_seeds_of_a_run_differ_from_each_other_and_from_other_runs():
    seeds = [run_seeds(seed) for seed in (0, 1, 2**62)]
    words = [word & 0xFFFFFFFF for run in seeds for word in (run.network, run.batches)]

    assert len(set(words)) == 6, "torch's processor generator uses the low 32 bits alone"


def test_training_does_not_change_its_images(classifier, plan, make_context):
    before = plan.phases[0].images.digest()

    classifier.fit(plan, make_context())

    assert plan.phases[0].images.digest() == before


def test_it_learns_what_can_be_learnt(tiny_backbone, make_images, make_context):
    images, unseen = make_images(200), make_images(100, seed=5)
    options = TrainingOptions(epochs=20, batch_size=20, learning_rate=0.1)

    predictor = NetworkClassifier(tiny_backbone, options).fit(
        TrainingPlan(phases=(Phase(images=images),)), make_context()
    )

    assert (predictor.predict_logits(unseen.images_NCHW).argmax(1) == unseen.labels_N).mean() > 0.95


def test_a_class_without_images_is_allowed(classifier, make_images, make_context, test_images):
    images = replace(make_images(40), class_names=("a", "b", "c", "d", "never seen"))

    logits = classifier.fit(TrainingPlan(phases=(Phase(images=images),)), make_context()).predict_logits(test_images)

    assert logits.shape == (30, 5)
    assert np.isfinite(logits).all()


def test_phases_with_images_of_different_shapes_are_refused(classifier, make_images, make_context):
    images = make_images(40)
    plan = TrainingPlan(phases=(Phase(images=images), Phase(images=make_images(40, size=16))), normalise_on=images)

    with pytest.raises(ClassifierError, match="phase 1 has 1x8x8, phase 2 has 1x16x16"):
        classifier.fit(plan, make_context())


@pytest.mark.parametrize(
    ("count", "batch_size", "cause"), [(1, 10, "training set has 1 image"), (40, 1, "batch_size is 1")]
)
def test_batches_of_one_image_are_refused_where_batch_norm_is(
    tiny_backbone, make_images, make_context, count, batch_size, cause
):
    plan = TrainingPlan(phases=(Phase(images=make_images(count)),))
    options = TrainingOptions(epochs=1, batch_size=batch_size)

    with pytest.raises(ClassifierError, match=cause):
        NetworkClassifier(tiny_backbone, options).fit(plan, make_context())


def test_one_image_is_enough_for_a_network_without_batch_norm(make_images, make_context):
    plan = TrainingPlan(phases=(Phase(images=make_images(1)),))

    NetworkClassifier(lambda *_: nn.Flatten(), TrainingOptions(epochs=1)).fit(plan, make_context())


def test_predictions_do_not_depend_on_chunks(classifier, plan, make_context, test_images, monkeypatch):
    predictor = classifier.fit(plan, make_context())
    whole = predictor.predict_logits(test_images)
    monkeypatch.setattr(predict, "CHUNK_VALUES", {"cpu": 1})

    np.testing.assert_allclose(predictor.predict_logits(test_images), whole, atol=1e-5)
    assert whole.dtype == np.float32
    assert predictor.predict_logits(test_images[:0]).shape == (0, 4)


def test_read_only_images_are_predicted_without_a_warning(classifier, plan, make_context, test_images, recwarn):
    predictor = classifier.fit(plan, make_context())
    test_images.setflags(write=False)

    predictor.predict_logits(test_images)

    assert not recwarn.list


def test_post_hoc_adjustments_apply_to_predictions_alone(classifier, plan, make_context, test_images):
    plain = classifier.fit(plan, make_context()).predict_logits(test_images)
    shift = torch.tensor([1.0, 2.0, 3.0, 4.0])

    shifted = classifier.fit(replace(plan, adjust_logits=lambda logits_NK: logits_NK - shift), make_context())
    doubled = classifier.fit(replace(plan, adjust_head=lambda weight_KD: 2 * weight_KD), make_context())
    zeroed = classifier.fit(replace(plan, adjust_head=torch.zeros_like), make_context())

    np.testing.assert_allclose(shifted.predict_logits(test_images), plain - shift.numpy(), rtol=1e-6)
    assert (zeroed.predict_logits(test_images) == 0).all(), "the bias is dropped with the weight"
    halves = doubled.predict_logits(test_images) / 2
    bias = plain - halves
    np.testing.assert_allclose(bias, np.broadcast_to(bias[:1], bias.shape), atol=1e-5)


def test_bf16_trains_on_a_processor_too(classifier, plan, make_context, test_images):
    logits = classifier.fit(plan, make_context(precision="bf16")).predict_logits(test_images)

    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


def test_an_operation_without_a_deterministic_form_is_named(make_images, make_context):
    class Unrepeatable(nn.Module):
        def forward(self, images_NCHW):
            if self.training:
                images_NCHW.clone().put_(torch.zeros(1, dtype=torch.int64), torch.zeros(1))
            return images_NCHW.flatten(1)

    plan = TrainingPlan(phases=(Phase(images=make_images(40)),))
    classifier = NetworkClassifier(lambda *_: Unrepeatable(), OPTIONS)

    with pytest.raises(
        ClassifierError, match=r"put_.* no deterministic form on this device: set deterministic = false"
    ):
        classifier.fit(plan, make_context())
    classifier.fit(plan, make_context(deterministic=False))
