"""What all built-in datasets share, and the digits, the simplest of them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from balancebench.builtin.datasets.components import DATASETS
from balancebench.contracts import LoadContext
from balancebench.data import DatasetSplits
from balancebench.errors import DataError
from balancebench.loading.held_out import first_of_each_class, held_out, superclass_of_each

DIGITS = next(component for component in DATASETS if component.name == "digits")
PARITY = {"even": ["0", "2", "4", "6", "8"], "odd": ["9", "7", "5", "3", "1"]}


@pytest.fixture
def context(tmp_path: Path) -> LoadContext:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return LoadContext(
        data_root=tmp_path / "data", scratch=scratch, progress=lambda *_: None, logger=logging.getLogger("test")
    )


def load_digits(context: LoadContext, **options: object) -> DatasetSplits:
    return DIGITS.create(DIGITS.options.model_validate(options)).load(context)


def test_first_of_each_class_keeps_the_first_images_in_their_order() -> None:
    labels_N = np.array([1, 0, 1, 1, 0, 2, 1, 0], dtype=np.int64)
    assert first_of_each_class(labels_N, 2).tolist() == [0, 1, 2, 4, 5]
    assert first_of_each_class(labels_N, 100).tolist() == list(range(8))


def test_held_out_takes_the_fraction_of_every_class_and_each_image_once() -> None:
    labels_N = np.repeat(np.array([0, 1, 2], dtype=np.int64), [10, 4, 2])
    train, test = held_out(labels_N, ["a", "b", "c"], 0.2, 0)
    assert np.bincount(labels_N[test]).tolist() == [2, 1, 1]  # 0.8 and 0.4 images round to at least one
    assert sorted([*train, *test]) == list(range(16))
    assert train.tolist() == sorted(train)
    _, most = held_out(labels_N, ["a", "b", "c"], 0.99, 0)
    assert np.bincount(labels_N[most]).tolist() == [9, 3, 1]  # one image at least is left to train on


def test_held_out_draws_a_class_alike_whatever_other_classes_there_are() -> None:
    alone = held_out(np.zeros(20, dtype=np.int64), ["cat"], 0.3, 5)[1]
    labels_N = np.repeat(np.array([0, 1], dtype=np.int64), [7, 20])
    together = held_out(labels_N, ["bird", "cat"], 0.3, 5)[1]
    assert (together[together >= 7] - 7).tolist() == alone.tolist()
    assert held_out(np.zeros(20, dtype=np.int64), ["cat"], 0.3, 6)[1].tolist() != alone.tolist()


def test_held_out_refuses_a_class_of_one_image() -> None:
    with pytest.raises(DataError, match="'rare' has 1 image"):
        held_out(np.array([0, 0, 1], dtype=np.int64), ["common", "rare"], 0.5, 0)


def test_superclasses_follow_the_order_of_the_classes() -> None:
    table = {"animal": ["cat", "bird"], "vehicle": ["ship"]}
    assert superclass_of_each(("bird", "cat", "ship"), table) == ("animal", "animal", "vehicle")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"animal": ["brid"], "vehicle": ["ship"]}, "'animal' names 'brid', no class here .did you mean 'bird'"),
        ({"animal": ["bird"], "thing": ["ship", "bird"]}, "'bird' is in super-classes 'animal' and 'thing'"),
        ({"animal": ["bird"]}, "class 'ship' without a super-class"),
    ],
)
def test_superclasses_must_name_every_class_once(table: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        superclass_of_each(("bird", "ship"), table)


def test_digits_are_all_of_scikit_learns_with_their_levels_spread_over_a_byte(context: LoadContext) -> None:
    from sklearn.datasets import load_digits as reference

    splits = load_digits(context)
    images_NCHW = np.concatenate([splits.train.images_NCHW, splits.test.images_NCHW])
    labels_N = np.concatenate([splits.train.labels_N, splits.test.labels_N])
    bunch = reference()
    assert images_NCHW.shape == (1797, 1, 8, 8)
    assert images_NCHW.max() == 255
    assert images_NCHW.min() == 0
    levels = {(label, *np.round(image.ravel() / 255 * 16)) for label, image in zip(labels_N, images_NCHW, strict=True)}
    expected = {(label, *image.ravel()) for label, image in zip(bunch["target"], bunch["images"], strict=True)}
    assert levels == expected
    assert splits.train.class_names == tuple("0123456789")


def test_digits_split_is_stratified_and_decided_by_its_seed(context: LoadContext) -> None:
    first, again = load_digits(context), load_digits(context)
    other = load_digits(context, split_seed=1)
    totals_K = first.train.counts_K + first.test.counts_K
    assert np.abs(first.test.counts_K - 0.25 * totals_K).max() <= 0.5
    assert first.test.digest() == again.test.digest()
    assert first.test.digest() != other.test.digest()
    assert len(load_digits(context, test_fraction=0.5).test) == pytest.approx(1797 / 2, abs=5)


def test_images_per_class_limits_training_images_only(context: LoadContext) -> None:
    whole, small = load_digits(context), load_digits(context, images_per_class=7)
    assert small.train.counts_K.tolist() == [7] * 10
    assert small.test.digest() == whole.test.digest()
    for label in range(10):
        np.testing.assert_array_equal(
            small.train.images_NCHW[small.train.labels_N == label],
            whole.train.images_NCHW[whole.train.labels_N == label][:7],
        )


def test_superclasses_reach_every_split(context: LoadContext) -> None:
    splits = load_digits(context, superclasses=PARITY)
    assert splits.train.superclass_K == splits.test.superclass_K == ("even", "odd") * 5
    with pytest.raises(DataError, match="'1' without a super-class"):
        load_digits(context, superclasses={"even": PARITY["even"], "odd": ["3", "5", "7", "9"]})
