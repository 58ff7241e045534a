"""A sound metric of the training subset passes the kit; every check has a broken one that it catches."""

from unittest import SkipTest

import numpy as np
import pytest

from balancebench import MetricComponent, Options, PartlyUndefined, Undefined
from balancebench.testing import collect_checks, tiny_subset_evaluation
from balancebench.testing.subject import described
from balancebench.testing.subset_metrics import SUBSET_METRIC_CHECKS
from tests.testing.conftest import path_of


class NoOptions(Options):
    pass


def component(metric, **changes):
    settings = {"name": "mine", "summary": "Mine.", "options": NoOptions, "build": path_of(lambda _: metric)}
    return MetricComponent(**{**settings, "of": "subset", "higher_is_better": None, **changes})


def imbalance_ratio(evaluation):
    counts_K = evaluation.train.counts_K
    if counts_K.min() == 0:
        return Undefined("a class has no images")
    return float(counts_K.max() / counts_K.min())


def brightness_of_classes(evaluation):
    train = evaluation.train
    with np.errstate(invalid="ignore"):
        sum_K = np.bincount(train.labels_N, train.images_NCHW.mean(axis=(1, 2, 3)), minlength=train.class_count)
        return PartlyUndefined(sum_K / train.counts_K, "a class has no images")


def shifts_between_classes(evaluation):
    train = evaluation.train
    brightness_K = np.array(
        [train.images_NCHW[train.labels_N == label].sum() / 2**20 for label in range(train.class_count)]
    )
    return brightness_K[:, None] - brightness_K


@pytest.mark.parametrize("metric", [imbalance_ratio, brightness_of_classes, shifts_between_classes])
def test_a_sound_metric_of_the_subset_passes_every_check(metric):
    for check in collect_checks(metrics=[component(metric)]):
        check()


def test_the_fake_subset_metric_passes_every_check(fakes):
    for check in collect_checks(metrics=[fakes.find("metric", "kept_share").component]):
        check()


def test_a_metric_of_the_subset_gets_no_evaluation_of_a_cell():
    names = {check.name for check in collect_checks(metrics=[component(imbalance_ratio)])}
    assert "ranks right above wrong" not in names
    assert names >= set(map(described, SUBSET_METRIC_CHECKS))


def test_a_tiny_subset_has_the_images_asked_for_all_read_only():
    evaluation = tiny_subset_evaluation((7, 0, 2), test_counts=(1, 2, 3))
    assert evaluation.train.counts_K.tolist() == [7, 0, 2]
    assert len(evaluation.test_images_NCHW) == 6
    assert len(tiny_subset_evaluation().test_images_NCHW) == 30
    train = evaluation.train
    for array in (train.images_NCHW, train.labels_N, train.origins_N, evaluation.test_images_NCHW):
        assert not array.flags.writeable


def test_a_metric_of_the_subset_gets_no_test_labels():
    assert not hasattr(tiny_subset_evaluation(), "test")


def first_class_only(evaluation):
    return float(evaluation.train.counts_K[0])


def first_image_only(evaluation):
    return float(evaluation.train.images_NCHW[0].mean())


def first_test_image_only(evaluation):
    return float(evaluation.test_images_NCHW[0].mean())


def with_noise(evaluation):
    return float(np.random.default_rng().random())


def from_numpy(evaluation):
    return float(np.random.random())  # noqa: NPY002 - what the kit is to catch


def sorting_in_place(evaluation):
    evaluation.train.labels_N.sort()
    return 0.5


def writing_to_test_images(evaluation):
    evaluation.test_images_NCHW[0] = 0
    return 0.5


def ratio_without_a_thought(evaluation):
    counts_K = evaluation.train.counts_K
    with np.errstate(divide="ignore"):
        return float(counts_K.max() / np.float64(counts_K.min()))


def training_images_a_test_image(evaluation):
    with np.errstate(divide="ignore"):
        return float(np.float64(len(evaluation.train)) / (len(evaluation.test_images_NCHW) // 4))


def keeping_an_image(evaluation):
    return float(evaluation.cached("mean", evaluation.train, lambda: np.array(0.5)))


GIVES = "gives a number or numbers of classes"
FEW = "has a value or a reason for few images"
BROKEN = [
    (GIVES, component(lambda _: 1), "returns int"),
    (GIVES, component(lambda _: np.zeros(4)), r"shape \(4,\)"),
    (GIVES, component(lambda _: Undefined("never")), "undefined on an ordinary"),
    (GIVES, component(imbalance_ratio, unit="%"), "values in 0..1"),
    (GIVES, component(lambda _: PartlyUndefined(np.full(3, np.nan), "")), "PartlyUndefined without a reason"),
    (GIVES, component(keeping_an_image), "JSON serializable"),
    ("follows a renaming of the classes", component(first_class_only), "numbered otherwise"),
    ("does not depend on the order of images", component(first_image_only), "another order"),
    ("does not depend on the order of images", component(first_test_image_only), "another order"),
    ("same evaluation gives the same value", component(with_noise), "two calls"),
    ("same evaluation gives the same value", component(from_numpy), "two calls"),
    ("leaves its inputs alone", component(sorting_in_place), "writes to an array"),
    ("leaves its inputs alone", component(writing_to_test_images), "writes to an array"),
    ("leaves global random state alone", component(from_numpy), "NumPy"),
    (FEW, component(ratio_without_a_thought), "returns inf"),
    (FEW, component(training_images_a_test_image), "returns inf"),
]


@pytest.mark.parametrize(("name", "broken", "message"), BROKEN)
def test_a_broken_metric_of_the_subset_is_caught(run_check, name, broken, message):
    with pytest.raises(Exception, match=message) as caught:
        run_check(broken, name, "metric")
    assert not isinstance(caught.value, SkipTest)


def test_every_check_of_subset_metrics_catches_one():
    assert {name for name, _, _ in BROKEN} == {described(check) for check in SUBSET_METRIC_CHECKS}
