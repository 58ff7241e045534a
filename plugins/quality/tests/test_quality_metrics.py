"""The metrics as a suite builds them: what they compare, and what they refuse with which reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from balancebench import Origin, PartlyUndefined, Undefined
from balancebench_quality.frechet_metric import Fid
from balancebench_quality.kernel import Kid
from balancebench_quality.options import FrechetOptions, PairOptions
from balancebench_quality.plugin import METRICS
from balancebench_quality.selection import draw

BY_NAME = {component.name: component for component in METRICS}
PAIRS = ("fid", "kid", "generative_precision", "generative_recall", "density", "coverage")
HIGHER_IS_BETTER = {
    "fid": False,
    "kid": False,
    "generative_precision": True,
    "generative_recall": True,
    "density": True,
    "coverage": True,
    "nearest_neighbour_distance": None,
    "memorisation": None,
    "authpct": None,
    "data_copying": None,
    "fld": False,
}


def measure(evaluation, name, **options):
    component = BY_NAME[name]
    return component.create(component.options(**options))(evaluation)


@pytest.fixture
def sets(make_images):
    """Three classes; the smaller two have synthetic images."""
    return {
        "kept": make_images([80, 40, 20], seed=1),
        "full_train": make_images([80, 80, 80], seed=1),
        "test": make_images([60, 60, 60], seed=2),
        "synthetic": make_images([0, 40, 68], seed=3, origin=Origin.SYNTHETIC),
    }


def pixels(images, indices_N):
    return images.images_NCHW[indices_N].reshape(len(indices_N), -1).astype(np.float32) / 255


@pytest.mark.parametrize("reference", ["full_train", "kept", "test"])
def test_as_many_real_as_synthetic_images_of_each_class_are_compared(evaluate, sets, reference):
    real, generated = sets[reference], sets["synthetic"]
    counts_K = np.minimum(real.counts_K, generated.counts_K)
    expected = Kid(PairOptions()).compare(
        pixels(real, draw(real, reference, counts_K)),
        pixels(generated, draw(generated, "synthetic", counts_K)),
        torch.device("cpu"),
    )
    assert measure(evaluate(**sets), "kid", reference=reference, extractor="pixels") == pytest.approx(expected)


def test_the_mix_of_the_classes_is_no_difference(evaluate, make_images):
    """The same generator for every class, but far more images of one: all metrics are as for equal numbers."""
    kept = make_images([200, 200], seed=1)
    copies = kept.take(np.concatenate([np.arange(200), np.arange(200, 220)]), origin=Origin.SYNTHETIC)
    evaluation = evaluate(kept=kept, test=kept, synthetic=copies)
    # the first class whole and 20 of the second, on both sides
    assert measure(evaluation, "kid", extractor="pixels") < 0.01
    assert measure(evaluation, "fid") < 0.2


def test_at_most_so_many_images_a_side(evaluate, sets):
    generated, real = sets["synthetic"], sets["full_train"]
    counts_K = np.array([0, 10, 10])
    expected = Fid(FrechetOptions()).compare(
        pixels(real, draw(real, "full_train", counts_K)),
        pixels(generated, draw(generated, "synthetic", counts_K)),
        torch.device("cpu"),
    )
    assert measure(evaluate(**sets), "fid", extractor="pixels", images=21) == pytest.approx(expected)


@pytest.mark.parametrize("name", BY_NAME)
def test_rows_without_synthetic_images_are_undefined(evaluate, sets, name):
    value = measure(evaluate(**{**sets, "synthetic": None}), name)
    assert value == Undefined("the balancer made no synthetic images")
    assert measure(replace(evaluate(**sets), images=None), name) == Undefined("there are no images to measure")


@pytest.mark.parametrize("name", BY_NAME)
def test_a_class_without_synthetic_images_has_no_value_of_its_own(evaluate, sets, name):
    value = measure(evaluate(**sets), name, per_class=True)
    assert isinstance(value, PartlyUndefined)
    assert value.reason == "no synthetic images: 'a'"
    assert np.isfinite(value.values_K).tolist() == [False, True, True]


def test_values_of_classes_are_those_of_the_class_alone(evaluate, sets):
    both = measure(evaluate(**sets), "kid", per_class=True).values_K
    for label in (1, 2):
        only = sets["synthetic"].take(np.flatnonzero(sets["synthetic"].labels_N == label))
        assert measure(evaluate(**{**sets, "synthetic": only}), "kid") == pytest.approx(both[label])


@pytest.mark.parametrize(
    ("name", "options", "fewest", "reason"),
    [
        ("fid", {"extractor": "pixels"}, 17, "16 features need 17 images a side, or the covariance is singular"),
        ("fid", {"extractor": "pixels", "correction": "extrapolated"}, 34, "16 features need 34 images a side"),
        ("kid", {}, 2, "fewer than 2 images a side"),
        ("generative_precision", {}, 4, "a 3-th neighbour needs 4 images a side"),
        ("generative_recall", {"k": 7}, 8, "a 7-th neighbour needs 8 images a side"),
        ("density", {}, 6, "a 5-th neighbour needs 6 images a side"),
        ("coverage", {}, 6, "a 5-th neighbour needs 6 images a side"),
    ],
)
def test_too_few_images_are_refused_by_name_of_the_class(evaluate, make_images, name, options, fewest, reason):
    kept = make_images([50, 50], seed=1)
    generated = make_images([fewest, fewest - 1], seed=2, origin=Origin.SYNTHETIC)
    evaluation = evaluate(kept=kept, test=kept, synthetic=generated)
    value = measure(evaluation, name, per_class=True, **options)
    assert isinstance(value, PartlyUndefined)
    assert np.isfinite(value.values_K).tolist() == [True, False]
    assert value.reason.startswith(reason)
    assert value.reason.endswith(": 'b'")

    only = generated.take(np.flatnonzero(generated.labels_N == 1))
    refused = measure(evaluate(kept=kept, test=kept, synthetic=only), name, **options)
    assert isinstance(refused, Undefined)
    assert refused.reason.startswith(reason)


def test_a_class_without_real_images_is_refused_not_left_out(evaluate, sets, make_images):
    kept = make_images([80, 40, 0], seed=1)
    value = measure(evaluate(**{**sets, "kept": kept}), "kid", reference="kept")
    assert value == Undefined("no kept training images to compare with: 'c'")
    by_class = measure(evaluate(**{**sets, "kept": kept}), "kid", reference="kept", per_class=True)
    assert by_class.reason == "no synthetic images: 'a'; no kept training images to compare with: 'c'"


@pytest.mark.parametrize("name", BY_NAME)
def test_features_that_are_not_finite_are_a_reason_not_a_value(evaluate, sets, name):
    class Diverged:
        def features(self, images_NCHW):
            return np.full((len(images_NCHW), 3), np.nan, dtype=np.float32)

    for per_class in (False, True):
        value = measure(evaluate(**sets, extractor=Diverged()), name, per_class=per_class)
        assert isinstance(value, Undefined)
        assert "the extractor's features are not finite" in value.reason


def test_a_limit_below_the_number_of_classes_is_a_reason(evaluate, make_images):
    kept, generated = make_images([20] * 5), make_images([20] * 5, seed=1, origin=Origin.SYNTHETIC)
    for name in BY_NAME:
        value = measure(evaluate(kept=kept, test=kept, synthetic=generated), name, images=4)
        assert value == Undefined("`images` is smaller than the number of classes"), name


def test_features_are_computed_once_for_all_metrics_of_a_cell(evaluate, sets):
    class Counting:
        calls = 0

        def features(self, images_NCHW):
            type(self).calls += 1
            return images_NCHW.reshape(len(images_NCHW), -1)[:, :4].astype(np.float32)

    evaluation = evaluate(**sets, extractor=Counting())
    for name in PAIRS:
        assert not isinstance(measure(evaluation, name), Undefined)
    assert Counting.calls == 2  # of real and of synthetic images
    assert measure(evaluation, "fid") == measure(evaluation, "fid")
    assert Counting.calls == 2


def test_images_like_real_ones_are_better_than_noise(evaluate, make_images):
    kept = make_images([200, 200], seed=1)
    fresh = make_images([60, 60], seed=2, origin=Origin.SYNTHETIC)
    noise = make_images([60, 60], seed=3, origin=Origin.SYNTHETIC, spread=90)
    for name in set(PAIRS) - {"generative_recall"}:  # noise lies everywhere, and so around all real images too
        good, bad = (
            measure(evaluate(kept=kept, test=kept, synthetic=generated), name, extractor="pixels")
            for generated in (fresh, noise)
        )
        better = good > bad if HIGHER_IS_BETTER[name] else good < bad
        assert better, (name, good, bad)
    assert {name: component.higher_is_better for name, component in BY_NAME.items()} == HIGHER_IS_BETTER


def test_a_generator_of_a_few_images_over_and_over_has_precision_but_no_recall(evaluate, make_images):
    kept = make_images([50, 50], seed=1)
    few = kept.take(np.repeat([3, 20, 60, 90], 25), origin=Origin.SYNTHETIC)
    evaluation = evaluate(kept=kept, test=kept, synthetic=few)
    assert measure(evaluation, "generative_precision", extractor="pixels") == 1.0
    assert measure(evaluation, "generative_recall", extractor="pixels") < 0.1
    assert measure(evaluation, "coverage", extractor="pixels") < 0.5


def test_only_what_looks_through_the_classifier_needs_it():
    for component in METRICS:
        for extractor, needed in (("classifier", True), ("pixels", False), ("inception", False), ("timm:x", False)):
            assert component.needs_extractor(component.options(extractor=extractor)) is needed


@pytest.mark.parametrize("extractor", ["resnet", "timm:", "", "Inception"])
def test_unknown_extractors_are_refused(extractor):
    with pytest.raises(ValidationError):
        BY_NAME["fid"].options(extractor=extractor)
