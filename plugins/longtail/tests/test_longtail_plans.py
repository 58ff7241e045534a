"""Phases, samplers and heads of the methods that change the schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from balancebench import BalancerError, LabelledImages, Phase, Restart, TrainingPlan
from balancebench.training.options import TrainingOptions
from balancebench.training.schedule import schedule_phases

MakeTrain = Callable[..., LabelledImages]
Plan = Callable[..., TrainingPlan]


@pytest.fixture
def train(make_train: MakeTrain) -> LabelledImages:
    return make_train(81, 16, 1)


@pytest.fixture
def logits_NK() -> Tensor:
    return torch.randn(12, 3, generator=torch.Generator().manual_seed(1)).tanh()


LABELS_N = torch.arange(12) % 3


def class_probabilities(phase: Phase) -> NDArray[np.float64]:
    """Return how likely each class is in a phase's batches."""
    weight_N = phase.sampling_weight_N
    weight_N = np.ones(len(phase.images)) if weight_N is None else weight_N
    sums_K = np.bincount(phase.images.labels_N, weights=weight_N, minlength=phase.images.class_count)
    return sums_K / sums_K.sum()


def test_drw_is_plain_until_the_deferral_and_weighted_after(train: LabelledImages, plan: Plan, logits_NK: Tensor):
    first, second = plan("drw", train, defer_at=0.75, beta=0.99).phases
    assert (first.share, second.share) == (0.75, 0.25)
    assert first.restart is None
    assert second.restart is None
    assert first.loss is not None
    assert second.loss is not None
    weight_K = torch.tensor([(1 - 0.99) / (1 - 0.99**count) for count in (81, 16, 1)])
    torch.testing.assert_close(first.loss(logits_NK, LABELS_N).mean(), F.cross_entropy(logits_NK, LABELS_N))
    torch.testing.assert_close(
        second.loss(logits_NK, LABELS_N).mean(), F.cross_entropy(logits_NK, LABELS_N, weight=weight_K)
    )


def test_ldam_drw_weights_the_margin_loss_in_its_second_phase(train: LabelledImages, plan: Plan, logits_NK: Tensor):
    planned = plan("ldam_drw", train, beta=0.99)
    _, second = planned.phases
    margin_K = torch.tensor([1 / 6, 1 / 4, 1 / 2])  # counts 81, 16, 1 have fourth roots 3, 2, 1
    reduced_NK = 30 * (logits_NK - F.one_hot(LABELS_N, 3) * margin_K)
    weight_K = torch.tensor([(1 - 0.99) / (1 - 0.99**count) for count in (81, 16, 1)])
    assert planned.head == "cosine"
    assert second.loss is not None
    torch.testing.assert_close(
        second.loss(logits_NK, LABELS_N).mean(), F.cross_entropy(reduced_NK, LABELS_N, weight=weight_K)
    )


def test_ldam_drw_is_drw_with_the_loss_ldam(train: LabelledImages, plan: Plan, logits_NK: Tensor):
    named, table = (
        plan("drw", train, loss=loss) for loss in ("ldam", {"use": "ldam", "max_margin": 0.5, "scale": 30.0})
    )
    own = plan("ldam_drw", train)
    for planned in (named, table):
        assert planned.head == own.head
        for phase, own_phase in zip(planned.phases, own.phases, strict=True):
            assert phase.share == own_phase.share
            assert phase.loss is not None
            assert own_phase.loss is not None
            torch.testing.assert_close(phase.loss(logits_NK, LABELS_N), own_phase.loss(logits_NK, LABELS_N))


