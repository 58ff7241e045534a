"""Networks with adaptive pooling train in deterministic mode on CUDA: the same windows, by products that repeat."""

import numpy as np
import pytest
import torch
from torch import nn

from balancebench import BalancerError, Phase, TrainingPlan
from balancebench.synthesis.seeded_run import seeded_run
from balancebench.testing import synthesis_context
from balancebench.training import classifier as classifier_module
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.options import TrainingOptions
from balancebench.training.repeatable_pooling import RepeatableAveragePool2d, pool_repeatably

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("size", "pooled"), [((8, 8), 2), ((7, 5), (3, 4)), ((3, 2), (6, 7)), ((9, 9), (None, 7)), ((6, 6), (6, 6))]
)
def test_it_pools_as_torch_does_and_so_does_its_gradient(generator, size, pooled):
    images = torch.randn(4, 3, *size, generator=generator, dtype=torch.float32)
    given = torch.randn(nn.AdaptiveAvgPool2d(pooled)(images).shape, generator=generator)
    results = []
    for pooling in (nn.AdaptiveAvgPool2d(pooled), RepeatableAveragePool2d(pooled)):
        leaf = images.clone().requires_grad_()
        pooling(leaf).backward(given)
        results.append((pooling(images), leaf.grad))
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-6)


def test_it_adds_up_in_float32_under_autocast(generator):
    images = torch.randn(2, 3, 9, 9, generator=generator).to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = RepeatableAveragePool2d(4)(images)
    assert pooled.dtype == torch.bfloat16
    torch.testing.assert_close(pooled, nn.AdaptiveAvgPool2d(4)(images.float()).to(torch.bfloat16), rtol=0.01, atol=1e-3)


def networks_pooling(pooled):
    return nn.Sequential(nn.Sequential(nn.AdaptiveAvgPool2d(pooled)), nn.Flatten())


@pytest.mark.parametrize(
    ("pooled", "device", "deterministic", "replaced"),
    [
        (2, CUDA, True, True),
        ((6, 6), CUDA, True, True),
        (1, CUDA, True, False),
        ((1, 1), CUDA, True, False),
        (2, CUDA, False, False),
        (2, CPU, True, False),
    ],
)
def test_only_pooling_that_would_not_repeat_is_replaced(pooled, device, deterministic, replaced):
    network = networks_pooling(pooled)
    pool_repeatably(network, device, deterministic=deterministic)
    assert isinstance(network[0][0], RepeatableAveragePool2d) is replaced


@pytest.mark.parametrize("name", ["alexnet", "vgg11_bn"])
def test_the_networks_that_were_refused_pool_repeatably(name):
    from torchvision import models

    with torch.device("meta"):
        network = models.get_model(name, weights=None)
    pool_repeatably(network, CUDA, deterministic=True)
    assert not any(type(module) is nn.AdaptiveAvgPool2d for module in network.modules())


def test_training_and_restoring_pool_alike(make_images, make_context, tiny_backbone, tmp_path, monkeypatch):
    poolings = []

    def as_on_cuda(network, _device, *, deterministic):
        pool_repeatably(network, CUDA, deterministic=deterministic)
        poolings.append([type(module) for module in network.modules() if isinstance(module, nn.AdaptiveAvgPool2d)])

    images = make_images()
    plan = TrainingPlan(phases=(Phase(images=images),))
    classifier = NetworkClassifier(tiny_backbone, TrainingOptions(epochs=2, batch_size=8))
    plain = classifier.fit(plan, make_context()).predict_logits(images.images_NCHW)
    monkeypatch.setattr(classifier_module, "pool_repeatably", as_on_cuda)
    predictor = classifier.fit(plan, make_context())
    predictor.save(tmp_path)
    restored = classifier.restore(tmp_path, "cpu")
    assert poolings == [[RepeatableAveragePool2d]] * 2
    logits = predictor.predict_logits(images.images_NCHW)
    assert np.array_equal(restored.predict_logits(images.images_NCHW), logits)
    np.testing.assert_allclose(logits, plain, rtol=1e-3, atol=1e-4)


def test_a_generator_that_cannot_repeat_says_what_to_do(tmp_path):
    refusal = r"put_.* no deterministic form on this device: set deterministic = false"
    with pytest.raises(BalancerError, match=refusal), seeded_run(synthesis_context(tmp_path)):
        torch.zeros(3).put_(torch.zeros(1, dtype=torch.int64), torch.zeros(1))
