from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from balancebench import ClassifierError
from balancebench.builtin.classifiers.resnets import ResNet18Cifar, ResNetCifar
from balancebench.builtin.classifiers.small_cnn import SmallCNN
from balancebench.training.model import build_model


def parameters(backbone: nn.Module, features: int, classes: int = 10) -> int:
    return sum(parameter.numel() for parameter in backbone.parameters()) + (features + 1) * classes


@pytest.mark.parametrize(("depth", "count"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018)])
def test_resnet_cifar_has_the_published_number_of_parameters(depth, count):
    assert parameters(ResNetCifar(3, depth=depth), 64) == count


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_resnet_cifar_has_as_many_layers_as_its_name_says(depth):
    convolutions = [module for module in ResNetCifar(3, depth=depth).modules() if isinstance(module, nn.Conv2d)]

    assert len(convolutions) + 1 == depth, "and the head"


def test_resnet18_cifar_has_the_known_number_of_parameters():
    assert parameters(ResNet18Cifar(3, width=64), 512) == 11_173_962


def test_resnet18_cifar_has_the_layers_of_torchvisions_resnet18_but_for_the_stem():
    from torchvision.models import resnet18

    def shapes(model):
        return sorted(tuple(p.shape) for n, p in model.named_parameters() if n not in stems and "fc" not in n)

    stems = {"conv1.weight", "stem.0.weight"}
    assert shapes(ResNet18Cifar(3, width=64)) == shapes(resnet18())


def test_shortcuts_of_resnet_cifar_subsample_and_pad_with_zeros():
    shortcut = ResNetCifar(3, depth=20).stages[1][0].shortcut
    maps = torch.randn(2, 16, 8, 8)

    shortened = shortcut(maps)

    assert shortened.shape == (2, 32, 4, 4)
    assert torch.equal(shortened[:, 8:24], maps[:, :, ::2, ::2])
    assert (shortened[:, :8] == 0).all()
    assert (shortened[:, 24:] == 0).all()


def test_stages_of_resnet_cifar_halve_the_maps_twice():
    network = ResNetCifar(3, depth=20).eval()
    maps = network.stem(torch.randn(1, 3, 32, 32))

    sizes = [tuple((maps := stage(maps)).shape[1:]) for stage in network.stages]

    assert sizes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


@pytest.mark.parametrize(
    "network", [ResNetCifar(3, depth=20), ResNet18Cifar(3, width=32), SmallCNN(3, (32, 32), width=64)]
)
def test_convolutions_start_as_he_et_al_start_them(network):
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 2000:
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.1)
            assert module.bias is None


def test_small_cnn_is_small():
    assert 100_000 < parameters(SmallCNN(1, (28, 28), width=32), 128) < 400_000


def test_small_cnn_refuses_nothing_from_eight_pixels_up():
    for size in (8, 9, 15, 16, 28, 33, 96):
        assert SmallCNN(1, (size, size), width=4).eval()(torch.zeros(1, 1, size, size)).shape == (1, 16)


def test_the_features_of_resnet18_cifar_grow_with_its_width():
    model = build_model(
        lambda channels, _size: ResNet18Cifar(channels, width=8),
        channels=1,
        image_size=(32, 32),
        class_count=5,
        head="linear",
    )

    assert model.head.weight.shape == (5, 64)


def test_a_zoo_model_made_for_larger_images_is_refused_with_the_size_it_got():
    from balancebench.builtin.classifiers.model_zoos import torchvision_backbone

    with pytest.raises(ClassifierError, match="cannot take images of 3x8x8"):
        build_model(
            lambda channels, _size: torchvision_backbone("alexnet", channels, weights=None, image_size=None),
            channels=3,
            image_size=(8, 8),
            class_count=5,
            head="linear",
        )
