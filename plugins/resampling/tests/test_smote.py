"""SMOTE, against imbalanced-learn called directly and against its definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from balancebench import BalancerError, LabelledImages, Origin, PlanContext, SynthesisContext
from balancebench.synthesis.target import OversamplingTarget
from balancebench_resampling import smote_parents
from balancebench_resampling.options import SmoteOptions
from balancebench_resampling.smote import Smote

MakeTrain = Callable[..., LabelledImages]
PlanContexts = Callable[[int], PlanContext]
SynthesisContexts = Callable[[int], SynthesisContext]
Synthesise = Callable[..., LabelledImages]


@pytest.fixture
def smote(synthesis_context: SynthesisContexts) -> Synthesise:
    def synthesise(train: LabelledImages, target: OversamplingTarget = "largest", neighbours: int = 5, seed: int = 0):
        synthetic = Smote(SmoteOptions(target=target, neighbours=neighbours)).synthesise(train, synthesis_context(seed))
        assert synthetic is not None
        return synthetic

    return synthesise


def distance_to_segment(point: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]) -> float:
    along = end - start
    share = np.clip((point - start) @ along / (along @ along), 0, 1)
    return float(np.linalg.norm(point - (start + share * along)))


def test_smote_fills_every_class_up_to_the_largest_with_synthetic_images(make_train: MakeTrain, smote: Synthesise):
    synthetic = smote(make_train(20, 12, 6))
    assert synthetic.counts_K.tolist() == [0, 8, 14]
    assert (synthetic.origins_N == Origin.SYNTHETIC).all()
    assert synthetic.images_NCHW.shape[1:] == (3, 4, 4)
    assert synthetic.class_names == ("bird", "cat", "deer")


def test_smote_makes_the_images_that_imbalanced_learn_makes_rounded_to_grey_levels(
    make_train: MakeTrain, smote: Synthesise
):
    from imblearn.over_sampling import SMOTE

    train = make_train(40, 25, 9)
    pixels = train.images_NCHW.reshape(len(train), -1).astype(np.float64)
    smote_itself: Any = SMOTE(random_state=3, k_neighbors=4)
    reference, labels = smote_itself.fit_resample(pixels, train.labels_N)

    synthetic = smote(train, neighbours=4, seed=3)
    np.testing.assert_array_equal(synthetic.labels_N, labels[len(train) :])
    np.testing.assert_allclose(synthetic.images_NCHW.reshape(len(synthetic), -1), reference[len(train) :], atol=0.501)


def test_every_new_image_lies_between_an_image_and_one_of_its_nearest_of_the_same_class(
    make_train: MakeTrain, smote: Synthesise
):
    train, neighbours = make_train(15, 8, 5), 2
    synthetic = smote(train, neighbours=neighbours)
    rounding = 0.5 * np.sqrt(48) + 1e-3  # half a grey level in each of 48 pixels
    for image, label in zip(synthetic.images_NCHW, synthetic.labels_N, strict=True):
        real = train.images_NCHW[train.labels_N == label].reshape(-1, 48).astype(np.float64)
        segments = [
            (start, real[other])
            for start in real
            for other in np.linalg.norm(real - start, axis=1).argsort()[1 : neighbours + 1]
        ]
        point = image.reshape(48).astype(np.float64)
        assert min(distance_to_segment(point, start, end) for start, end in segments) <= rounding


def test_the_parents_and_their_weights_say_what_each_image_is(make_train: MakeTrain, smote: Synthesise):
    train = make_train(15, 8, 5)
    synthetic = smote(train, neighbours=2)
    parents = synthetic.parents
    assert parents is not None
    np.testing.assert_array_equal(train.labels_N[parents.first_N], synthetic.labels_N)
    np.testing.assert_array_equal(train.labels_N[parents.second_N], synthetic.labels_N)
    first, second = (train.images_NCHW[rows_N].astype(np.float64) for rows_N in (parents.first_N, parents.second_N))
    between = first + parents.second_weight_N[:, None, None, None] * (second - first)
    np.testing.assert_allclose(synthetic.images_NCHW, between, atol=0.501)


def test_parents_are_unknown_where_imbalanced_learn_cannot_be_listened_to(
    make_train: MakeTrain, smote: Synthesise, monkeypatch: pytest.MonkeyPatch
):
    train = make_train(15, 8, 5)
    images_NCHW = smote(train, neighbours=2).images_NCHW
    monkeypatch.setattr(smote_parents, "STEP", "_a_step_that_a_later_version_may_have")
    synthetic = smote(train, neighbours=2)
    assert synthetic.parents is None
    np.testing.assert_array_equal(synthetic.images_NCHW, images_NCHW)


def test_between_two_images_of_one_pixel_new_ones_take_the_levels_between(grey_train: MakeTrain, smote: Synthesise):
    synthetic = smote(grey_train([200] * 60, [10, 13]), neighbours=1)
    assert set(synthetic.images_NCHW.ravel().tolist()) == {10, 11, 12, 13}


def test_differences_of_dark_and_light_do_not_wrap_around(grey_train: MakeTrain, smote: Synthesise):
    levels = smote(grey_train([128] * 40, [0, 255]), neighbours=1).images_NCHW.ravel()
    assert levels.min() < 60
    assert levels.max() > 195
    assert len(set(levels.tolist())) > 20


def test_the_plan_trains_on_the_real_images_and_the_new_ones_together(
    make_train: MakeTrain, smote: Synthesise, plan_context: PlanContexts
):
    train = make_train(12, 7)
    (phase,) = Smote(SmoteOptions()).plan(train, smote(train), plan_context(0)).phases
    assert phase.images.counts_K.tolist() == [12, 12]
    np.testing.assert_array_equal(phase.images.images_NCHW[:19], train.images_NCHW)
    assert phase.images.origins_N.tolist() == [Origin.REAL] * 19 + [Origin.SYNTHETIC] * 5


def test_the_seed_decides_the_images_and_may_be_of_63_bits(make_train: MakeTrain, smote: Synthesise):
    train = make_train(20, 8)
    first, same, other = (smote(train, seed=seed) for seed in (2**62 + 1, 2**62 + 1, 2**62 + 2))
    assert first.digest() == same.digest()
    assert first.digest() != other.digest()


def test_smote_to_a_number_leaves_larger_classes_alone(make_train: MakeTrain, smote: Synthesise):
    assert smote(make_train(20, 12, 7), target=15).counts_K.tolist() == [0, 3, 8]


def test_smote_to_a_table_fills_only_the_classes_it_names(make_train: MakeTrain, smote: Synthesise):
    assert smote(make_train(20, 2, 7), target={"deer": 30, "bird": 5}).counts_K.tolist() == [0, 0, 23]


@pytest.mark.parametrize("counts", [(8, 8), (8,)])
def test_smote_makes_nothing_where_no_class_is_short(
    make_train: MakeTrain, synthesis_context: SynthesisContexts, plan_context: PlanContexts, counts: tuple[int, ...]
):
    train = make_train(*counts)
    balancer = Smote(SmoteOptions())
    assert balancer.synthesise(train, synthesis_context(0)) is None
    (phase,) = balancer.plan(train, None, plan_context(0)).phases
    assert phase.images is train


def test_a_class_too_small_for_the_neighbours_is_named_with_the_number_that_works(
    make_train: MakeTrain, smote: Synthesise
):
    train = make_train(20, 5, 3)
    with pytest.raises(
        BalancerError, match=r"class 'deer' has 3 images, but neighbours = 5 needs 6: set neighbours to 2"
    ):
        smote(train)
    assert smote(train, neighbours=2).counts_K.tolist() == [0, 15, 17]


def test_two_images_suffice_for_one_neighbour(make_train: MakeTrain, smote: Synthesise):
    assert smote(make_train(20, 2), neighbours=1).counts_K.tolist() == [0, 18]


def test_a_class_of_one_image_is_refused_whatever_the_neighbours(make_train: MakeTrain, smote: Synthesise):
    with pytest.raises(BalancerError, match="class 'cat' has 1 image, and new ones are drawn between two"):
        smote(make_train(20, 1, 9), neighbours=1)


def test_a_class_without_images_is_refused(make_train: MakeTrain, smote: Synthesise):
    with pytest.raises(BalancerError, match="class 'cat' has no images to make more of"):
        smote(make_train(20, 0, 9))


def test_a_set_of_one_class_cannot_grow(make_train: MakeTrain, smote: Synthesise):
    with pytest.raises(BalancerError, match="only class 'bird' has images"):
        smote(make_train(8), target=20)


def test_an_unknown_class_in_the_table_is_refused(make_train: MakeTrain, smote: Synthesise):
    with pytest.raises(BalancerError, match=r"'catt' \(did you mean 'cat'\?\)"):
        smote(make_train(8, 7), target={"catt": 9})
