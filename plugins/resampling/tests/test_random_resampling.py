"""Random over- and undersampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

from balancebench import BalancerError, LabelledImages, Origin, PlanContext
from balancebench.synthesis.target import OversamplingTarget, UndersamplingTarget
from balancebench_resampling.options import RandomOversamplingOptions, RandomUndersamplingOptions
from balancebench_resampling.random_oversampling import RandomOversampling
from balancebench_resampling.random_undersampling import RandomUndersampling

MakeTrain = Callable[..., LabelledImages]
PlanContexts = Callable[[int], PlanContext]
Resample = Callable[..., LabelledImages]
Variant = Literal["with_replacement", "cycle"]


def oversampled(
    train: LabelledImages,
    context: PlanContext,
    variant: Variant = "with_replacement",
    target: OversamplingTarget = "largest",
) -> LabelledImages:
    options = RandomOversamplingOptions(target=target, variant=variant)
    (phase,) = RandomOversampling(options).plan(train, None, context).phases
    assert (phase.loss, phase.sampling_weight_N, phase.share) == (None, None, 1.0)
    return phase.images


def undersampled(
    train: LabelledImages, context: PlanContext, target: UndersamplingTarget = "smallest"
) -> LabelledImages:
    (phase,) = RandomUndersampling(RandomUndersamplingOptions(target=target)).plan(train, None, context).phases
    return phase.images


@pytest.mark.parametrize("variant", ["with_replacement", "cycle"])
def test_oversampling_keeps_the_images_as_they_are_and_appends_repeats_of_the_same_class(
    make_train: MakeTrain, plan_context: PlanContexts, variant: Variant
):
    train = make_train(9, 4, 1)
    images = oversampled(train, plan_context(0), variant)

    assert images.counts_K.tolist() == [9, 9, 9]
    np.testing.assert_array_equal(images.images_NCHW[:14], train.images_NCHW)
    np.testing.assert_array_equal(images.labels_N[:14], train.labels_N)
    assert (images.origins_N[:14] == Origin.REAL).all()
    assert (images.origins_N[14:] == Origin.REPEATED).all()
    real = {(label, image.tobytes()) for image, label in zip(train.images_NCHW, train.labels_N, strict=True)}
    for image, label in zip(images.images_NCHW[14:], images.labels_N[14:], strict=True):
        assert (label, image.tobytes()) in real


def test_oversampling_balances_as_imbalanced_learn_does(make_train: MakeTrain, plan_context: PlanContexts):
    from imblearn.over_sampling import RandomOverSampler

    train = make_train(9, 4, 1, 6)
    sampler: Any = RandomOverSampler(random_state=0)
    _, labels = sampler.fit_resample(np.zeros((20, 1)), train.labels_N)
    np.testing.assert_array_equal(oversampled(train, plan_context(0)).counts_K, np.bincount(labels))


def test_oversampling_with_replacement_draws_every_image_of_a_class_about_equally_often(
    grey_train: MakeTrain, plan_context: PlanContexts
):
    train = grey_train([0] * 4004, [1, 2, 3, 4])
    images = oversampled(train, plan_context(0))
    drawn = np.bincount(images.images_NCHW[4008:].ravel())[1:]
    # Binomial(4000, 1/4): mean 1000, standard deviation 27.
    assert drawn.sum() == 4000
    assert (abs(drawn - 1000) < 5 * 27.4).all()


def test_cycling_goes_through_the_images_of_a_class_in_order(grey_train: MakeTrain, plan_context: PlanContexts):
    images = oversampled(grey_train([100] * 8, [1, 2, 3]), plan_context(0), "cycle")
    assert images.images_NCHW[11:].ravel().tolist() == [1, 2, 3, 1, 2]


def test_cycling_draws_nothing_at_random(make_train: MakeTrain, plan_context: PlanContexts):
    train = make_train(9, 4)
    first, second = (oversampled(train, plan_context(seed), "cycle") for seed in (1, 2))
    assert first.digest() == second.digest()


def test_undersampling_leaves_a_part_of_each_class_in_its_order(make_train: MakeTrain, plan_context: PlanContexts):
    train = make_train(9, 4, 6)
    images = undersampled(train, plan_context(0))

    assert images.counts_K.tolist() == [4, 4, 4]
    real = [image.tobytes() for image in train.images_NCHW]
    indices = [real.index(image.tobytes()) for image in images.images_NCHW]
    assert indices == sorted(set(indices))
    np.testing.assert_array_equal(train.labels_N[indices], images.labels_N)
    assert (images.origins_N == Origin.REAL).all()


def test_undersampling_balances_as_imbalanced_learn_does(make_train: MakeTrain, plan_context: PlanContexts):
    from imblearn.under_sampling import RandomUnderSampler

    train = make_train(9, 4, 2, 6)
    sampler: Any = RandomUnderSampler(random_state=0)
    _, labels = sampler.fit_resample(np.zeros((21, 1)), train.labels_N)
    np.testing.assert_array_equal(undersampled(train, plan_context(0)).counts_K, np.bincount(labels))


def test_undersampling_chooses_every_image_of_a_class_about_equally_often(
    grey_train: MakeTrain, plan_context: PlanContexts
):
    train = grey_train([0, 1, 2, 3, 4], [9, 9])
    context = plan_context(0)
    chosen = np.zeros(5)
    for _ in range(1000):
        images = undersampled(train, context)
        chosen += np.bincount(images.images_NCHW[images.labels_N == 0].ravel(), minlength=5)
    # Binomial(1000, 2/5) for each image: mean 400, standard deviation 15.5.
    assert (abs(chosen - 400) < 5 * 15.5).all()


@pytest.mark.parametrize("resampled", [oversampled, undersampled])
def test_the_seed_decides_what_is_drawn(make_train: MakeTrain, plan_context: PlanContexts, resampled: Resample):
    train = make_train(30, 8)
    assert resampled(train, plan_context(1)).digest() == resampled(train, plan_context(1)).digest()
    assert resampled(train, plan_context(1)).digest() != resampled(train, plan_context(2)).digest()


def test_oversampling_to_a_number_leaves_larger_classes_alone(make_train: MakeTrain, plan_context: PlanContexts):
    assert oversampled(make_train(9, 4, 1), plan_context(0), target=6).counts_K.tolist() == [9, 6, 6]


def test_oversampling_to_a_table_leaves_the_other_classes_alone(make_train: MakeTrain, plan_context: PlanContexts):
    table = {"deer": 5, "bird": 3}
    assert oversampled(make_train(9, 4, 1), plan_context(0), target=table).counts_K.tolist() == [9, 4, 5]


def test_undersampling_to_a_number_leaves_smaller_classes_alone(make_train: MakeTrain, plan_context: PlanContexts):
    assert undersampled(make_train(9, 4, 1), plan_context(0), target=3).counts_K.tolist() == [3, 3, 1]


def test_undersampling_to_a_table_leaves_the_other_classes_alone(make_train: MakeTrain, plan_context: PlanContexts):
    assert undersampled(make_train(9, 4, 1), plan_context(0), target={"bird": 2}).counts_K.tolist() == [2, 4, 1]


def test_a_table_with_an_unknown_class_is_refused_with_the_nearest_name(
    make_train: MakeTrain, plan_context: PlanContexts
):
    for resampled in (oversampled, undersampled):
        with pytest.raises(BalancerError, match=r"names no class of this set: 'dear' \(did you mean 'deer'\?\)"):
            resampled(make_train(9, 4, 1), plan_context(0), target={"dear": 5})


def test_oversampling_names_a_class_it_has_nothing_to_repeat_of(make_train: MakeTrain, plan_context: PlanContexts):
    with pytest.raises(BalancerError, match="class 'cat' has no images to make more of"):
        oversampled(make_train(9, 0, 3), plan_context(0))
    assert oversampled(make_train(9, 0, 3), plan_context(0), target={"deer": 9}).counts_K.tolist() == [9, 0, 9]


def test_undersampling_takes_the_smallest_class_that_has_images(make_train: MakeTrain, plan_context: PlanContexts):
    assert undersampled(make_train(9, 0, 3), plan_context(0)).counts_K.tolist() == [3, 0, 3]


def test_a_set_that_is_balanced_or_has_one_class_stays_as_it_is(make_train: MakeTrain, plan_context: PlanContexts):
    for train in (make_train(3, 3), make_train(5)):
        assert oversampled(train, plan_context(0)).digest() == train.digest()
        assert undersampled(train, plan_context(0)).digest() == train.digest()
