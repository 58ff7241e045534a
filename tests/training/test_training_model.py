from __future__ import annotations

import pytest
import torch
from torch import nn

from balancebench import ClassifierError
from balancebench.training.model import Head, adjusted_head, build_model


def test_the_feature_count_is_learnt_from_the_backbone(tiny_backbone):
    model = build_model(tiny_backbone, channels=3, image_size=(8, 12), class_count=7, head="linear")

    assert model.head.weight.shape == (7, 32)
    assert model(torch.zeros(2, 3, 8, 12)).shape == (2, 7)


def test_building_a_model_does_not_move_batch_norm_statistics(tiny_backbone):
    model = build_model(tiny_backbone, channels=1, image_size=(8, 8), class_count=3, head="linear")

    assert model.backbone.layers[1].num_batches_tracked == 0
    assert model.backbone.training


def test_images_too_small_for_the_network_are_refused_before_training():
    def backbone(channels, image_size):
        return nn.Sequential(nn.Conv2d(channels, 4, 11), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    with pytest.raises(ClassifierError, match=r"cannot take images of 1x8x8 .*Kernel size"):
        build_model(backbone, channels=1, image_size=(8, 8), class_count=3, head="linear")


def test_a_backbone_that_gives_no_feature_vectors_is_refused():
    with pytest.raises(ClassifierError, match=r"features \(N, D\), but gave \(1, 4, 6, 6\)"):
        build_model(lambda *_: nn.Conv2d(1, 4, 3), channels=1, image_size=(8, 8), class_count=3, head="linear")


def test_a_linear_head_is_torchs_linear_layer():
    head = Head(5, 3)
    reference = nn.Linear(5, 3)
    reference.load_state_dict(head.state_dict())
    features = torch.randn(4, 5)

    assert torch.equal(head(features), reference(features))


def test_a_cosine_head_gives_the_cosine_of_features_and_rows():
    head = Head(5, 3, "cosine")
    features = torch.randn(4, 5) * 100

    expected = nn.functional.cosine_similarity(features[:, None], head.weight[None], dim=2)

    torch.testing.assert_close(head(features), expected)
    assert head.bias is None
    torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(3))


def test_adjusting_a_head_drops_its_bias_and_leaves_the_head_alone():
    head = Head(5, 3)
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}

    adjusted = adjusted_head(head, lambda weight_KD: weight_KD / weight_KD.norm(dim=1, keepdim=True))

    torch.testing.assert_close(adjusted.weight.norm(dim=1), torch.ones(3))
    assert (adjusted.bias == 0).all()
    assert all(torch.equal(before[name], tensor) for name, tensor in head.state_dict().items())


def test_an_adjustment_that_changes_the_shape_is_refused():
    with pytest.raises(ClassifierError, match=r"shape \(3, 5\), but gave \(5, 3\)"):
        adjusted_head(Head(5, 3), lambda weight_KD: weight_KD.T)
