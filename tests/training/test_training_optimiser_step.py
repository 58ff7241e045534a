from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from balancebench import BalancerError, Batch
from balancebench.training.model import build_model
from balancebench.training.optimiser_step import TrainingStep, batch_losses, cross_entropy, forget, make_optimiser
from balancebench.training.options import TrainingOptions


@pytest.fixture
def model(tiny_backbone):
    torch.manual_seed(0)
    model = build_model(
        tiny_backbone,
        channels=3,
        image_size=(8, 8),
        class_count=4,
        head="linear",
    ).train()
    model.backbone.layers[5].p = 0.0
    return model


@pytest.fixture
def batch(generator):
    return Batch(
        images_NCHW=torch.randn(16, 3, 8, 8, generator=generator),
        labels_N=torch.randint(4, (16,), generator=generator),
    )


def test_no_gradient_outlives_the_next_forward_pass(model, batch):
    gradients = []

    def watched(images_NCHW):
        gradients.append([parameter.grad for parameter in model.parameters()])
        return model(images_NCHW)

    optimiser = make_optimiser(model.parameters(), TrainingOptions(), torch.device("cpu"))
    step = TrainingStep(network=watched, optimiser=optimiser, loss=cross_entropy, precision="fp32")
    for _ in range(2):
        step(batch)

    assert gradients[1] == [None] * len(gradients[1])


REFERENCES = {
    "sgd": lambda parameters: torch.optim.SGD(
        parameters, lr=0.1, momentum=0.9, weight_decay=0.01, foreach=False, fused=False
    ),
    "adam": lambda parameters: torch.optim.Adam(
        parameters, lr=0.1, betas=(0.8, 0.99), weight_decay=0.01, foreach=False, fused=False
    ),
    "adamw": lambda parameters: torch.optim.AdamW(
        parameters, lr=0.1, betas=(0.8, 0.99), weight_decay=0.01, foreach=False, fused=False
    ),
}


@pytest.mark.parametrize("optimiser", REFERENCES)
def test_steps_equal_a_plain_loop(model, batch, optimiser):
    options = TrainingOptions(optimiser=optimiser, learning_rate=0.1, betas=(0.8, 0.99), weight_decay=0.01)
    plain = copy.deepcopy(model)
    step = TrainingStep(
        network=model,
        optimiser=make_optimiser(model.parameters(), options, torch.device("cpu")),
        loss=cross_entropy,
        precision="fp32",
    )
    reference = REFERENCES[optimiser](plain.parameters())

    for _ in range(4):
        loss = step(batch)
        reference.zero_grad()
        expected = F.cross_entropy(plain(batch.images_NCHW), batch.labels_N)
        expected.backward()
        reference.step()

        torch.testing.assert_close(loss, expected.detach(), atol=1e-6, rtol=0)
        for trained, wanted in zip(model.state_dict().values(), plain.state_dict().values(), strict=True):
            torch.testing.assert_close(trained, wanted, atol=1e-6, rtol=1e-5)


def test_sgd_with_momentum_and_decay_equals_the_formula(model, batch):
    options = TrainingOptions(learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    optimiser = make_optimiser(model.parameters(), options, torch.device("cpu"))
    step = TrainingStep(network=model, optimiser=optimiser, loss=cross_entropy, precision="fp32")
    weight = model.head.weight
    velocity = torch.zeros_like(weight)

    for _ in range(3):
        before = weight.detach().clone()
        step(batch)
        velocity = 0.9 * velocity + weight.grad + 0.01 * before
        torch.testing.assert_close(weight.detach(), before - 0.1 * velocity, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("optimiser", REFERENCES)
def test_after_forgetting_a_parameter_steps_as_under_a_new_optimiser(model, batch, optimiser):
    options = TrainingOptions(optimiser=optimiser, learning_rate=0.1)
    used = make_optimiser(model.parameters(), options, torch.device("cpu"))
    for _ in range(3):
        TrainingStep(network=model, optimiser=used, loss=cross_entropy, precision="fp32")(batch)
    twin = copy.deepcopy(model)
    new = make_optimiser(twin.parameters(), options, torch.device("cpu"))

    forget(used, model.head.parameters())
    for network, its_optimiser in ((model, used), (twin, new)):
        TrainingStep(network=network, optimiser=its_optimiser, loss=cross_entropy, precision="fp32")(batch)

    assert torch.equal(model.head.weight, twin.head.weight)
    assert not torch.equal(model.backbone.layers[0].weight, twin.backbone.layers[0].weight)


def test_a_mixed_batch_weights_the_losses_of_both_labels(generator):
    logits = torch.randn(6, 4, generator=generator)
    first, second = torch.randint(4, (2, 6), generator=generator)
    share = torch.rand(6, generator=generator)
    batch = Batch(images_NCHW=logits, labels_N=first, second_labels_N=second, first_weight_N=share)

    losses = batch_losses(cross_entropy, logits, batch)

    log_probability = logits - logits.exp().sum(1, keepdim=True).log()
    for index in range(6):
        by_hand = -share[index] * log_probability[index, first[index]]
        by_hand -= (1 - share[index]) * log_probability[index, second[index]]
        torch.testing.assert_close(losses[index], by_hand)


def test_a_half_mixed_batch_is_refused(batch):
    half = Batch(images_NCHW=batch.images_NCHW, labels_N=batch.labels_N, second_labels_N=batch.labels_N)

    with pytest.raises(BalancerError, match="second_labels_N and first_weight_N"):
        batch_losses(cross_entropy, torch.zeros(16, 4), half)


def test_a_loss_that_averages_is_refused(batch):
    with pytest.raises(BalancerError, match=r"one value for each image, shape \(16,\), got \(\)"):
        batch_losses(F.cross_entropy, torch.zeros(16, 4), batch)


def test_the_output_transform_stands_between_logits_and_loss(model, batch):
    plain = copy.deepcopy(model)
    step = TrainingStep(
        network=model,
        optimiser=make_optimiser(model.parameters(), TrainingOptions(), torch.device("cpu")),
        loss=cross_entropy,
        precision="fp32",
        output=lambda logits_NK: logits_NK.softmax(1),
    )

    expected = F.cross_entropy(plain(batch.images_NCHW).softmax(1), batch.labels_N)

    torch.testing.assert_close(step(batch), expected.detach())


def test_bf16_keeps_weights_logits_and_loss_in_float32(model, batch):
    seen = []

    def loss(logits_NK, labels_N):
        seen.append(logits_NK)
        return cross_entropy(logits_NK, labels_N)

    optimiser = make_optimiser(model.parameters(), TrainingOptions(), torch.device("cpu"))
    value = TrainingStep(network=model, optimiser=optimiser, loss=loss, precision="bf16")(batch)

    assert value.dtype == seen[0].dtype == model.head.weight.dtype == torch.float32
    coarse = seen[0].detach()
    assert torch.equal(coarse, coarse.bfloat16().float()), "the network itself ran in bfloat16"
