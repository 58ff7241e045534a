"""Mixup, Remix, CutMix and CMO, against torchvision and hand-computed cases.

Axis suffixes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from balancebench import BalancerError, Batch, BatchSource, LabelledImages, TrainingPlan
from balancebench.training.optimiser_step import batch_losses, cross_entropy
from balancebench_longtail.cutmix import inside_box, pasted
from balancebench_longtail.mixing import BetaShares
from balancebench_longtail.mixup import interpolated, remix_label_share

MakeTrain = Callable[..., LabelledImages]
MakeSource = Callable[..., Any]
Plan = Callable[..., TrainingPlan]
MIXING = ["mixup", "remix", "cutmix", "cmo"]


@pytest.fixture
def train(make_train: MakeTrain) -> LabelledImages:
    return make_train(60, 20, 4)


def mixed(plan: TrainingPlan, source: Any, size: int = 16) -> tuple[Batch, Batch]:
    """Return a batch of the first `size` images, and what the plan's transform makes of it."""
    batch = source.batch(torch.arange(size))
    transform = plan.phases[0].batch_transform
    assert transform is not None
    return batch, transform(batch, source)


def weights_of(batch: Batch) -> tuple[Tensor, Tensor]:
    assert batch.second_labels_N is not None
    assert batch.first_weight_N is not None
    return batch.second_labels_N, batch.first_weight_N


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_the_symmetric_beta_distribution(make_source: MakeSource, train: LabelledImages, alpha: float):
    shares, source = BetaShares(alpha), make_source(train)
    drawn = torch.cat([shares.draw(source) for _ in range(2000)]).numpy()
    assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_mixup_interpolates_images_as_torchvision_does(make_source: MakeSource, train: LabelledImages):
    from torchvision.transforms import v2

    batch = make_source(train).batch(torch.arange(6))
    partner_N = torch.arange(6).roll(1)  # torchvision's partners
    ours = interpolated(batch, partner_N, torch.tensor([0.3]))
    second_labels_N, first_weight_N = weights_of(ours)
    reference: Any = v2.MixUp(num_classes=3)
    with mock.patch.object(reference, "_dist") as distribution:
        distribution.sample.return_value = torch.tensor(0.3)
        images_NCHW, soft_NK = reference(batch.images_NCHW, batch.labels_N)
    torch.testing.assert_close(ours.images_NCHW, images_NCHW, rtol=1e-5, atol=1e-3)
    one_hot_NK = torch.nn.functional.one_hot(torch.stack([ours.labels_N, second_labels_N]), 3).float()
    ours_NK = first_weight_N[:, None] * one_hot_NK[0] + (1 - first_weight_N[:, None]) * one_hot_NK[1]
    torch.testing.assert_close(ours_NK, soft_NK)


def test_a_mixed_batch_holds_every_image_once_on_each_side(train: LabelledImages, plan: Plan, make_source: MakeSource):
    batch, after = mixed(plan("mixup", train), make_source(train))
    second_labels_N, first_weight_N = weights_of(after)
    share = float(first_weight_N[0])
    assert (first_weight_N == share).all()
    partners_NCHW = (after.images_NCHW - share * batch.images_NCHW) / (1 - share)
    distance_NN = torch.cdist(partners_NCHW.flatten(1), batch.images_NCHW.flatten(1))
    partner_N = distance_NN.argmin(dim=1)
    assert sorted(partner_N.tolist()) == list(range(16))
    torch.testing.assert_close(second_labels_N, batch.labels_N[partner_N])


def test_remix_gives_the_label_to_the_much_smaller_class():
    # n_i / n_j is 3, 2.9, 1/3, 1/2.9 and 1, with kappa 3 and tau 0.5
    first_N, second_N = torch.tensor([300.0, 290.0, 100.0, 100.0, 7.0]), torch.tensor([100.0, 100.0, 300.0, 290.0, 7.0])
    low = remix_label_share(first_N, second_N, torch.tensor([0.4]), 3.0, 0.5)
    high = remix_label_share(first_N, second_N, torch.tensor([0.6]), 3.0, 0.5)
    torch.testing.assert_close(low, torch.tensor([0.0, 0.4, 0.4, 0.4, 0.4]))
    torch.testing.assert_close(high, torch.tensor([0.6, 0.6, 1.0, 0.6, 0.6]))


def test_remix_follows_its_equation_10_for_every_pair():
    rng = np.random.default_rng(0)
    first_N, second_N = rng.integers(1, 500, (2, 400))
    for share in (0.05, 0.3, 0.5, 0.7, 0.95):
        expected = [
            0.0 if i >= 3 * j and share < 0.5 else 1.0 if 3 * i <= j and 1 - share < 0.5 else share
            for i, j in zip(first_N.tolist(), second_N.tolist(), strict=True)
        ]
        ours = remix_label_share(
            torch.from_numpy(first_N).float(), torch.from_numpy(second_N).float(), torch.tensor([share]), 3.0, 0.5
        )
        torch.testing.assert_close(ours, torch.tensor(expected))