def test_every_option_of_ldam_drw_is_one_of_drw_or_of_its_loss(train: LabelledImages, plan: Plan, logits_NK: Tensor):
    of_loss, of_deferral = {"max_margin": 0.2, "scale": 21.0}, {"defer_at": 0.6, "beta": 0.95}
    by_drw = plan("drw", train, loss={"use": "ldam", **of_loss}, **of_deferral)
    own = plan("ldam_drw", train, **of_loss, **of_deferral)
    for phase, own_phase in zip(by_drw.phases, own.phases, strict=True):
        assert phase.share == own_phase.share
        assert phase.loss is not None
        assert own_phase.loss is not None
        assert torch.equal(phase.loss(logits_NK, LABELS_N), own_phase.loss(logits_NK, LABELS_N))


def test_drs_draws_classes_equally_often_after_the_deferral(train: LabelledImages, plan: Plan):
    first, second = plan("drs", train, loss="ldam").phases
    assert first.sampling_weight_N is None
    np.testing.assert_allclose(class_probabilities(second), np.full(3, 1 / 3))
    assert first.loss is second.loss


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "ldam", "balanced_softmax", {"use": "focal", "gamma": 1}])
@pytest.mark.parametrize("name", ["drw", "drs"])
def test_deferral_works_for_any_loss(train: LabelledImages, plan: Plan, logits_NK: Tensor, name: str, loss: Any):
    for phase in plan(name, train, loss=loss).phases:
        assert phase.loss is not None
        assert phase.loss(logits_NK, LABELS_N).isfinite().all()


@pytest.mark.parametrize(("epochs", "spent"), [(200, [160, 40]), (10, [8, 2]), (4, [3, 1]), (3, [2, 1])])
def test_a_deferral_splits_the_budget_at_the_nearest_epoch(
    train: LabelledImages, plan: Plan, epochs: int, spent: list[int]
):
    schedules = schedule_phases(TrainingOptions(epochs=epochs), plan("drw", train).phases)
    assert [len(schedule.epoch_steps) for schedule in schedules] == spent


@pytest.mark.parametrize("defer_at", [0.01, 0.8, 0.99])
@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_both_parts_of_a_deferral_last_an_epoch_however_few_there_are(
    train: LabelledImages, plan: Plan, epochs: int, defer_at: float
):
    schedules = schedule_phases(TrainingOptions(epochs=epochs), plan("drw", train, defer_at=defer_at).phases)
    assert all(len(schedule.epoch_steps) >= 1 for schedule in schedules)


def test_a_deferral_keeps_one_learning_rate_schedule_and_one_optimiser(train: LabelledImages, plan: Plan):
    options = TrainingOptions(epochs=200, schedule="multi_step", milestones=(0.8, 0.9), factors=(0.01, 0.0001))
    first, second = schedule_phases(options, plan("drw", train).phases)
    assert not second.fresh_optimiser
    assert second.learning_rate == first.learning_rate
    assert second.learning_rate.at(second.first_step) == pytest.approx(0.01 * options.learning_rate)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("class_balanced_sampling", [1 / 3, 1 / 3, 1 / 3]),
        ("square_root_sampling", [9 / 14, 4 / 14, 1 / 14]),  # roots of 81, 16, 1
    ],
)
def test_sampling_draws_classes_with_their_probabilities(
    train: LabelledImages, plan: Plan, name: str, expected: list[float]
):
    (phase,) = plan(name, train).phases
    np.testing.assert_allclose(class_probabilities(phase), expected)


def test_progressive_sampling_moves_from_the_images_to_balanced_classes(make_train: MakeTrain, plan: Plan):
    phases = plan("progressive_sampling", make_train(6, 2), stages=4).phases
    # t is 1/4, 2/4, 3/4, 1 of the way from 6/8 to 1/2.
    first_class = [class_probabilities(phase)[0] for phase in phases]
    np.testing.assert_allclose(first_class, [0.6875, 0.625, 0.5625, 0.5])
    schedules = schedule_phases(TrainingOptions(epochs=10), phases)
    assert sum(len(schedule.epoch_steps) for schedule in schedules) == 10
    assert not any(schedule.fresh_optimiser for schedule in schedules[1:])


