"""A trained classifier is written to a folder and comes back as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from balancebench import ClassifierError, Phase, TrainingPlan
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.options import TrainingOptions

OPTIONS = TrainingOptions(epochs=2, batch_size=10, learning_rate=0.05)


@pytest.fixture
def classifier(tiny_backbone):
    return NetworkClassifier(tiny_backbone, OPTIONS)


@pytest.fixture
def plan(make_images):
    return TrainingPlan(phases=(Phase(images=make_images(40)),))


@pytest.mark.parametrize("head", ["linear", "cosine"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_restored_predictor_gives_the_same_logits_bit_for_bit(
    classifier, make_images, make_context, tmp_path, head, precision
):
    plan = TrainingPlan(phases=(Phase(images=make_images(40, channels=3)),), head=head)
    trained = classifier.fit(plan, make_context(precision=precision))
    trained.save(tmp_path)
    restored = classifier.restore(tmp_path, "cpu")

    unseen_NCHW = make_images(30, channels=3, seed=9).images_NCHW
    assert np.array_equal(restored.predict_logits(unseen_NCHW), trained.predict_logits(unseen_NCHW))
    assert np.array_equal(restored.features(unseen_NCHW), trained.features(unseen_NCHW))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_features_are_what_the_head_reads(classifier, plan, make_images, make_context, tmp_path):
    predictor = classifier.fit(plan, make_context())
    predictor.save(tmp_path)
    from safetensors.numpy import load_file

    weights = load_file(tmp_path / "model.safetensors")
    images_NCHW = make_images(30, seed=9).images_NCHW
    features_ND = predictor.features(images_NCHW)

    assert features_ND.shape == (30, 32)
    assert features_ND.dtype == np.float32
    expected_NK = features_ND @ weights["model.head.weight"].T + weights["model.head.bias"]
    np.testing.assert_allclose(predictor.predict_logits(images_NCHW), expected_NK, atol=1e-5)


def test_restoring_leaves_global_random_state_alone(classifier, plan, make_context, tmp_path):
    classifier.fit(plan, make_context()).save(tmp_path)
    before = torch.get_rng_state()
    classifier.restore(tmp_path, "cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_classifier_whose_predictions_are_adjusted_is_not_saved(classifier, make_images, make_context, tmp_path):
    plan = TrainingPlan(phases=(Phase(images=make_images(40)),), adjust_logits=lambda logits_NK: logits_NK + 1)
    with pytest.raises(ClassifierError, match="adjusts its head or its logits cannot be saved"):
        classifier.fit(plan, make_context()).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_network_are_refused(classifier, plan, make_context, tmp_path):
    classifier.fit(plan, make_context()).save(tmp_path)
    other = NetworkClassifier(lambda *_: nn.Flatten(), OPTIONS)
    with pytest.raises(ClassifierError, match="of another network than the options describe"):
        other.restore(tmp_path, "cpu")


def test_missing_and_broken_files_are_refused(classifier, plan, make_context, tmp_path):
    with pytest.raises(ClassifierError, match=r"no trained model can be read from .*model\.json"):
        classifier.restore(tmp_path, "cpu")
    classifier.fit(plan, make_context()).save(tmp_path)
    description = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**description, "head": "square"}))
    with pytest.raises(ClassifierError, match="no trained model can be read"):
        classifier.restore(tmp_path, "cpu")
    (tmp_path / "model.json").write_text(json.dumps(description))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ClassifierError, match="no trained model can be read"):
        classifier.restore(tmp_path, "cpu")
