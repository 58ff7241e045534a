"""Influence-balanced loss, against gradients that autograd computes image by image.

Axis suffixes: N images, D features, K classes.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from balancebench import BalancerError, LossContext
from balancebench.testing import fit_context
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.options import TrainingOptions

COUNTS = (60, 20, 5, 2)


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def context(features_ND):
    return LossContext(features_ND=features_ND, generator=torch.Generator())


def influences(head, features_ND, labels_N):
    """Return the L1 norm of each image's gradient of the cross-entropy by the head's weights."""
    norms = []
    for features_D, label in zip(features_ND, labels_N, strict=True):
        loss = F.cross_entropy(head(features_D[None]), label[None])
        (gradient_KD,) = torch.autograd.grad(loss, head.weight)
        norms.append(gradient_KD.abs().sum())
    return torch.stack(norms)


def test_losses_are_divided_by_the_gradient_each_image_gives_the_head(make_train, plan):
    _, fine_tuning = plan("influence_balanced", make_train(*COUNTS), alpha=10.0).phases
    head, labels_N = nn.Linear(7, 4, bias=False), torch.arange(16) % 4
    features_ND = random(16, 7, seed=1).relu()
    logits_NK = head(features_ND)

    weight_K = 1 / torch.tensor(COUNTS)
    weight_K = 4 * weight_K / weight_K.sum()
    cross_entropy_N = F.cross_entropy(logits_NK, labels_N, weight=weight_K, reduction="none")
    expected_N = 10 * cross_entropy_N / (influences(head, features_ND, labels_N) + 0.001)
    torch.testing.assert_close(fine_tuning.feature_loss(logits_NK, labels_N, context(features_ND)), expected_N)


def test_gradients_pass_through_the_influence(make_train, plan):
    _, fine_tuning = plan("influence_balanced", make_train(*COUNTS)).phases
    features_ND = random(8, 7, seed=1).relu().requires_grad_()
    fine_tuning.feature_loss(random(8, 4, seed=2), torch.arange(8) % 4, context(features_ND)).sum().backward()
    assert (features_ND.grad[features_ND > 0] < 0).all()  # a longer feature vector means more influence, less loss


def test_it_is_plain_until_the_deferral_and_fine_tunes_with_a_new_optimiser(make_train, plan):
    first, second = plan("influence_balanced", make_train(*COUNTS), defer_at=0.75).phases
    assert (first.share, second.share) == (0.75, 0.25)
    assert first.loss is None
    assert first.feature_loss is None
    assert second.restart.learning_rate == 0.001
    _, second = plan("influence_balanced", make_train(*COUNTS), learning_rate="keep").phases
    assert second.restart is None


def test_a_class_without_images_is_refused(make_train, plan):
    with pytest.raises(BalancerError, match="has no images"):
        plan("influence_balanced", make_train(9, 0, 4))


def test_a_network_trains_with_it(make_train, plan):
    losses = []
    train = make_train(*COUNTS)
    classifier = NetworkClassifier(
        lambda channels, size: nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], 16), nn.ReLU()),
        TrainingOptions(epochs=8, batch_size=16, learning_rate=0.02),
    )
    classifier.fit(
        plan("influence_balanced", train, alpha=1.0),
        fit_context(epoch_finished=lambda _epoch, _predictor, values: losses.append(values["loss"])),
    )
    assert losses[-1] < losses[4]  # the fine-tuning's first epoch is the fifth
