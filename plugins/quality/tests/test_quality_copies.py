"""Distances to training and test images, and the share of copies."""

from __future__ import annotations

import numpy as np
import pytest

from balancebench import Origin, Undefined, concatenate
from balancebench_quality.plugin import METRICS

BY_NAME = {component.name: component for component in METRICS}


def measure(evaluation, name, **options):
    component = BY_NAME[name]
    return component.create(component.options(extractor="pixels", **options))(evaluation)


@pytest.fixture(scope="module")
def digits():
    """Kept, withheld and test images of real digits: 60 of each class kept, 55 withheld, the rest tests."""
    from sklearn.datasets import load_digits

    from balancebench import LabelledImages

    bunch = load_digits()
    images = LabelledImages(
        images_NCHW=(bunch.images[:, None] * 255 / 16).astype(np.uint8),
        labels_N=bunch.target.astype(np.int64),
        class_names=tuple("0123456789"),
    )
    rng = np.random.default_rng(0)
    order = {label: rng.permutation(np.flatnonzero(images.labels_N == label)) for label in range(10)}

    def part(begin, end):
        return images.take(np.concatenate([order[label][begin:end] for label in range(10)]))

    return {"kept": part(0, 60), "withheld": part(60, 115), "test": part(115, None)}


def synthetic(images):
    return images.take(np.arange(len(images)), origin=Origin.SYNTHETIC)


def test_copies_of_training_images_are_memorised_and_withheld_images_are_not(digits, evaluate):
    sets = {"kept": digits["kept"], "test": digits["test"]}
    assert measure(evaluate(**sets, synthetic=synthetic(digits["kept"])), "memorisation") > 0.99
    assert 0.42 < measure(evaluate(**sets, synthetic=synthetic(digits["withheld"])), "memorisation") < 0.58


def test_copies_with_a_little_noise_are_memorised_too(digits, evaluate):
    noisy = digits["kept"].take(np.arange(600))
    noise_NCHW = np.random.default_rng(1).normal(0, 12, noisy.images_NCHW.shape)
    noisy.images_NCHW[:] = (noisy.images_NCHW + noise_NCHW).clip(0, 255)
    value = measure(evaluate(kept=digits["kept"], test=digits["test"], synthetic=synthetic(noisy)), "memorisation")
    assert value > 0.95


def test_copies_of_withheld_images_are_memorised_where_the_generator_saw_them(digits, evaluate):
    sets = {"kept": digits["kept"], "test": digits["test"], "synthetic": synthetic(digits["withheld"])}
    full_train = concatenate([digits["kept"], digits["withheld"]])
    seen = evaluate(**sets, full_train=full_train, used_withheld_data=True)
    assert measure(seen, "memorisation") > 0.99
    assert measure(seen, "nearest_neighbour_distance") < 1e-6
    unseen = evaluate(**sets, full_train=full_train)
    assert measure(unseen, "memorisation") < 0.58
    assert measure(unseen, "nearest_neighbour_distance") > 0.5


def test_more_training_than_test_images_do_not_look_like_copying(digits, evaluate):
    """With 115 training and 25 test images of a class most images are nearer to a training image by mere numbers."""
    training = concatenate([digits["kept"], digits["withheld"]])
    by_class = [np.flatnonzero(digits["test"].labels_N == label) for label in range(10)]
    tests = digits["test"].take(np.concatenate([members[:25] for members in by_class]))
    fresh = digits["test"].take(np.concatenate([members[25:] for members in by_class]))
    value = measure(evaluate(kept=training, test=tests, synthetic=synthetic(fresh)), "memorisation")
    assert 0.4 < value < 0.6
    copies = measure(evaluate(kept=training, test=tests, synthetic=synthetic(training)), "memorisation")
    assert copies > 0.99


def test_memorisation_counts_what_is_nearer(make_images, evaluate):
    kept, test = make_images([10, 0]), make_images([10, 0], seed=1)
    kept.images_NCHW[:], test.images_NCHW[:] = 100, 200
    generated = make_images([8, 0], seed=2, origin=Origin.SYNTHETIC)
    generated.images_NCHW[:] = np.array([90, 110, 149, 151, 180, 150, 150, 220], dtype=np.uint8)[:, None, None, None]
    # nearer to 100: three; to 200: three; as near to both: two
    assert measure(evaluate(kept=kept, test=test, synthetic=generated), "memorisation") == pytest.approx(
        (3 + 2 / 2) / 8
    )


def test_few_training_or_test_images_are_refused_by_the_name_of_the_class(make_images, evaluate):
    kept, test = make_images([50, 9, 20]), make_images([50, 50, 9], seed=1)
    generated = make_images([5, 5, 5], seed=2, origin=Origin.SYNTHETIC)
    evaluation = evaluate(kept=kept, test=test, synthetic=generated)
    value = measure(evaluation, "memorisation")
    assert isinstance(value, Undefined)
    assert value.reason.startswith("fewer than 10 training or test images: 'b', 'c'")
    by_class = measure(evaluation, "memorisation", per_class=True)
    assert by_class.reason == "fewer than 10 training or test images: 'b', 'c'"
    assert np.isfinite(by_class.values_K).tolist() == [True, False, False]


@pytest.mark.parametrize("to", ["train", "test"])
def test_the_distance_is_that_of_a_loop(make_images, evaluate, to):
    kept, test = make_images([20, 5]), make_images([10, 10], seed=1)
    generated = make_images([0, 7], seed=2, origin=Origin.SYNTHETIC)
    searched = (kept if to == "train" else test).images_NCHW.astype(np.float64) / 255
    distances = [
        min(np.sqrt(((image - other) ** 2).sum()) for other in searched)
        for image in generated.images_NCHW.astype(float) / 255
    ]
    evaluation = evaluate(kept=kept, test=test, synthetic=generated)
    assert measure(evaluation, "nearest_neighbour_distance", to=to) == pytest.approx(np.mean(distances))
    by_class = measure(evaluation, "nearest_neighbour_distance", to=to, per_class=True)
    np.testing.assert_allclose(by_class.values_K, [np.nan, np.mean(distances)])


def test_without_test_images_there_is_no_distance_to_them(make_images, evaluate):
    kept, generated = make_images([20, 5]), make_images([0, 7], seed=2, origin=Origin.SYNTHETIC)
    evaluation = evaluate(kept=kept, test=kept.take(np.arange(0)), synthetic=generated)
    assert measure(evaluation, "nearest_neighbour_distance", to="test") == Undefined("there are no test images")
