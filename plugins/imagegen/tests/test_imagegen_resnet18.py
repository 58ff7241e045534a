"""The two forms of the paper's ResNet-18, and its recipe."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from balancebench_imagegen.options import ResNet18Options
from balancebench_imagegen.resnet18 import ResNet18


def with_head(variant):
    backbone = ResNet18(3, variant=variant, width=None)
    return nn.Sequential(backbone, nn.Linear({"text": 512, "code": 336}[variant], 10))


def counted_by_hand(widths, bias):
    """Parameters of stem, blocks, projections and head: a k x k convolution and its batch normalisation."""

    def layer(before, after, size):
        return before * after * size * size + bias * after + 2 * after

    total, before = layer(3, widths[0], 3), widths[0]
    for after in widths:
        total += layer(before, after, 3) + 3 * layer(after, after, 3)
        total += layer(before, after, 1) if before != after else 0
        before = after
    return total + before * 10 + 10


@pytest.mark.parametrize(
    ("variant", "widths", "bias"), [("text", (64, 128, 256, 512), 0), ("code", (42, 84, 168, 336), 1)]
)
def test_widths_and_biases_are_those_of_the_variant(variant, widths, bias):
    network = with_head(variant)
    assert sum(parameter.numel() for parameter in network.parameters()) == counted_by_hand(widths, bias)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert all((module.bias is not None) == bool(bias) for module in convolutions)


def test_only_the_texts_variant_pools_behind_the_first_layer():
    maps = {}
    for variant in ("text", "code"):
        network = ResNet18(3, variant=variant, width=8)
        network.stages.register_forward_hook(lambda _m, _i, out, v=variant: maps.update({v: tuple(out.shape[2:])}))
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 64)
    assert maps == {"text": (2, 2), "code": (4, 4)}


def test_the_recipe_is_the_codes():
    options = ResNet18Options()
    assert (options.epochs, options.batch_size, options.optimiser, options.schedule) == (50, 128, "sgd", "cosine")
    assert (options.learning_rate, options.momentum, options.weight_decay) == (0.2, 0.0005, 5e-4)
    assert options.augmentation == "crop_flip"
