"""A sound metric passes the kit; every check has a broken one that it catches."""

from unittest import SkipTest

import numpy as np
import pytest

from balancebench import MetricComponent, Options, PartlyUndefined, Undefined
from balancebench.testing import collect_checks
from balancebench.testing.metric_checks import METRIC_CHECKS
from balancebench.testing.subject import described
from tests.testing.conftest import path_of


class NoOptions(Options):
    pass


def component(metric, **changes):
    settings = {"name": "mine", "summary": "Mine.", "options": NoOptions, "build": path_of(lambda _: metric)}
    return MetricComponent(**{**settings, **changes})


def share_of_hits(evaluation):
    if len(evaluation.labels_N) == 0:
        return Undefined("there are no test images")
    return float((evaluation.logits_NK.argmax(axis=1) == evaluation.labels_N).mean())


def hits_of_classes(evaluation):
    hit_N = evaluation.logits_NK.argmax(axis=1) == evaluation.labels_N
    of_class_KN = np.arange(len(evaluation.class_names))[:, None] == evaluation.labels_N
    with np.errstate(invalid="ignore"):
        return (of_class_KN & hit_N).sum(axis=1) / of_class_KN.sum(axis=1).astype(np.float64)


def confusion(evaluation):
    matrix_KK = np.zeros((len(evaluation.class_names),) * 2, dtype=np.int64)
    np.add.at(matrix_KK, (evaluation.labels_N, evaluation.logits_NK.argmax(axis=1)), 1)
    return matrix_KK


def first_class_only(evaluation):
    return float((evaluation.logits_NK.argmax(axis=1) == 0).mean())


def first_image_only(evaluation):
    return float(evaluation.logits_NK[0].max())


def with_noise(evaluation):
    return share_of_hits(evaluation) + float(np.random.default_rng().random())


def from_numpy(evaluation):
    return float(np.random.random())  # noqa: NPY002 - what the kit is to catch


def sorting_in_place(evaluation):
    evaluation.logits_NK.sort(axis=1)
    return 0.5


def mean_of_nothing(evaluation):
    hit_N = evaluation.logits_NK.argmax(axis=1) == evaluation.labels_N
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.float64(hit_N.sum()) / len(hit_N))


def few_shot_classes(evaluation):
    few_K = evaluation.train_counts_K < 20
    return float(max(hits_of_classes(evaluation)[few_K]))


def highest_logit(evaluation):
    return float(evaluation.logits_NK.max(initial=0))


def synthetic_images(evaluation):
    return float(len(evaluation.images.synthetic()))


def synthetic_shares_of_classes(evaluation):
    synthetic = evaluation.images.synthetic() if evaluation.images else None
    if synthetic is None:
        return Undefined("the balancer made no synthetic images")
    with np.errstate(invalid="ignore", divide="ignore"):
        share_K = synthetic.counts_K / evaluation.train_counts_K
    return PartlyUndefined(np.where(share_K > 0, share_K, np.nan), "a class without synthetic images")


def without_saying_why(evaluation):
    return PartlyUndefined(np.full(3, np.nan), "")


def remembering(evaluation):
    images = evaluation.images
    return float(images.once("draw", lambda: np.random.default_rng().random())) if images else 0.5


def first_synthetic_image(evaluation):
    synthetic = evaluation.images.synthetic() if evaluation.images else None
    return float(synthetic.labels_N[0]) if synthetic else Undefined("nothing was made up")


def brightnesses_of_new_images(evaluation):
    """Of the classes; sound."""
    drawn = evaluation.images.draw(np.full(len(evaluation.class_names), 2)) if evaluation.images else None
    if drawn is None:
        return Undefined("no generator was trained")
    of_class_K = [drawn.images_NCHW[drawn.labels_N == label].mean() for label in range(drawn.class_count)]
    return np.array(of_class_K)


def brightness_of_what_anyone_draws(evaluation):
    return float(evaluation.images.draw(np.array([2, 2, 2])).images_NCHW.mean()) if evaluation.images else 0.5


def without_identity(evaluation):
    images = evaluation.images
    return float(images.cached("mean", images, lambda: np.array(0.5))) if images else 0.5


def writing_to_images(evaluation):
    evaluation.images.test().images_NCHW[0] = 0
    return 0.5


BROKEN = [
    ("gives a number or numbers of classes", component(lambda _: 1), "returns int"),
    ("gives a number or numbers of classes", component(lambda _: None), "returns NoneType"),
    ("gives a number or numbers of classes", component(lambda _: float("nan")), "returns nan"),
    ("gives a number or numbers of classes", component(lambda _: np.zeros(4)), r"shape \(4,\)"),
    ("gives a number or numbers of classes", component(lambda _: np.zeros(3, dtype=bool)), "dtype bool"),
    ("gives a number or numbers of classes", component(lambda _: Undefined("never")), "undefined on an ordinary"),
    ("gives a number or numbers of classes", component(lambda _: 71.5, unit="%"), "values in 0..1"),
    ("follows a renaming of the classes", component(first_class_only), "numbered otherwise"),
    ("follows a renaming of the classes", component(lambda e: hits_of_classes(e)[::-1]), "numbered otherwise"),
    ("does not depend on the order of images", component(first_image_only), "another order"),
    ("ranks right above wrong", component(share_of_hits, higher_is_better=False), "higher_is_better=False"),
    ("ranks right above wrong", component(lambda e: 1 - share_of_hits(e)), "higher_is_better=True"),
    ("same evaluation gives the same value", component(with_noise), "two calls"),
    ("same evaluation gives the same value", component(from_numpy), "two calls"),
    ("leaves its inputs alone", component(sorting_in_place), "writes to an array"),
    ("leaves global random state alone", component(from_numpy), "NumPy"),
    ("has a value or a reason without test images", component(mean_of_nothing), "returns nan"),
    ("has a value or a reason without test images", component(lambda _: Undefined(" ")), "without a reason"),
    ("has a value or a reason for few training images", component(few_shot_classes), "empty"),
    ("has a value or a reason for a broken classifier", component(highest_logit), "returns nan"),
    ("has a value or a reason without images", component(synthetic_images), "NoneType"),
    ("has a value or a reason without images", component(brightness_of_what_anyone_draws), "NoneType"),
    ("gives a number or numbers of classes", component(without_identity), "JSON serializable"),
    ("gives a number or numbers of classes", component(without_saying_why), "PartlyUndefined without a reason"),
    ("same evaluation gives the same value", component(remembering), "two calls"),
    ("follows a renaming of the classes", component(first_synthetic_image), "numbered otherwise"),
    ("leaves its inputs alone", component(writing_to_images), "writes to an array"),
]


@pytest.mark.parametrize(
    "metric", [share_of_hits, hits_of_classes, confusion, synthetic_shares_of_classes, brightnesses_of_new_images]
)
def test_a_sound_metric_passes_every_check(metric):
    counts = metric in (confusion, synthetic_shares_of_classes, brightnesses_of_new_images)
    for check in collect_checks(
        metrics=[component(metric, higher_is_better=None if counts else True, unit="" if counts else "%")]
    ):
        if check.kind:
            check()


@pytest.mark.parametrize(("name", "broken", "message"), BROKEN)
def test_a_broken_metric_is_caught(run_check, name, broken, message):
    with pytest.raises(Exception, match=message) as caught:
        run_check(broken, name, "metric")
    assert not isinstance(caught.value, SkipTest)


def test_every_check_of_metrics_catches_one():
    assert {name for name, _, _ in BROKEN} == {described(check) for check in METRIC_CHECKS}
