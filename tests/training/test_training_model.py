from __future__ import annotations

import pytest
import torch
from torch import nn

from balancebench import ClassifierError
from balancebench.training.model import Head, PointwiseConv2d, adjusted_head, build_model, memory_format_for


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


@pytest.mark.parametrize(("size", "step", "bias"), [(8, 2, False), (7, 2, True), (9, 3, False), (5, 1, True)])
def test_pointwise_convolutions_of_every_second_pixel_are_strided_ones(size, step, bias):
    strided, pointwise = nn.Conv2d(4, 8, 1, stride=step, bias=bias), PointwiseConv2d(4, 8, step, bias=bias)
    pointwise.load_state_dict(strided.state_dict())
    images_NCHW = torch.randn(5, 4, size, size, generator=torch.Generator().manual_seed(0))
    outputs, gradients = [], []
    for network in (strided, pointwise):
        inputs_NCHW = images_NCHW.clone().requires_grad_()
        outputs.append(network(inputs_NCHW))
        outputs[-1].square().sum().backward()
        gradients.append((inputs_NCHW.grad, network.weight.grad))
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(gradients[1], gradients[0])
    assert memory_format_for(pointwise, torch.device("cpu")) == torch.channels_last


def test_strided_pointwise_convolutions_are_trained_in_plain_order_on_processors():
    pointwise = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2))
    assert memory_format_for(pointwise, torch.device("cpu")) == torch.contiguous_format
    assert memory_format_for(pointwise, torch.device("cuda")) == torch.channels_last
    assert memory_format_for(nn.Sequential(nn.Conv2d(4, 8, 3, stride=2)), torch.device("cpu")) == torch.channels_last
