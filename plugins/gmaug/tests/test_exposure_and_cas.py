"""The control with repeats, and training on made images alone."""

from __future__ import annotations

import numpy as np
import pytest

from balancebench import Balancer, BalancerError, Base, Options, Origin, Phase, PlanContext, TrainingPlan
from balancebench.testing import synthesis_context, tiny_training_set
from balancebench_gmaug.cas import Cas
from balancebench_gmaug.equal_exposure import EqualExposure
from balancebench_gmaug.selection_options import CasOptions, EqualExposureOptions

TRAIN = tiny_training_set((20, 7, 3))


def base(synthetic=None, balancer=None, generator=None):
    extra = {} if generator is None else {"generator": lambda: generator}
    return Base(balancer=balancer or Balancer(Options()), synthetic=synthetic, **extra)


def generated(counts, seed=9):
    images = tiny_training_set(counts, seed=seed)
    return images.take(np.arange(len(images)), origin=Origin.SYNTHETIC)


def exposed(wrapped):
    context = PlanContext(rng=np.random.default_rng(0), base=wrapped)
    return EqualExposure(EqualExposureOptions(base={"use": "stub"})).plan(TRAIN, None, context)


def test_as_many_repeats_are_added_as_the_base_adds_images():
    images = exposed(base(generated((0, 13, 11)))).phases[0].images
    assert images.counts_K.tolist() == [20, 20, 14]
    assert np.bincount(images.origins_N, minlength=4).tolist() == [30, 24, 0, 0]


def test_each_image_is_repeated_as_often_as_any_other_of_its_class():
    images = exposed(base(generated((0, 13, 11)))).phases[0].images
    for label, expected in ((1, {2, 3}), (2, {4, 5})):
        of_class = images.images_NCHW[images.labels_N == label].reshape(-1, 256)
        _, times = np.unique(of_class, axis=0, return_counts=True)
        assert set(times.tolist()) == expected


def test_it_trains_as_the_base_does():
    class Twice(Balancer):
        def plan(self, train, synthetic, context):
            return TrainingPlan(phases=(Phase(images=synthetic), Phase(images=train)), normalise_on=train)

    first, second = exposed(base(generated((0, 13, 11)), Twice(Options()))).phases
    assert first.images.counts_K.tolist() == [0, 13, 11]
    assert (first.images.origins_N == Origin.REPEATED).all()
    assert second.images is TRAIN


def test_a_class_without_a_real_image_cannot_be_repeated():
    train = tiny_training_set((5, 0))
    context = PlanContext(rng=np.random.default_rng(0), base=base(generated((0, 4))))
    with pytest.raises(BalancerError, match="class 'class 1' has no images to repeat, and the base adds 4"):
        EqualExposure(EqualExposureOptions(base={"use": "stub"})).plan(train, None, context)


def trained_on(tmp_path, wrapped, train=TRAIN, **options):
    balancer = Cas(CasOptions(base={"use": "stub"}, **options))
    synthetic = balancer.synthesise(train, synthesis_context(tmp_path, base=wrapped))
    plan = balancer.plan(train, synthetic, PlanContext(rng=np.random.default_rng(0), base=wrapped))
    return plan.phases[0].images


class Painter:
    """Paints each class in its own grey."""

    def draw(self, labels_B, random):
        return np.broadcast_to((labels_B * 50).astype(np.uint8)[:, None, None, None], (len(labels_B), 1, 16, 16)).copy()


@pytest.mark.parametrize(
    ("images", "counts"),
    [("largest", [20, 20, 20]), ("train", [20, 7, 3]), (5, [5, 5, 5]), ({"class 2": 30}, [20, 7, 30])],
)
def test_only_made_images_are_trained_on(tmp_path, images, counts):
    trained = trained_on(tmp_path, base(generator=Painter()), images=images)
    assert trained.counts_K.tolist() == counts
    assert (trained.origins_N == Origin.SYNTHETIC).all()
    assert (trained.images_NCHW[:, 0, 0, 0] == trained.labels_N * 50).all()


def test_the_training_set_itself_is_trained_on_as_it_is(tmp_path):
    copies = TRAIN.take(np.argsort(TRAIN.labels_N, kind="stable"), origin=Origin.SYNTHETIC)
    assert trained_on(tmp_path, base(copies), images="train").digest() == copies.digest()


def test_a_base_with_too_few_images_of_a_class_is_refused(tmp_path):
    with pytest.raises(BalancerError, match="the base made 0 images of class 'class 0' where 20 are to be trained on"):
        trained_on(tmp_path, base(generated((0, 20, 20))))
