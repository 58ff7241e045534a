"""Heat-maps against what is known of them: completeness, a network that looks at one square, shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from balancebench.data import LabelledImages
from balancebench.errors import ClassifierError
from balancebench.testing import fit_context
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.options import TrainingOptions
from balancebench.training.predict import ModelPredictor
from balancebench.training_plan import Phase, TrainingPlan

pytest.importorskip("captum", reason="heat-maps need the extra `explain`")

from balancebench.training.attribution import attributions


class UpperLeft(nn.Module):
    """Looks at the mean of the upper left 8x8 pixels and at nothing else."""

    def forward(self, images_NCHW):
        return images_NCHW[:, :, :8, :8].mean(dim=(2, 3)) + 0.0 * images_NCHW.mean(dim=(2, 3))


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images_NCHW):
        return torch.relu(self.convolution(images_NCHW)).mean(dim=(2, 3))


def images():
    return np.random.default_rng(0).integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)


def trained(backbone) -> ModelPredictor:
    labels_N = np.arange(12, dtype=np.int64) % 3
    train = LabelledImages(images_NCHW=images(), labels_N=labels_N, class_names=("a", "b", "c"))
    options = TrainingOptions(epochs=2, batch_size=6, normalisation="half")
    return NetworkClassifier(lambda *_: backbone(), options).fit(
        TrainingPlan(phases=(Phase(images=train),)), fit_context()
    )


LABELS = np.array([0, 2, 1], dtype=np.int64)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_maps_are_zero_where_the_network_does_not_look(method):
    maps_NHW = attributions(trained(UpperLeft), images()[:3], LABELS, method)
    assert maps_NHW.shape == (3, 16, 16)
    assert np.abs(maps_NHW[:, :8, :8]).max() > 0
    beyond = maps_NHW.copy()
    beyond[:, :9, :9] = 0  # an occluding square of 2x2 pixels may lie across the edge
    assert np.abs(beyond).max() < 1e-6


def test_integrated_gradients_sum_to_what_the_logit_gains_over_a_black_image():
    predictor = trained(Convolutional)
    maps_NHW = attributions(predictor, images()[:3], LABELS, "integrated_gradients")
    logits_NK = predictor.predict_logits(images()[:3])
    black_NK = predictor.predict_logits(np.zeros((3, 3, 16, 16), dtype=np.uint8))
    gained_N = (logits_NK - black_NK)[np.arange(3), LABELS]
    np.testing.assert_allclose(maps_NHW.sum(axis=(1, 2)), gained_N, atol=0.02 * np.abs(gained_N).max() + 1e-4)


def test_grad_cam_has_no_negative_parts_and_wants_a_convolution():
    maps_NHW = attributions(trained(Convolutional), images()[:3], LABELS, "grad_cam")
    assert maps_NHW.shape == (3, 16, 16)
    assert maps_NHW.min() >= 0
    with pytest.raises(ClassifierError, match="grad_cam needs a network with a convolution"):
        attributions(trained(UpperLeft), images()[:3], LABELS, "grad_cam")


def test_the_network_predicts_afterwards_as_before():
    predictor = trained(Convolutional)
    before = predictor.predict_logits(images())
    for method in ("integrated_gradients", "grad_cam", "occlusion"):
        attributions(predictor, images()[:3], LABELS, method)
    np.testing.assert_array_equal(predictor.predict_logits(images()), before)
