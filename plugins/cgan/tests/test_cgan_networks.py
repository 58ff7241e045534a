"""Layers and parameter counts are the paper's, worked out by hand; other image shapes follow."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from balancebench_cgan.fashion_cnn import FashionCNN
from balancebench_cgan.networks import Discriminator, Dropout, Generator, make_generator

GREY = (1, 28, 28)


def generator(name, image_shape=GREY, class_count=10) -> Generator:
    return make_generator(
        name, image_shape=image_shape, class_count=class_count, latent_size=100, embedding_size=10, leak=0.2
    )


def discriminator(image_shape=GREY, class_count=10, dropout=0.3) -> Discriminator:
    return Discriminator(image_shape=image_shape, class_count=class_count, embedding_size=10, leak=0.2, dropout=dropout)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def layers(network: nn.Module) -> list[str]:
    """Name the layers with weights by their widths, and the others by what they are."""
    described = {
        nn.Linear: lambda layer: f"{layer.in_features}-{layer.out_features}",
        nn.BatchNorm1d: lambda layer: f"norm {layer.num_features}",
        nn.LeakyReLU: lambda layer: f"leaky {layer.negative_slope}",
        Dropout: lambda layer: f"dropout {layer.share}",
    }
    leaves = [module for module in network.modules() if not list(module.children())]
    return [described.get(type(leaf), lambda leaf: type(leaf).__name__)(leaf) for leaf in leaves]


# The embedding's 10 x 10 weights, and (inputs + 1) x outputs of each linear layer.
HIDDEN = 111 * 256 + 257 * 512 + 513 * 1024
PARAMETERS = {
    "mlp_leaky": 100 + HIDDEN + 1025 * 784,
    "mlp_relu": 100 + HIDDEN + 1025 * 784,
    "small_mlp_leaky": 100 + 111 * 256 + 257 * 512 + 513 * 784,
    "big_mlp_leaky": 100 + (111 * 256 + 257 * 384 + 385 * 512 + 513 * 768 + 769 * 1024 + 1025 * 784) + 2 * (384 + 1024),
    # 7 x 7 start, then (inputs x outputs x kernel + outputs) of each convolution.
    "convolutional": 100
    + 111 * 49
    + (128 * 16 + 128)
    + (128 * 256 * 16 + 256)
    + (256 * 128 * 25 + 128)
    + (128 * 25 + 1),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_generators_have_as_many_parameters_as_their_layers_say(name):
    assert count(generator(name)) == PARAMETERS[name]


def test_the_generators_are_those_of_the_figures():
    mlp = ["110-256", "leaky 0.2", "256-512", "leaky 0.2"]
    assert layers(generator("small_mlp_leaky"))[1:] == [*mlp, "512-784", "Tanh"]
    assert layers(generator("mlp_leaky"))[1:] == [*mlp, "512-1024", "leaky 0.2", "1024-784", "Tanh"]
    assert layers(generator("mlp_relu"))[1:] == [
        *("110-256", "ReLU", "256-512", "ReLU", "512-1024", "ReLU", "1024-784", "Tanh")
    ]
    assert layers(generator("big_mlp_leaky"))[1:] == [
        *("110-256", "leaky 0.2", "256-384", "leaky 0.2", "norm 384", "384-512", "leaky 0.2", "512-768", "leaky 0.2"),
        *("768-1024", "norm 1024", "leaky 0.2", "1024-784", "Tanh"),
    ]


def test_the_discriminator_is_that_of_figure_1():
    network = discriminator()
    assert count(network) == 100 + 795 * 1024 + 1025 * 512 + 513 * 256 + 257
    follow = ["leaky 0.2", "dropout 0.3"]
    assert layers(network)[1:] == ["794-1024", *follow, "1024-512", *follow, "512-256", *follow, "256-1"]


def test_the_discriminator_sees_pixels_and_embedding_side_by_side():
    network = discriminator().eval()
    pixels_NP, labels_N = torch.randn(5, 784), torch.tensor([3, 0, 9, 9, 1])
    joined = torch.cat([pixels_NP, network.embedding(labels_N)], dim=1)
    expected_N = network.layers(network.first(joined))[:, 0]
    torch.testing.assert_close(network(pixels_NP, labels_N), expected_N, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 32, 20), (3, 9, 14), (1, 1, 2)], ids=str)
@pytest.mark.parametrize("name", PARAMETERS)
def test_generators_make_images_of_any_shape_between_minus_one_and_one(name, image_shape):
    network = generator(name, image_shape, class_count=3).eval()
    with torch.no_grad():
        images_NCHW = network(torch.randn(4, 100), torch.tensor([0, 1, 2, 2]))
        assert images_NCHW.shape == (4, *image_shape)
        assert images_NCHW.abs().max() <= 1
        assert discriminator(image_shape, class_count=3)(images_NCHW.flatten(1), torch.zeros(4).long()).shape == (4,)


def test_dropout_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    dropped = Dropout(0.3)(torch.ones(1000, 1000))
    share = (dropped == 0).double().mean()
    assert abs(share - 0.3) < 0.0025  # 1,000,000 draws: five standard errors
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])


def test_dropout_passes_gradients_where_it_passes_values_and_rests_in_evaluation():
    values = torch.ones(64, 64, requires_grad=True)
    dropout = Dropout(0.5)
    dropped = dropout(values)
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, dropped.detach())
    assert torch.equal(dropout.eval()(values), values)


def test_fashion_cnn_has_the_published_layers():
    network = FashionCNN(1, (28, 28))
    convolutions = [(32, 1), (32, 32), (48, 32), (64, 48)]
    expected = sum(outputs * inputs * 9 + outputs for outputs, inputs in convolutions) + 2 * 32 + 3137 * 128
    assert count(network) == expected
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 128)
    assert FashionCNN(3, (30, 11))(torch.zeros(2, 3, 30, 11)).shape == (2, 128)
