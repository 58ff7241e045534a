"""Synthetic images beside real ones or in their place: how many of which, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from balancebench import Balancer, BalancerError, Base, LabelledImages, Options, Origin, Parents
from balancebench.testing import plan_context, synthesis_context
from balancebench_datasynth.margins import Margins
from balancebench_datasynth.mix import Mix
from balancebench_datasynth.options import (
    MarginsOptions,
    MixOptions,
    PretrainSyntheticOptions,
    SyntheticOnlyOptions,
)
from balancebench_datasynth.pretrain_synthetic import PretrainSynthetic
from balancebench_datasynth.synthetic_only import SyntheticOnly

BASE = {"use": "smote"}
NAMES = ("apple", "banana", "orange")


def images_of(counts, *, first_level, origin=Origin.REAL, channels=3):
    """Images each of a level of its own, counted from `first_level`, classes one after the other."""
    labels_N = np.repeat(np.arange(len(counts)), counts)
    levels_N = np.arange(first_level, first_level + len(labels_N), dtype=np.uint8)
    return LabelledImages(
        images_NCHW=np.tile(levels_N[:, None, None, None], (1, channels, 8, 8)),
        labels_N=labels_N.astype(np.int64),
        class_names=NAMES,
        origin_N=np.full(len(labels_N), origin, dtype=np.uint8),
    )


@pytest.fixture
def real():
    return images_of([10, 8, 6], first_level=0)


@pytest.fixture
def generated():
    return images_of([10, 20, 30], first_level=100, origin=Origin.SYNTHETIC)


def wrapping(generated):
    return Base(balancer=Balancer(Options()), synthetic=generated)


def mixed(real, generated, seed=0, **options):
    """Return the images of the plan, and the levels of real and of synthetic ones by class."""
    plan = Mix(MixOptions.model_validate({"base": BASE, **options})).plan(
        real, None, plan_context(seed, wrapping(generated))
    )
    (phase,) = plan.phases
    levels = phase.images.images_NCHW[:, 0, 0, 0]
    kinds = {
        origin: [
            set(levels[(phase.images.origins_N == origin) & (phase.images.labels_N == label)]) for label in (0, 1, 2)
        ]
        for origin in (Origin.REAL, Origin.SYNTHETIC)
    }
    return phase.images, kinds


@pytest.mark.parametrize(
    ("share", "synthetic_K"),
    [(0.0, [0, 0, 0]), (0.3, [3, 2, 2]), (0.5, [5, 4, 3]), (0.7, [7, 6, 4]), (1.0, [10, 8, 6])],
)
def test_a_mixture_has_the_share_of_each_kind_in_every_class_and_no_image_twice(real, generated, share, synthetic_K):
    images, kinds = mixed(real, generated, synthetic_share=share)
    assert images.counts_K.tolist() == [10, 8, 6]
    assert [len(levels) for levels in kinds[Origin.SYNTHETIC]] == synthetic_K
    assert [len(levels) for levels in kinds[Origin.REAL]] == [
        total - synthetic for total, synthetic in zip([10, 8, 6], synthetic_K, strict=True)
    ]


def test_both_kinds_are_of_their_own_class(real, generated):
    _, kinds = mixed(real, generated)
    real_levels = [set(range(10)), set(range(10, 18)), set(range(18, 24))]
    made_levels = [set(range(100, 110)), set(range(110, 130)), set(range(130, 160))]
    for label in (0, 1, 2):
        assert kinds[Origin.REAL][label] < real_levels[label]
        assert kinds[Origin.SYNTHETIC][label] < made_levels[label]


def test_a_larger_share_keeps_the_synthetic_images_of_a_smaller_one(real, generated):
    _, little = mixed(real, generated, synthetic_share=0.3)
    _, much = mixed(real, generated, synthetic_share=0.7)
    _, others = mixed(real, generated, seed=1, synthetic_share=0.3)
    for label in (0, 1, 2):
        assert little[Origin.SYNTHETIC][label] < much[Origin.SYNTHETIC][label]
        assert much[Origin.REAL][label] < little[Origin.REAL][label]
    assert others != little


def test_a_total_is_split_evenly_over_the_classes(real, generated):
    images, kinds = mixed(real, generated, total=16, synthetic_share=0.5)
    assert images.counts_K.tolist() == [6, 5, 5]
    assert [len(levels) for levels in kinds[Origin.SYNTHETIC]] == [3, 2, 2]


def test_too_few_images_of_either_kind_are_refused_with_classes_and_numbers(real, generated):
    with pytest.raises(BalancerError) as caught:
        mixed(real, generated, total=60, synthetic_share=0.5)
    assert "too few real images: 'banana' needs 10 and has 8; 'orange' needs 10 and has 6" in str(caught.value)
    with pytest.raises(BalancerError, match="too few synthetic images: 'apple' needs 14 and has 10: raise the base's"):
        mixed(real, generated, total=60, synthetic_share=0.7)


def test_a_base_that_made_nothing_is_refused_but_where_nothing_is_wanted(real):
    with pytest.raises(BalancerError, match=r"its base made none\. Raise the base's `target`"):
        mixed(real, None)
    images, _ = mixed(real, None, synthetic_share=0.0)
    assert len(images) == 24
    for balancer in (
        SyntheticOnly(SyntheticOnlyOptions.model_validate({"base": BASE})),
        PretrainSynthetic(PretrainSyntheticOptions.model_validate({"base": BASE})),
    ):
        with pytest.raises(BalancerError, match="its base made none"):
            balancer.plan(real, None, plan_context(0, wrapping(None)))


def test_synthetic_only_trains_on_no_real_image(real, generated):
    balancer = SyntheticOnly(SyntheticOnlyOptions.model_validate({"base": BASE}))
    plan = balancer.plan(real, None, plan_context(0, wrapping(generated)))
    assert plan.phases[0].images is generated
    assert plan.normalising_images is generated
    without_oranges = generated.take(np.flatnonzero(generated.labels_N != 2))
    with pytest.raises(BalancerError, match="'orange' needs 1 and has 0"):
        balancer.plan(real, None, plan_context(0, wrapping(without_oranges)))


def test_pretraining_is_on_synthetic_images_and_tuning_on_real_ones_all_normalised_by_these(real, generated):
    options = PretrainSyntheticOptions.model_validate({"base": BASE, "pretrain_share": 0.75, "learning_rate": 1e-4})
    plan = PretrainSynthetic(options).plan(real, None, plan_context(0, wrapping(generated)))
    first, second = plan.phases
    assert (first.images, first.share) == (generated, 0.75)
    assert (second.images, second.share) == (real, 0.25)
    assert second.restart is not None
    assert second.restart.learning_rate == 1e-4
    assert plan.normalising_images is real


@pytest.mark.parametrize("channels", [1, 3])
def test_margins_are_given_to_half_of_the_images_of_the_base(tmp_path, channels):
    generated = images_of([40, 40, 40], first_level=100, origin=Origin.AUGMENTED, channels=channels)
    generated = replace(generated, parents=Parents.single(np.arange(120) % 24))
    real = images_of([10, 8, 6], first_level=0, channels=channels)
    margins = Margins(MarginsOptions.model_validate({"base": BASE}))
    fitted = margins.synthesise(real, synthesis_context(tmp_path, base=wrapping(generated)))
    assert fitted is not None
    assert fitted.labels_N.tolist() == generated.labels_N.tolist()
    assert (fitted.origins_N == Origin.SYNTHETIC).all()
    assert fitted.parents is generated.parents
    black_N = (fitted.images_NCHW[:, :, 0] == 0).all(axis=(1, 2))
    assert 43 <= black_N.sum() <= 77  # of 120 at a half: 3 standard deviations
    np.testing.assert_array_equal(fitted.images_NCHW[~black_N], generated.images_NCHW[~black_N])
    np.testing.assert_array_equal(fitted.images_NCHW[:, :, 4], generated.images_NCHW[:, :, 4])