def test_remix_mixes_images_as_mixup_and_only_labels_otherwise(
    train: LabelledImages, plan: Plan, make_source: MakeSource
):
    _, by_mixup = mixed(plan("mixup", train), make_source(train, 3))
    _, by_remix = mixed(plan("remix", train), make_source(train, 3))
    torch.testing.assert_close(by_remix.images_NCHW, by_mixup.images_NCHW)
    torch.testing.assert_close(weights_of(by_remix)[0], weights_of(by_mixup)[0])
    counts_N = torch.tensor([60.0, 20.0, 4.0])
    first_N, second_N = counts_N[by_mixup.labels_N], counts_N[weights_of(by_mixup)[0]]
    alike_N = torch.maximum(first_N / second_N, second_N / first_N) < 3
    torch.testing.assert_close(weights_of(by_remix)[1][alike_N], weights_of(by_mixup)[1][alike_N])


def test_remix_over_the_batch_multiplies_mean_shares_with_mean_losses(
    train: LabelledImages, plan: Plan, make_source: MakeSource
):
    picked_N = torch.tensor([0, 1, 2, 60, 61, 80, 81, 82])  # of classes of 60, 20 and 4 images
    batch = make_source(train).batch(picked_N)
    after = {}
    for label_share in ("each_image", "batch_mean"):
        transform = plan("remix", train, label_share=label_share).phases[0].batch_transform
        assert transform is not None
        after[label_share] = transform(batch, make_source(train, 4))
    assert torch.equal(after["batch_mean"].images_NCHW, after["each_image"].images_NCHW)
    logits_NK = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    second_labels_N, share_N = weights_of(after["each_image"])
    assert share_N.unique().numel() > 1  # else both are the same
    first, second = (F.cross_entropy(logits_NK, labels_N) for labels_N in (batch.labels_N, second_labels_N))
    expected = share_N.mean() * first + (1 - share_N.mean()) * second
    ours = batch_losses(cross_entropy, logits_NK, after["batch_mean"]).mean()
    torch.testing.assert_close(ours, expected)
    by_image = batch_losses(cross_entropy, logits_NK, after["each_image"]).mean()
    assert not torch.isclose(by_image, expected, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (28, 28), (17, 40)])
def test_boxes_are_those_of_torchvision(height: int, width: int):
    from torchvision.transforms import v2

    rng = np.random.default_rng(0)
    for _ in range(30):
        share, row, column = float(np.float32(rng.random())), int(rng.integers(height)), int(rng.integers(width))
        ours_HW = inside_box(torch.tensor([share]), torch.tensor([row]), torch.tensor([column]), height, width)
        reference: Any = v2.CutMix(num_classes=3)
        with (
            mock.patch.object(reference, "_dist") as distribution,
            mock.patch("torch.randint", side_effect=[torch.tensor([column]), torch.tensor([row])]),
        ):
            distribution.sample.return_value = torch.tensor(share)
            parameters = reference.make_params([torch.zeros(2, 3, height, width)])
        left, top, right, bottom = parameters["box"]
        expected_HW = torch.zeros(height, width, dtype=torch.bool)
        expected_HW[top:bottom, left:right] = True
        assert torch.equal(ours_HW, expected_HW)
        assert 1 - float(ours_HW.float().mean()) == pytest.approx(parameters["lam_adjusted"], abs=1e-6)


def test_pasting_replaces_the_box_and_weights_labels_by_area():
    back = Batch(images_NCHW=torch.zeros(2, 1, 4, 4), labels_N=torch.tensor([0, 1]))
    front = Batch(images_NCHW=torch.ones(2, 1, 4, 4), labels_N=torch.tensor([2, 2]))
    inside_HW = torch.zeros(4, 4, dtype=torch.bool)
    inside_HW[1:3, 0:3] = True
    after = pasted(back, front, inside_HW)
    second_labels_N, first_weight_N = weights_of(after)
    assert torch.equal(after.images_NCHW[1, 0], inside_HW.float())
    assert after.labels_N.tolist() == [0, 1]
    assert second_labels_N.tolist() == [2, 2]
    assert first_weight_N.tolist() == [1 - 6 / 16] * 2


def test_cutmix_pastes_within_the_batch_and_weighs_by_the_pixels_that_stay(
    train: LabelledImages, plan: Plan, make_source: MakeSource
):
    source = make_source(train)
    for _ in range(20):
        batch, after = mixed(plan("cutmix", train, probability=1), source)
        second_labels_N, first_weight_N = weights_of(after)
        assert (first_weight_N == first_weight_N[0]).all()
        stayed_N = (after.images_NCHW == batch.images_NCHW).all(dim=1).float().mean(dim=(1, 2))
        itself_N = stayed_N == 1  # an image whose partner is itself, or an empty box
        torch.testing.assert_close(stayed_N[~itself_N], first_weight_N[~itself_N])
        assert sorted(second_labels_N.tolist()) == sorted(batch.labels_N.tolist())
    assert source.drawn_with == []


