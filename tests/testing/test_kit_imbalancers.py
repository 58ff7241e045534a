"""A sound imbalancer passes the kit; every check has a broken one that it catches."""

from unittest import SkipTest

import numpy as np
import pytest

from balancebench import Component, DataError, Options
from balancebench.testing import collect_checks
from balancebench.testing.imbalancers import IMBALANCER_CHECKS
from balancebench.testing.subject import described
from tests.testing.conftest import path_of


class NoOptions(Options):
    pass


def component(select, **changes):
    """Return an imbalancer that selects by a function of labels_N, class_names and rng."""

    class Selecting:
        def select(self, labels_N, class_names, rng):
            return select(labels_N, class_names, rng)

    settings = {"name": "mine", "summary": "Mine.", "options": NoOptions, "build": path_of(lambda _: Selecting())}
    return Component(**{**settings, **changes})


def half(labels_N, class_names, rng):
    if len(labels_N) < 2:
        raise DataError("half of one image is none")
    return rng.permutation(len(labels_N))[: len(labels_N) // 2].astype(np.int64)


def stumbling_where(stumbles):
    def select(labels_N, class_names, rng):
        if stumbles(np.bincount(labels_N, minlength=len(class_names))):
            raise IndexError("it did not think of that")
        return half(labels_N, class_names, rng)

    return component(select)


def writing(labels_N, class_names, rng):
    labels_N.sort()
    return half(labels_N, class_names, rng)


def from_numpy(labels_N, class_names, rng):
    return np.random.permutation(len(labels_N))[:5]  # noqa: NPY002 - what the kit is to catch


def of_python(labels_N, class_names, rng):
    import random

    return np.array(random.sample(range(len(labels_N)), 5))


def test_a_sound_imbalancer_passes_every_check():
    for check in collect_checks(imbalancers=[component(half)]):
        if check.kind:
            check()


BROKEN = [
    ("keeps each image at most once", component(lambda y, names, rng: [0, 1]), "list"),
    ("keeps each image at most once", component(lambda y, names, rng: y > 1), "bool"),
    ("keeps each image at most once", component(lambda y, names, rng: np.zeros(3, dtype=np.int64)), "twice"),
    ("keeps each image at most once", component(lambda y, names, rng: np.array([len(y)])), "outside"),
    ("keeps each image at most once", component(lambda y, names, rng: np.arange(0)), "no image"),
    ("same seed gives the same result", component(from_numpy), "two runs with one seed"),
    ("same seed gives the same result", component(of_python), "two runs with one seed"),
    ("only a seeded one depends on the seed", component(half, seeded=False), "seeded=False"),
    ("leaves its inputs alone", component(writing), "writes to an array"),
    ("leaves global random state alone", component(of_python), "Python"),
    ("handles or refuses classes of one image", stumbling_where(lambda n: 1 in n), "did not think"),
    ("handles or refuses a class without images", stumbling_where(lambda n: 0 in n), "did not think"),
    ("handles or refuses a single class", stumbling_where(lambda n: len(n) == 1), "did not think"),
]


@pytest.mark.parametrize(("name", "broken", "message"), BROKEN)
def test_a_broken_imbalancer_is_caught(run_check, name, broken, message):
    with pytest.raises(Exception, match=message) as caught:
        run_check(broken, name, "imbalancer")
    assert not isinstance(caught.value, SkipTest)


def test_every_check_of_imbalancers_catches_one():
    assert {name for name, _, _ in BROKEN} == {described(check) for check in IMBALANCER_CHECKS}
