"""How many images each class keeps: golden numbers of the field, hand-computed cases, refusals."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from balancebench import DataError
from balancebench.builtin.imbalancers.components import IMBALANCERS

COMPONENTS = {component.name: component for component in IMBALANCERS}


def kept_counts(name: str, options: dict[str, Any], available: list[int], names: list[str] | None = None) -> list[int]:
    """Return the images of each class that imbalancer `name` keeps of a set with `available` images a class."""
    component = COMPONENTS[name]
    imbalancer = component.create(component.options.model_validate(options))
    labels_N = np.repeat(np.arange(len(available), dtype=np.int64), available)
    class_names = names or [f"class {class_id}" for class_id in range(len(available))]
    kept = imbalancer.select(labels_N, class_names, np.random.default_rng(0))
    return np.bincount(labels_N[kept], minlength=len(available)).tolist()


def test_none_keeps_every_image_in_order():
    imbalancer = COMPONENTS["none"].create(COMPONENTS["none"].options())
    labels_N = np.array([1, 0, 1, 2], dtype=np.int64)
    assert imbalancer.select(labels_N, ["a", "b", "c"], np.random.default_rng(0)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("class_count", "images", "imbalance_ratio", "total"),
    [
        (10, 5000, 200, 11203),
        (10, 5000, 100, 12406),
        (10, 5000, 50, 13996),
        (10, 5000, 20, 17023),
        (10, 5000, 10, 20431),
        (100, 500, 200, 9502),
        (100, 500, 100, 10847),
        (100, 500, 50, 12608),
        (100, 500, 20, 15907),
        (100, 500, 10, 19573),
    ],
)
def test_long_tail_keeps_the_published_total_of_cifar(class_count: int, images: int, imbalance_ratio: int, total: int):
    kept = kept_counts("long_tail", {"imbalance_ratio": imbalance_ratio}, [images] * class_count)
    assert sum(kept) == total


@pytest.mark.parametrize("draw", ["independent", "cao2019"])
def test_long_tail_100_keeps_the_published_counts_of_cifar10(draw: str):
    kept = kept_counts("long_tail", {"imbalance_ratio": 100, "draw": draw}, [5000] * 10)
    assert kept == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def test_step_keeps_all_of_the_first_half_and_a_share_of_the_second():
    assert kept_counts("step", {"imbalance_ratio": 100}, [5000] * 10) == [5000] * 5 + [50] * 5


def test_step_counts_the_middle_one_of_an_odd_number_of_classes_to_the_tail():
    assert kept_counts("step", {"imbalance_ratio": 10}, [100] * 5) == [100, 100, 10, 10, 10]


def test_geometric_halves_fashion_mnist_down_to_twelve_images():
    assert kept_counts("geometric", {"ratio": 0.5}, [6000] * 10) == [
        6000, 3000, 1500, 750, 375, 188, 94, 47, 24, 12
    ]  # fmt: skip


def test_geometric_rounds_up():
    exact = [math.ceil(6000 * Fraction(7, 9) ** rank) for rank in range(10)]
    assert kept_counts("geometric", {"ratio": 7 / 9}, [6000] * 10) == exact


def test_geometric_never_empties_a_class():
    assert kept_counts("geometric", {"ratio": 0.01}, [50] * 4) == [50, 1, 1, 1]


@pytest.mark.parametrize("name", ["long_tail", "step"])
def test_an_imbalance_ratio_of_one_keeps_everything(name: str):
    assert kept_counts(name, {"imbalance_ratio": 1}, [30, 30, 30]) == [30, 30, 30]


@pytest.mark.parametrize("name", ["long_tail", "geometric"])
def test_a_single_class_is_the_head_and_keeps_everything(name: str):
    assert kept_counts(name, {}, [7]) == [7]


def test_unequal_classes_are_cut_from_the_size_of_the_largest_and_keep_no_more_than_they_have():
    assert kept_counts("long_tail", {"imbalance_ratio": 100}, [400, 1000, 1000]) == [400, 100, 10]
    assert kept_counts("step", {"imbalance_ratio": 10}, [400, 1000, 60, 1000]) == [400, 1000, 60, 100]
    assert kept_counts("geometric", {"ratio": 0.5}, [1000, 300, 1000]) == [1000, 300, 250]


@settings(deadline=None)
@given(
    class_count=st.integers(2, 30),
    images=st.integers(1, 2000),
    imbalance_ratio=st.floats(1, 300),
    class_order=st.sampled_from(["id", "permuted"]),
)
def test_long_tail_falls_from_n_max_to_n_max_over_the_ratio(
    class_count: int, images: int, imbalance_ratio: float, class_order: str
):
    options = {"imbalance_ratio": imbalance_ratio, "class_order": class_order}
    assume(images > imbalance_ratio * 1.001)  # else a class would be empty, or is so but for the last bit
    kept = kept_counts("long_tail", options, [images] * class_count)
    ranked = sorted(kept, reverse=True)
    assert ranked[0] == images
    assert images / imbalance_ratio - 1 - 1e-9 < ranked[-1] <= images / imbalance_ratio + 1e-9
    if class_order == "id":
        assert kept == ranked


def test_a_permuted_order_gives_the_same_sizes_to_other_classes():
    by_id = kept_counts("long_tail", {"imbalance_ratio": 10}, [200] * 8)
    permuted = kept_counts("long_tail", {"imbalance_ratio": 10, "class_order": "permuted"}, [200] * 8)
    assert sorted(permuted) == sorted(by_id)
    assert permuted != by_id


@pytest.mark.parametrize("dropped", ["cat", 1])
def test_drop_class_takes_99_percent_of_one_class_by_name_or_id(dropped: str | int):
    options = {"dropped_class": dropped, "fraction": 0.99}
    assert kept_counts("drop_class", options, [5000, 5000, 5000], ["bird", "cat", "deer"]) == [5000, 50, 5000]


def test_drop_class_rounds_to_the_nearest_image():
    # 0.29 * 100 is 28.999999999999996 in float64.
    assert kept_counts("drop_class", {"dropped_class": 0, "fraction": 0.29}, [100, 100]) == [71, 100]


def test_drop_class_removes_a_class_only_where_the_fraction_is_one():
    assert kept_counts("drop_class", {"dropped_class": 0, "fraction": 1}, [20, 20]) == [0, 20]
    with pytest.raises(DataError, match=r"class 'class 0' would keep 0 of its 20 images: choose a smaller fraction"):
        kept_counts("drop_class", {"dropped_class": 0, "fraction": 0.999}, [20, 20])


def test_a_class_name_of_digits_is_not_taken_for_an_id():
    assert kept_counts("drop_class", {"dropped_class": "7", "fraction": 0.5}, [10, 10], ["7", "1"]) == [5, 10]


def test_drop_class_names_the_nearest_class_where_the_name_is_misspelt():
    with pytest.raises(DataError, match=r"there is no class 'catt' \(did you mean 'cat'\?\)"):
        kept_counts("drop_class", {"dropped_class": "catt"}, [9, 9], ["cat", "dog"])


def test_drop_class_refuses_an_id_beyond_the_last_class():
    with pytest.raises(DataError, match="there is no class 2: ids go from 0 to 1"):
        kept_counts("drop_class", {"dropped_class": 2}, [9, 9])


def test_counts_takes_a_number_a_list_or_a_table():
    names = ["bird", "cat", "deer"]
    assert kept_counts("counts", {"counts": 4}, [9, 9, 9], names) == [4, 4, 4]
    assert kept_counts("counts", {"counts": [9, 1, 3]}, [9, 9, 9], names) == [9, 1, 3]
    assert kept_counts("counts", {"counts": {"deer": 2}}, [9, 9, 9], names) == [9, 9, 2]


def test_counts_names_the_nearest_class_where_the_table_has_an_unknown_one():
    with pytest.raises(DataError, match=r"there is no class 'dear' \(did you mean 'deer'\?\)"):
        kept_counts("counts", {"counts": {"dear": 2}}, [9, 9], ["bird", "deer"])


def test_counts_refuses_a_list_of_another_length():
    with pytest.raises(DataError, match="counts lists 2 numbers, but there are 3 classes"):
        kept_counts("counts", {"counts": [1, 2]}, [9, 9, 9])


def test_counts_refuses_more_images_than_a_class_has():
    with pytest.raises(DataError, match="counts asks for 10 images of class 'cat', which has 9"):
        kept_counts("counts", {"counts": {"cat": 10}}, [9, 9], ["cat", "dog"])


@pytest.mark.parametrize("name", ["long_tail", "step"])
def test_a_class_that_would_be_empty_is_refused_with_a_ratio_that_works(name: str):
    with pytest.raises(DataError, match=r"class 'dog' would keep 0 of its 40 images.* imbalance_ratio below 40"):
        kept_counts(name, {"imbalance_ratio": 100}, [40, 40], ["cat", "dog"])
    assert kept_counts(name, {"imbalance_ratio": 39.9}, [40, 40]) == [40, 1]


@pytest.mark.parametrize("name", ["long_tail", "step", "geometric"])
def test_a_class_without_training_images_is_named(name: str):
    with pytest.raises(DataError, match="class 'dog' has no training images"):
        kept_counts(name, {}, [400, 0], ["cat", "dog"])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("long_tail", {"imbalance_ratio": 0.01}),
        ("long_tail", {"imbalance_ratio": math.inf}),
        ("long_tail", {"draw": "legacy"}),
        ("long_tail", {"class_order": "size"}),
        ("long_tail", {"ratio": 100}),
        ("step", {"imbalance_ratio": 0}),
        ("geometric", {"ratio": 0}),
        ("geometric", {"ratio": 1.1}),
        ("drop_class", {"fraction": 0.5}),
        ("drop_class", {"dropped_class": -1}),
        ("drop_class", {"dropped_class": True}),
        ("drop_class", {"dropped_class": 0, "fraction": 0}),
        ("drop_class", {"dropped_class": 0, "fraction": 1.5}),
        ("counts", {}),
        ("counts", {"counts": 0}),
        ("counts", {"counts": [3, 0]}),
        ("counts", {"counts": {"cat": 0}}),
        ("counts", {"counts": [2.5]}),
        ("none", {"draw": "independent"}),
    ],
)
def test_options_out_of_range_are_refused(name: str, options: dict[str, Any]):
    with pytest.raises(ValidationError):
        COMPONENTS[name].options.model_validate(options)


def test_declaring_imbalancers_imports_no_numpy():
    code = "import sys, balancebench.builtin.imbalancers.components; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
