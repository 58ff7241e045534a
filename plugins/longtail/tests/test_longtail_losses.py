"""The losses, against torch, torchvision, and cases computed by hand.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from balancebench import BalancerError, LabelledImages, Loss, TrainingPlan

MakeTrain = Callable[..., LabelledImages]
Plan = Callable[..., TrainingPlan]


@pytest.fixture
def train(make_train: MakeTrain) -> LabelledImages:
    return make_train(60, 20, 5, 2)


@pytest.fixture
def logits_NK() -> Tensor:
    return 3 * torch.randn(32, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels_N() -> Tensor:
    return torch.randint(4, (32,), generator=torch.Generator().manual_seed(2))


def only_loss(plan: TrainingPlan) -> Loss:
    (phase,) = plan.phases
    assert phase.loss is not None
    return phase.loss


@pytest.mark.parametrize(("weighting", "exponent"), [("inverse_frequency", 1.0), ("inverse_square_root", 0.5)])
def test_weighted_cross_entropy_is_torchs_weighted_mean(
    train: LabelledImages, plan: Plan, logits_NK: Tensor, labels_N: Tensor, weighting: str, exponent: float
):
    weight_K = torch.tensor([60.0, 20.0, 5.0, 2.0]) ** -exponent
    reference = F.cross_entropy(logits_NK, labels_N, weight=weight_K)  # its weighted mean knows no scale of the weights
    losses_N = only_loss(plan("weighted_cross_entropy", train, weighting=weighting))(logits_NK, labels_N)
    torch.testing.assert_close(losses_N.mean(), reference)


def test_dividing_by_images_gives_torchs_weighted_sum_over_the_batch_size(
    train: LabelledImages, plan: Plan, logits_NK: Tensor, labels_N: Tensor
):
    weight_K = 1 / torch.tensor([60.0, 20.0, 5.0, 2.0])
    weight_K *= 4 / weight_K.sum()
    reference = F.cross_entropy(logits_NK, labels_N, weight=weight_K, reduction="sum") / 32
    losses_N = only_loss(plan("weighted_cross_entropy", train, normalise_by="images"))(logits_NK, labels_N)
    torch.testing.assert_close(losses_N.mean(), reference)


def test_class_balanced_softmax_uses_the_effective_number_of_images(
    train: LabelledImages, plan: Plan, logits_NK: Tensor, labels_N: Tensor
):
    weight_K = torch.tensor([(1 - 0.99) / (1 - 0.99**count) for count in (60, 20, 5, 2)])
    losses_N = only_loss(plan("class_balanced_loss", train, beta=0.99))(logits_NK, labels_N)
    torch.testing.assert_close(losses_N.mean(), F.cross_entropy(logits_NK, labels_N, weight=weight_K))


def test_class_balanced_sigmoid_is_binary_cross_entropy_from_a_bias_of_one_in_k(
    train: LabelledImages, plan: Plan, logits_NK: Tensor, labels_N: Tensor
):
    shifted_NK = logits_NK - math.log(3)  # sigmoid(-log(K - 1)) is 1 / K
    reference_N = F.binary_cross_entropy_with_logits(shifted_NK, F.one_hot(labels_N, 4).float(), reduction="none").sum(
        dim=1
    )
    losses_N = only_loss(plan("class_balanced_loss", train, form="sigmoid", beta=0))(logits_NK, labels_N)
    torch.testing.assert_close(losses_N, reference_N)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_class_balanced_focal_is_torchvisions_sigmoid_focal_loss(
    train: LabelledImages, plan: Plan, logits_NK: Tensor, labels_N: Tensor, gamma: float
):
    from torchvision.ops import sigmoid_focal_loss

    shifted_NK = logits_NK - math.log(3)
    reference_N = sigmoid_focal_loss(shifted_NK, F.one_hot(labels_N, 4).float(), alpha=-1, gamma=gamma).sum(dim=1)
    losses_N = only_loss(plan("class_balanced_loss", train, form="focal", beta=0, gamma=gamma))(logits_NK, labels_N)
    torch.testing.assert_close(losses_N, reference_N)


def test_the_class_weight_leaves_the_focal_modulation_alone(
    train: LabelledImages, plan: Plan, logits_NK: Tensor, labels_N: Tensor
):
    options = {"form": "focal", "gamma": 2.0, "normalise_by": "images"}
    unweighted_N = only_loss(plan("class_balanced_loss", train, beta=0, **options))(logits_NK, labels_N)
    weighted_N = only_loss(plan("class_balanced_loss", train, beta=1, **options))(logits_NK, labels_N)
    weight_K = 1 / torch.tensor([60.0, 20.0, 5.0, 2.0])
    torch.testing.assert_close(weighted_N / unweighted_N, (weight_K * 4 / weight_K.sum())[labels_N])


def test_focal_of_a_hand_computed_case(train: LabelledImages, plan: Plan):
    # Two of the four classes at log 2 and log 6 over two at log 1: p = 0.2 and 0.6.
    logits_NK = torch.tensor([[2.0, 6.0, 1.0, 1.0]]).log().expand(2, 4)
    losses_N = only_loss(plan("focal", train, gamma=2))(logits_NK, torch.tensor([0, 1]))
    torch.testing.assert_close(losses_N, torch.tensor([0.64 * -math.log(0.2), 0.16 * -math.log(0.6)]))


def test_focal_with_gamma_zero_is_cross_entropy(train: LabelledImages, plan: Plan, logits_NK: Tensor, labels_N: Tensor):
    losses_N = only_loss(plan("focal", train, gamma=0))(logits_NK, labels_N)
    torch.testing.assert_close(losses_N, F.cross_entropy(logits_NK, labels_N, reduction="none"))


def test_ldam_of_a_hand_computed_case(make_train: MakeTrain, plan: Plan):
    # Counts 81, 16, 1 have fourth roots 3, 2, 1: margins 1/6, 1/4, 1/2. Label 1 loses 1/4 from its cosine.
    losses_N = only_loss(plan("ldam", make_train(81, 16, 1), scale=10))(
        torch.tensor([[0.3, 0.5, -0.2]]), torch.tensor([1])
    )
    expected = math.log(math.exp(3.0) + math.exp(2.5) + math.exp(-2.0)) - 2.5
    torch.testing.assert_close(losses_N, torch.tensor([expected]))


def test_ldam_asks_for_a_cosine_head_and_scales_what_it_predicts(train: LabelledImages, plan: Plan):
    planned = plan("ldam", train, scale=20)
    assert planned.head == "cosine"
    assert planned.adjust_logits is not None
    torch.testing.assert_close(planned.adjust_logits(torch.tensor([[0.5, -0.25]])), torch.tensor([[10.0, -5.0]]))


def test_balanced_softmax_is_the_posterior_in_proportion_to_class_sizes(make_train: MakeTrain, plan: Plan):
    # Equal logits: the probability of a class is its share of the 12 images.
    losses_N = only_loss(plan("balanced_softmax", make_train(8, 3, 1)))(torch.zeros(3, 3), torch.arange(3))
    torch.testing.assert_close(losses_N, -torch.tensor([8 / 12, 3 / 12, 1 / 12]).log())


def test_balanced_softmax_is_logit_adjustment_at_tau_one(
    train: LabelledImages, plan: Plan, logits_NK: Tensor, labels_N: Tensor
):
    balanced_N, adjusted_N, plain_N = (
        only_loss(planned)(logits_NK, labels_N)
        for planned in (
            plan("balanced_softmax", train),
            plan("logit_adjustment", train, tau=1),
            plan("logit_adjustment", train, tau=0),
        )
    )
    torch.testing.assert_close(balanced_N, adjusted_N)
    torch.testing.assert_close(plain_N, F.cross_entropy(logits_NK, labels_N, reduction="none"))


def test_post_hoc_adjustment_undoes_the_prior_of_a_perfectly_fitted_posterior(make_train: MakeTrain, plan: Plan):
    planned = plan("logit_adjustment", make_train(6, 3, 1), form="post_hoc")
    (phase,) = planned.phases
    assert phase.loss is None
    assert planned.adjust_logits is not None
    likelihood_NK = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    posterior_NK = likelihood_NK * torch.tensor([0.6, 0.3, 0.1])
    adjusted_NK = planned.adjust_logits(posterior_NK.log()).softmax(dim=1)
    torch.testing.assert_close(adjusted_NK, likelihood_NK)


@pytest.mark.parametrize("rebalancing", [0.0, 0.4, 1.0, 1.3])
def test_recalibration_is_the_normalised_geometric_mean_of_both_posteriors(
    make_train: MakeTrain, plan: Plan, rebalancing: float
):
    planned = plan("posterior_recalibration", make_train(6, 3, 1), rebalancing=rebalancing)
    assert planned.adjust_logits is not None
    trained_K = np.array([0.7, 0.2, 0.1])
    equal_priors_K = trained_K / np.array([0.6, 0.3, 0.1])
    equal_priors_K /= equal_priors_K.sum()
    mean_K = trained_K ** (1 - rebalancing) * equal_priors_K**rebalancing
    adjusted = planned.adjust_logits(torch.from_numpy(trained_K)[None].float().log() + 5).softmax(dim=1)
    np.testing.assert_allclose(adjusted[0].numpy(), mean_K / mean_K.sum(), rtol=1e-5)


def test_recalibration_minimises_the_weighted_divergence_from_both_posteriors(make_train: MakeTrain, plan: Plan):
    planned = plan("posterior_recalibration", make_train(6, 3, 1), rebalancing=0.4)
    assert planned.adjust_logits is not None
    trained_K = torch.tensor([0.7, 0.2, 0.1])
    equal_priors_K = F.normalize(trained_K / torch.tensor([0.6, 0.3, 0.1]), p=1, dim=0)
    optimum_K = planned.adjust_logits(trained_K.log()[None]).softmax(dim=1)[0]

    def divergence(posterior_K: Tensor) -> float:
        from_trained = (posterior_K * (posterior_K / trained_K).log()).sum()
        from_equal = (posterior_K * (posterior_K / equal_priors_K).log()).sum()
        return float(0.6 * from_trained + 0.4 * from_equal)

    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        other_K = (optimum_K.log() + 0.05 * torch.randn(3, generator=generator)).softmax(dim=0)
        assert divergence(optimum_K) < divergence(other_K)


def test_recalibration_predicts_what_post_hoc_logit_adjustment_predicts(
    train: LabelledImages, plan: Plan, logits_NK: Tensor
):
    recalibrated = plan("posterior_recalibration", train, rebalancing=0.7).adjust_logits
    adjusted = plan("logit_adjustment", train, form="post_hoc", tau=0.7).adjust_logits
    assert recalibrated is not None
    assert adjusted is not None
    torch.testing.assert_close(recalibrated(logits_NK).softmax(1), adjusted(logits_NK).softmax(1))


def test_recalibration_follows_the_adjustment_of_its_base(train: LabelledImages, plan: Plan):
    planned = plan("posterior_recalibration", train, rebalancing=0.7, base={"use": "ldam_drw", "scale": 10})
    alone = plan("posterior_recalibration", train, rebalancing=0.7).adjust_logits
    cosines_NK = torch.tensor([[0.1, 0.2, -0.3, 0.9]])
    assert len(planned.phases) == 2
    assert planned.head == "cosine"
    assert planned.adjust_logits is not None
    assert alone is not None
    torch.testing.assert_close(planned.adjust_logits(cosines_NK), alone(10 * cosines_NK))


EVERY_LOSS = [
    ("weighted_cross_entropy", {}),
    ("class_balanced_loss", {}),
    ("class_balanced_loss", {"form": "sigmoid"}),
    ("class_balanced_loss", {"form": "focal", "gamma": 0.5}),
    ("focal", {}),
    ("focal", {"gamma": 0.5}),
    ("focal", {"gamma": 0}),
    ("ldam", {}),
    ("balanced_softmax", {}),
    ("logit_adjustment", {"tau": 2}),
]


@pytest.mark.parametrize(("name", "options"), EVERY_LOSS)
def test_losses_and_gradients_stay_finite_for_confident_logits(
    make_train: MakeTrain, plan: Plan, name: str, options: dict[str, object]
):
    loss = only_loss(plan(name, make_train(5000, 70, 1), **options))
    for size in (0.0, 1.0, 80.0, 3e4):
        logits_NK = (size * torch.tensor([[1.0, -1.0, -1.0], [1.0, -1.0, -1.0]])).requires_grad_()
        losses_N = loss(logits_NK, torch.tensor([0, 2]))
        losses_N.mean().backward()
        assert losses_N.isfinite().all()
        assert logits_NK.grad is not None
        assert logits_NK.grad.isfinite().all()


@pytest.mark.parametrize(("name", "options"), EVERY_LOSS)
def test_gradients_are_those_of_finite_differences(
    train: LabelledImages, plan: Plan, name: str, options: dict[str, object]
):
    loss, labels_N = only_loss(plan(name, train, **options)), torch.tensor([0, 1, 2, 3])
    logits_NK = torch.randn(4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)

    def losses_N(logits_NK: Tensor) -> Tensor:
        return loss(logits_NK, labels_N)

    assert torch.autograd.gradcheck(losses_N, (logits_NK,), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "name", ["weighted_cross_entropy", "class_balanced_loss", "ldam", "balanced_softmax", "logit_adjustment", "focal"]
)
def test_a_single_class_is_refused(make_train: MakeTrain, plan: Plan, name: str):
    for train in (make_train(9), make_train(9, 0)):
        with pytest.raises(BalancerError, match="only class 'bird' has images"):
            plan(name, train)


@pytest.mark.parametrize(
    "name", ["weighted_cross_entropy", "class_balanced_loss", "ldam", "balanced_softmax", "logit_adjustment"]
)
def test_losses_that_count_images_refuse_a_class_without_any(make_train: MakeTrain, plan: Plan, name: str):
    with pytest.raises(BalancerError, match="class 'cat' has no images"):
        plan(name, make_train(9, 0, 3))


def test_focal_counts_no_images_and_takes_a_set_without_a_class(make_train: MakeTrain, plan: Plan):
    assert len(plan("focal", make_train(9, 0, 3)).phases) == 1