def test_progressive_sampling_of_a_stage_an_epoch_is_the_papers_and_ends_balanced(make_train: MakeTrain, plan: Plan):
    phases = plan("progressive_sampling", make_train(60, 30, 10), stages=20).phases
    schedules = schedule_phases(TrainingOptions(epochs=20, batch_size=50), phases)
    assert [len(schedule.epoch_steps) for schedule in schedules] == [1] * 20
    for epoch, phase in enumerate(phases, start=1):
        expected_K = (1 - epoch / 20) * np.array([0.6, 0.3, 0.1]) + epoch / 20 / 3
        np.testing.assert_allclose(class_probabilities(phase), expected_K)
    np.testing.assert_allclose(class_probabilities(phases[-1]), np.full(3, 1 / 3))


def test_crt_retrains_a_new_head_on_balanced_batches_beyond_the_budget(train: LabelledImages, plan: Plan):
    first, second = plan("crt", train, head_share=0.15, learning_rate=0.02).phases
    assert (first.share, first.trainable, first.reset_head) == (1.0, "all", False)
    assert (second.share, second.trainable, second.reset_head) == (0.15, "head", True)
    assert second.restart == Restart(learning_rate=0.02, schedule="cosine")
    assert second.trains_batch_norm, "as in the authors' code, whose networks stay in training mode"
    assert second.loss is None
    np.testing.assert_allclose(class_probabilities(second), np.full(3, 1 / 3))


def test_crt_can_freeze_batch_normalisation_with_the_rest(train: LabelledImages, plan: Plan):
    _, second = plan("crt", train, batch_norm="frozen").phases
    assert not second.trains_batch_norm


def test_crt_can_follow_another_balancer(train: LabelledImages, plan: Plan):
    mixed, second = plan("crt", train, base={"use": "mixup", "alpha": 0.5}).phases
    assert mixed.batch_transform is not None
    assert second.batch_transform is None


def test_tau_normalisation_of_a_hand_computed_case(train: LabelledImages, plan: Plan):
    weight_KD = torch.tensor([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0]])
    lengths = {0.0: (1, 1), 0.5: (5**0.5, 2**0.5), 1.0: (5, 2)}
    for tau, (first, second) in lengths.items():
        adjust_head = plan("tau_norm", train, tau=tau).adjust_head
        assert adjust_head is not None
        expected_KD = torch.tensor([[3.0 / first, 4.0 / first], [0.0, -2.0 / second], [0.0, 0.0]])
        torch.testing.assert_close(adjust_head(weight_KD), expected_KD)


@pytest.mark.parametrize("name", ["crt", "tau_norm"])
def test_a_base_whose_head_is_balanced_otherwise_is_refused(train: LabelledImages, plan: Plan, name: str):
    with pytest.raises(BalancerError, match="needs a base with a linear head"):
        plan(name, train, base={"use": "ldam"})
    for base in ({"use": "tau_norm"}, {"use": "logit_adjustment", "form": "post_hoc"}):
        with pytest.raises(BalancerError, match="balances it after training already"):
            plan(name, train, base=base)


@pytest.mark.parametrize(
    "name",
    [
        "drw",
        "drs",
        "ldam_drw",
        "crt",
        "class_balanced_sampling",
        "square_root_sampling",
        "progressive_sampling",
        "posterior_recalibration",
    ],
)
def test_methods_that_count_images_refuse_a_class_without_any(make_train: MakeTrain, plan: Plan, name: str):
    with pytest.raises(BalancerError, match="class 'cat' has no images"):
        plan(name, make_train(9, 0, 3))
    with pytest.raises(BalancerError, match="only class 'bird' has images"):
        plan(name, make_train(9))


def test_every_phase_trains_on_the_images_as_they_are(train: LabelledImages, plan: Plan):
    for name in ("drw", "drs", "ldam_drw", "crt", "tau_norm", "progressive_sampling", "mixup", "cmo"):
        assert all(phase.images is train for phase in plan(name, train).phases)
