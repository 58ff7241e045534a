"""ADASYN, against imbalanced-learn called directly and against cases worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from balancebench import BalancerError, LabelledImages, Origin, PlanContext, SynthesisContext
from balancebench.synthesis.target import OversamplingTarget
from balancebench_resampling.adasyn import Adasyn
from balancebench_resampling.options import AdasynOptions

MakeTrain = Callable[..., LabelledImages]
PlanContexts = Callable[[int], PlanContext]
SynthesisContexts = Callable[[int], SynthesisContext]
Synthesise = Callable[..., LabelledImages]


@pytest.fixture
def adasyn(synthesis_context: SynthesisContexts) -> Synthesise:
    def synthesise(train: LabelledImages, target: OversamplingTarget = "largest", neighbours: int = 5, seed: int = 0):
        synthetic = Adasyn(AdasynOptions(target=target, neighbours=neighbours)).synthesise(
            train, synthesis_context(seed)
        )
        assert synthetic is not None
        return synthetic

    return synthesise


def test_adasyn_makes_the_images_of_a_single_call_of_imbalanced_learn_rounded_to_grey_levels(
    make_train: MakeTrain, adasyn: Synthesise
):
    from imblearn.over_sampling import ADASYN

    train = make_train(40, 25, 9)
    pixels = train.images_NCHW.reshape(len(train), -1).astype(np.float64)
    adasyn_itself: Any = ADASYN(random_state=3, n_neighbors=4)
    reference, labels = adasyn_itself.fit_resample(pixels, train.labels_N)

    synthetic = adasyn(train, neighbours=4, seed=3)
    np.testing.assert_array_equal(synthetic.labels_N, labels[len(train) :])
    np.testing.assert_allclose(synthetic.images_NCHW.reshape(len(synthetic), -1), reference[len(train) :], atol=0.501)
    assert (synthetic.origins_N == Origin.SYNTHETIC).all()


def test_adasyn_draws_only_from_images_near_another_class(grey_train: MakeTrain, adasyn: Synthesise):
    # With one neighbour the r_i of 0 and 2 are 0 (each is the other's nearest) and that of 98 is 1 (100 is nearer
    # than 2): all four new images are drawn from 98 towards 2.
    train = grey_train([100, 101, 102, 103, 104, 105, 106], [0, 2, 98])
    synthetic = adasyn(train, neighbours=1)
    levels = synthetic.images_NCHW.ravel()
    assert synthetic.counts_K.tolist() == [0, 4]
    assert ((levels >= 2) & (levels <= 98)).all()
    assert len(set(levels.tolist())) > 1


def test_adasyn_shares_out_by_the_neighbours_of_other_classes(grey_train: MakeTrain, adasyn: Synthesise):
    # With two neighbours r is 1 for 10 (sees 8 and 12), 0 for 100 and 101 (see each other and 128), 1/2 for 128 (sees
    # 130 and 101). Of six images four start at 10 and two at 128, all towards 100 or 101.
    synthetic = adasyn(grey_train([8, 12, 130, *[255] * 7], [10, 100, 101, 128]), neighbours=2)
    levels = synthetic.images_NCHW.ravel()
    assert synthetic.counts_K.tolist() == [0, 6]
    assert (levels < 100).sum() == 4
    assert ((levels >= 100) & (levels <= 128)).sum() == 2


def test_adasyn_comes_within_rounding_of_the_target(make_train: MakeTrain, adasyn: Synthesise):
    synthetic = adasyn(make_train(60, 13, 29))
    # Each of n images rounds its share by at most one half.
    assert abs(synthetic.counts_K - [0, 47, 31]).tolist() <= [0, 13 / 2, 29 / 2]
    assert synthetic.counts_K[0] == 0


def test_the_seed_decides_the_images_and_may_be_of_63_bits(make_train: MakeTrain, adasyn: Synthesise):
    train = make_train(20, 8)
    first, same, other = (adasyn(train, seed=seed) for seed in (2**62 + 1, 2**62 + 1, 2**62 + 2))
    assert first.digest() == same.digest()
    assert first.digest() != other.digest()


def test_adasyn_to_a_table_fills_only_the_classes_it_names(make_train: MakeTrain, adasyn: Synthesise):
    counts = adasyn(make_train(20, 2, 10), target={"deer": 60, "bird": 5}).counts_K
    assert counts[:2].tolist() == [0, 0]
    assert abs(counts[2] - 50) <= 5


@pytest.mark.parametrize("counts", [(8, 8), (8,)])
def test_adasyn_makes_nothing_where_no_class_is_short(
    make_train: MakeTrain, synthesis_context: SynthesisContexts, plan_context: PlanContexts, counts: tuple[int, ...]
):
    train = make_train(*counts)
    balancer = Adasyn(AdasynOptions())
    assert balancer.synthesise(train, synthesis_context(0)) is None
    (phase,) = balancer.plan(train, None, plan_context(0)).phases
    assert phase.images is train


def test_a_class_away_from_all_others_is_named(grey_train: MakeTrain, adasyn: Synthesise):
    train = grey_train([200, 201, 202, 203, 204, 205], [0, 1, 2])
    with pytest.raises(
        BalancerError, match=r"no image of class 'cat' \(3 images\) has another class among its 1 nearest"
    ):
        adasyn(train, neighbours=1)


def test_a_class_short_of_too_few_images_to_share_out_is_named(make_train: MakeTrain, adasyn: Synthesise):
    with pytest.raises(BalancerError, match="class 'deer' has 29 images and is short of 1, too few"):
        adasyn(make_train(30, 30, 29))


def test_a_class_too_small_for_the_neighbours_is_named_with_the_number_that_works(
    make_train: MakeTrain, adasyn: Synthesise
):
    with pytest.raises(
        BalancerError, match=r"class 'cat' has 2 images, but neighbours = 5 needs 6: set neighbours to 1"
    ):
        adasyn(make_train(20, 2, 9))


def test_a_class_of_one_image_is_refused(make_train: MakeTrain, adasyn: Synthesise):
    with pytest.raises(BalancerError, match="class 'cat' has 1 image"):
        adasyn(make_train(20, 1, 9), neighbours=1)


def test_a_set_of_one_class_cannot_grow(make_train: MakeTrain, adasyn: Synthesise):
    with pytest.raises(BalancerError, match="only class 'bird' has images"):
        adasyn(make_train(8), target=20)


def test_the_progress_names_the_class_being_filled(make_train: MakeTrain, synthesis_context: SynthesisContexts):
    reported: list[tuple[float, float, str]] = []

    def report(done: float, total: float, message: str = "") -> None:
        reported.append((done, total, message))

    context = replace(synthesis_context(0), progress=report)
    Adasyn(AdasynOptions()).synthesise(make_train(30, 8, 30, 12), context)
    assert reported == [(0, 2, "cat"), (1, 2, "dog")]
