"""Which images of each class stay: the legacy subset of the field, and the seeded one."""

# ruff: noqa: NPY002 - NumPy's legacy generator is the reference here
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from balancebench.builtin.imbalancers.components import IMBALANCERS

COMPONENTS = {component.name: component for component in IMBALANCERS}
SUBSETS: list[tuple[str, dict[str, Any]]] = [
    ("long_tail", {"imbalance_ratio": 5}),
    ("long_tail", {"imbalance_ratio": 5, "class_order": "permuted"}),
    ("step", {"imbalance_ratio": 5}),
    ("geometric", {"ratio": 0.7}),
    ("drop_class", {"dropped_class": 1, "fraction": 0.8}),
    ("counts", {"counts": [6, 1, 3]}),
]
labels_of_three_classes = st.lists(st.integers(0, 2), max_size=80).map(
    # At least six images of each class, so that no subset above empties one.
    lambda labels: np.array([*labels, *([0, 1, 2] * 6)], dtype=np.int64)
)


def select(name: str, options: dict[str, Any], labels_N: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    component = COMPONENTS[name]
    imbalancer = component.create(component.options.model_validate(options))
    class_names = [f"class {class_id}" for class_id in range(labels_N.max() + 1)]
    return imbalancer.select(labels_N, class_names, np.random.default_rng(seed))


def shuffled_labels(class_count: int, images: int) -> NDArray[np.int64]:
    return np.random.default_rng(11).permutation(np.repeat(np.arange(class_count, dtype=np.int64), images))


@pytest.fixture
def global_numpy_state():
    """Put NumPy's global random state back after a test that seeds it."""
    state = np.random.get_state()
    yield
    np.random.set_state(state)


@pytest.mark.usefixtures("global_numpy_state")
@pytest.mark.parametrize("imbalance_ratio", [100, 10])
def test_cao2019_keeps_exactly_the_images_of_numpys_legacy_shuffle(imbalance_ratio: int):
    labels_N = shuffled_labels(10, 1000)
    counts = [int(1000 * (1 / imbalance_ratio) ** (class_id / 9)) for class_id in range(10)]

    np.random.seed(0)
    expected: list[int] = []
    for class_id, count in enumerate(counts):
        indices = np.where(labels_N == class_id)[0]
        np.random.shuffle(indices)
        expected.extend(indices[:count])

    kept = select("long_tail", {"imbalance_ratio": imbalance_ratio, "draw": "cao2019"}, labels_N)
    assert kept.tolist() == expected


def test_cao2019_keeps_the_indices_it_has_always_kept():
    # np.random.seed(0), then np.random.shuffle of [0, 2, 4, 6, 8, 10] and of [1, 3, 5, 7, 9, 11], written down: NumPy
    # has frozen its legacy stream.
    labels_N = np.array([0, 1] * 6, dtype=np.int64)
    assert select("counts", {"counts": 3, "draw": "cao2019"}, labels_N).tolist() == [10, 4, 2, 3, 7, 9]


def test_cao2019_keeps_the_same_images_for_every_seed():
    labels_N = shuffled_labels(4, 50)
    options = {"imbalance_ratio": 10, "draw": "cao2019"}
    np.testing.assert_array_equal(
        select("long_tail", options, labels_N, seed=1), select("long_tail", options, labels_N, seed=2)
    )


@pytest.mark.parametrize("draw", ["independent", "cao2019"])
@pytest.mark.parametrize(("name", "options"), SUBSETS)
def test_the_global_random_state_is_left_alone(name: str, options: dict[str, Any], draw: str):
    before = np.random.get_state(legacy=False)
    select(name, options | {"draw": draw}, shuffled_labels(3, 20))
    np.testing.assert_equal(np.random.get_state(legacy=False), before)


@pytest.mark.parametrize("draw", ["independent", "cao2019"])
@pytest.mark.parametrize(("name", "options"), SUBSETS)
@settings(deadline=None)
@given(labels_N=labels_of_three_classes, seed=st.integers(0, 2**63 - 1))
def test_indices_are_valid_unique_and_the_same_for_the_same_seed(
    name: str, options: dict[str, Any], draw: str, labels_N: NDArray[np.int64], seed: int
):
    labels_N.setflags(write=False)
    kept = select(name, options | {"draw": draw}, labels_N, seed)
    assert kept.dtype == np.int64
    assert len(np.unique(kept)) == len(kept)
    assert kept.min() >= 0
    assert kept.max() < len(labels_N)
    np.testing.assert_array_equal(kept, select(name, options | {"draw": draw}, labels_N, seed))


def test_independent_indices_ascend():
    kept = select("long_tail", {"imbalance_ratio": 10}, shuffled_labels(5, 100))
    assert (np.diff(kept) > 0).all()


def test_another_seed_keeps_other_images():
    labels_N = shuffled_labels(5, 100)
    first = select("long_tail", {"imbalance_ratio": 10}, labels_N, seed=1)
    second = select("long_tail", {"imbalance_ratio": 10}, labels_N, seed=2)
    assert len(first) == len(second)
    assert set(first.tolist()) != set(second.tolist())


@pytest.mark.parametrize("draw", ["independent", "cao2019"])
@settings(deadline=None)
@given(
    ratios=st.tuples(st.floats(1, 40), st.floats(1, 40)).map(sorted),
    class_order=st.sampled_from(["id", "permuted"]),
    seed=st.integers(0, 1000),
)
def test_a_steeper_tail_is_a_subset_of_a_flatter_one(draw: str, ratios: list[float], class_order: str, seed: int):
    labels_N = shuffled_labels(6, 60)
    flatter, steeper = (
        select("long_tail", {"imbalance_ratio": ratio, "draw": draw, "class_order": class_order}, labels_N, seed)
        for ratio in ratios
    )
    assert set(steeper.tolist()) <= set(flatter.tolist())


def test_classes_are_drawn_independently_of_one_another():
    labels_N = shuffled_labels(3, 30)
    few = select("counts", {"counts": [5, 5, 5]}, labels_N)
    more = select("counts", {"counts": [29, 17, 5]}, labels_N)
    of_last_class = [kept[labels_N[kept] == 2].tolist() for kept in (few, more)]
    assert of_last_class[0] == of_last_class[1]


def test_the_order_of_classes_changes_their_counts_and_not_which_images_come_first():
    labels_N = shuffled_labels(8, 50)
    everything = [set(np.flatnonzero(labels_N == class_id).tolist()) for class_id in range(8)]
    by_id = set(select("long_tail", {"imbalance_ratio": 10}, labels_N).tolist())
    permuted = set(select("long_tail", {"imbalance_ratio": 10, "class_order": "permuted"}, labels_N).tolist())
    for members in everything:
        smaller, larger = sorted((by_id & members, permuted & members), key=len)
        assert smaller <= larger


def test_the_permuted_order_depends_on_the_seed():
    labels_N = shuffled_labels(8, 50)
    options = {"imbalance_ratio": 10, "class_order": "permuted"}
    counts = {tuple(np.bincount(labels_N[select("long_tail", options, labels_N, seed)])) for seed in range(5)}
    assert len(counts) > 1


def test_class_names_do_not_decide_which_images_stay():
    component = COMPONENTS["long_tail"]
    imbalancer = component.create(component.options.model_validate({"imbalance_ratio": 10}))
    labels_N = shuffled_labels(3, 40)
    english = imbalancer.select(labels_N, ["cat", "dog", "bird"], np.random.default_rng(5))
    german = imbalancer.select(labels_N, ["Katze", "Hund", "Vogel"], np.random.default_rng(5))
    np.testing.assert_array_equal(english, german)


@settings(deadline=None)
@given(renaming=st.permutations(range(5)))
def test_renumbering_the_classes_moves_no_count_from_its_rank(renaming: list[int]):
    labels_N = shuffled_labels(5, 40)
    renumbered_N = np.array(renaming, dtype=np.int64)[labels_N]
    for draw in ("independent", "cao2019"):
        kept, kept_renumbered = (
            select("long_tail", {"imbalance_ratio": 8, "draw": draw}, labels) for labels in (labels_N, renumbered_N)
        )
        np.testing.assert_array_equal(np.bincount(labels_N[kept]), np.bincount(renumbered_N[kept_renumbered]))


def test_a_permuted_order_composes_with_the_legacy_draw():
    labels_N = shuffled_labels(6, 50)
    options = {"imbalance_ratio": 10, "draw": "cao2019", "class_order": "permuted"}
    kept = select("long_tail", options, labels_N, seed=3)
    everything = select("counts", {"counts": 50, "draw": "cao2019"}, labels_N)
    for class_id in range(6):
        of_class = kept[labels_N[kept] == class_id]
        shuffled = everything[labels_N[everything] == class_id]
        assert of_class.tolist() == shuffled[: len(of_class)].tolist()