@pytest.mark.parametrize("name", ["cutmix", "cmo"])
def test_a_batch_stays_as_it_is_with_the_rest_of_the_probability(
    train: LabelledImages, plan: Plan, make_source: MakeSource, name: str
):
    never, half = plan(name, train, probability=0), plan(name, train, probability=0.5)
    source = make_source(train)
    batch, after = mixed(never, source)
    assert torch.equal(after.images_NCHW, batch.images_NCHW)
    assert (weights_of(after)[1] == 1).all()
    untouched = sum(bool((weights_of(mixed(half, source)[1])[1] == 1).all()) for _ in range(200))
    assert 70 < untouched < 140  # a half, and the few boxes that are empty anyway


def test_cmo_pastes_images_that_are_drawn_class_balanced(train: LabelledImages, plan: Plan, make_source: MakeSource):
    source = make_source(train)
    planned = plan("cmo", train, probability=1)
    seconds: list[int] = []
    for _ in range(60):
        _, after = mixed(planned, source)
        seconds += weights_of(after)[0].tolist()
    (weight_N,) = {id(weight): weight for weight in source.drawn_with}.values()  # one array, known by its identity
    sums_K = np.bincount(train.labels_N, weights=weight_N)
    np.testing.assert_allclose(sums_K / sums_K.sum(), np.full(3, 1 / 3))
    # Binomial(960, 1/3) for each class: mean 320, standard deviation 14.6.
    assert (abs(np.bincount(seconds) - 320) < 5 * 14.6).all()


@pytest.mark.parametrize("name", MIXING)
def test_mixing_wraps_every_phase_of_its_base(train: LabelledImages, plan: Plan, name: str):
    alone, deferred = plan("ldam_drw", train), plan(name, train, base={"use": "ldam_drw"})
    assert deferred.head == alone.head
    assert [phase.share for phase in deferred.phases] == [phase.share for phase in alone.phases]
    assert all(phase.batch_transform is not None and phase.loss is not None for phase in deferred.phases)


def test_mixing_twice_is_refused(train: LabelledImages, plan: Plan):
    with pytest.raises(BalancerError, match="the base already mixes its batches"):
        plan("cmo", train, base={"use": "mixup"})


@pytest.mark.parametrize("name", ["mixup", "remix", "cutmix"])
def test_a_batch_of_one_is_refused_before_the_first_step(
    train: LabelledImages, plan: Plan, make_source: MakeSource, name: str
):
    with pytest.raises(BalancerError, match="mixing needs at least two images in a batch"):
        mixed(plan(name, train), make_source(train), size=1)


def test_cmo_needs_no_second_image_in_the_batch(train: LabelledImages, plan: Plan, make_source: MakeSource):
    _, after = mixed(plan("cmo", train), make_source(train), size=1)
    assert len(after.labels_N) == 1


@pytest.mark.parametrize("name", MIXING)
def test_mixing_draws_from_the_sources_generator_alone_and_leaves_its_batch_alone(
    train: LabelledImages, plan: Plan, make_source: MakeSource, name: str
):
    planned = plan(name, train)
    results: list[Batch] = []
    for _ in range(2):
        before = torch.get_rng_state()
        batch, after = mixed(planned, make_source(train, 5))
        assert torch.equal(batch.images_NCHW, make_source(train).batch(torch.arange(16)).images_NCHW)
        assert torch.equal(torch.get_rng_state(), before)
        results.append(after)
    assert torch.equal(results[0].images_NCHW, results[1].images_NCHW)
    assert torch.equal(weights_of(results[0])[1], weights_of(results[1])[1])


@pytest.mark.parametrize("name", MIXING)
def test_a_mixed_batch_keeps_type_shape_and_memory_layout(
    train: LabelledImages, plan: Plan, make_source: MakeSource, name: str
):
    source: BatchSource = make_source(train)
    transform = plan(name, train).phases[0].batch_transform
    assert transform is not None
    images_NCHW = torch.rand(6, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    after = transform(Batch(images_NCHW=images_NCHW, labels_N=torch.tensor([0, 0, 1, 1, 2, 2])), source)
    assert after.images_NCHW.dtype == torch.float32
    assert after.images_NCHW.shape == (6, 3, 8, 8)
    assert after.images_NCHW.is_contiguous(memory_format=torch.channels_last)
    assert weights_of(after)[1].dtype == torch.float32
    assert weights_of(after)[1].shape == (6,)


@pytest.mark.parametrize("name", ["remix", "cmo"])
def test_mixing_that_counts_images_refuses_a_class_without_any(make_train: MakeTrain, plan: Plan, name: str):
    with pytest.raises(BalancerError, match="class 'cat' has no images"):
        plan(name, make_train(9, 0, 3))


@pytest.mark.parametrize("name", MIXING)
def test_mixing_a_single_class_is_refused(make_train: MakeTrain, plan: Plan, name: str):
    with pytest.raises(BalancerError, match="only class 'bird' has images"):
        plan(name, make_train(9, 0))
