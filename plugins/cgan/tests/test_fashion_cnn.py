"""The classifier's loss is the published one, against a plain loop, and its predictions are logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from balancebench import Phase, TrainingPlan
from balancebench.testing import fit_context
from balancebench_cgan.fashion_cnn import FashionCNN, fashion_cnn
from balancebench_cgan.options import FashionCNNOptions


def first_losses(train, softmax_output: bool) -> list[float]:
    """Return the loss of one full-batch epoch after the other."""
    losses: list[float] = []
    options = FashionCNNOptions(softmax_output=softmax_output, epochs=2, batch_size=len(train))
    context = fit_context(epoch_finished=lambda _epoch, _predictor, values: losses.append(values["loss"]))
    predictor = fashion_cnn(options).fit(TrainingPlan(phases=(Phase(images=train),)), context)
    logits_NK = predictor.predict_logits(train.images_NCHW)
    assert np.abs(logits_NK.sum(axis=1) - 1).max() > 1e-3  # not probabilities
    return losses


def test_with_its_softmax_the_loss_is_that_of_probabilities_and_never_below_the_floor(make_train):
    train = make_train(12, 8, 4)
    plain, softmaxed = first_losses(train, False), first_losses(train, True)
    assert plain[0] == pytest.approx(np.log(3), abs=0.1)  # logits near 0 at the start
    assert softmaxed[0] == pytest.approx(np.log(3), abs=0.02)
    floor = np.log(np.e + 2) - 1
    assert floor < softmaxed[1] < softmaxed[0]
    assert plain[0] - plain[1] > 2 * (softmaxed[0] - softmaxed[1])  # a second softmax flattens the loss


def test_pixels_enter_between_minus_one_and_one_and_train_as_in_a_plain_loop(make_train):
    train = make_train(10, 6, shape=(1, 28, 28))
    options = FashionCNNOptions(softmax_output=True, epochs=3, batch_size=len(train))
    losses: list[float] = []
    context = fit_context(epoch_finished=lambda _epoch, _predictor, values: losses.append(values["loss"]))
    fashion_cnn(options).fit(TrainingPlan(phases=(Phase(images=train),)), context)

    from balancebench.training.model import build_model
    from balancebench.training.reproducibility import run_seeds, seeded_globals

    with seeded_globals(run_seeds(context.seed).network, torch.device("cpu")):
        built = build_model(FashionCNN, channels=1, image_size=(28, 28), class_count=2, head="linear")
    network = nn.Sequential(built, nn.Softmax(dim=-1)).train()
    adam = torch.optim.Adam(network.parameters(), lr=0.0005, betas=(0.99, 0.999))
    images, labels = (torch.from_numpy(array.copy()) for array in (train.images_NCHW, train.labels_N))
    expected: list[float] = []
    for _ in range(3):
        loss = nn.CrossEntropyLoss()(network((images / 255 - 0.5) / 0.5), labels)
        adam.zero_grad()
        loss.backward()
        adam.step()
        expected.append(loss.item())
    assert losses == pytest.approx(expected, abs=1e-4)
