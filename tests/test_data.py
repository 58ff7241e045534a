"""Labelled images are refused where they enter, with what is wrong with them."""

import numpy as np
import pytest

from balancebench.data import LabelledImages, Origin, Parents, concatenate
from balancebench.errors import DataError
from balancebench.execution.run_plan import run_plan
from balancebench.plan import expand
from balancebench.store import Store
from balancebench.suite.bind import bind_suite


def images(**changes):
    fields = {
        "images_NCHW": np.zeros((3, 1, 2, 2), dtype=np.uint8),
        "labels_N": np.array([0, 1, 1]),
        "class_names": ("bag", "boot"),
    }
    return LabelledImages(**{**fields, **changes})


@pytest.mark.parametrize(
    ("field", "names", "said"),
    [
        ("class_names", ("bag", 7), r"class_names\[1\] is 7, of type int; a name is text: '7'"),
        ("class_names", (None, "boot"), r"class_names\[0\] is None, of type NoneType"),
        ("superclass_K", ("bags", b"shoes"), r"superclass_K\[1\] is b'shoes', of type bytes"),
    ],
)
def test_a_name_that_is_no_text_is_refused(field, names, said):
    with pytest.raises(DataError, match=said):
        images(**{field: names})


def test_an_origin_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(DataError, match=r"origin 77 is none of Origin, which has 0 \(real\), .*3 \(synthetic\)"):
        images(origin_N=np.array([0, 77, 3], dtype=np.uint8))


def test_every_origin_is_taken():
    origins_N = np.array([Origin.REAL, Origin.AUGMENTED, Origin.SYNTHETIC], dtype=np.uint8)
    assert images(origin_N=origins_N).origins_N.tolist() == [0, 2, 3]


def between(first, second, weight):
    return Parents(
        first_N=np.array(first), second_N=np.array(second), second_weight_N=np.array(weight, dtype=np.float64)
    )


def test_parents_go_with_their_images_and_are_unknown_where_a_part_does_not_say():
    told = images(parents=between([5, 6, 7], [8, -1, 9], [0.25, 0, 0.5]))
    joined = concatenate([images(), told.take(np.array([2, 0]), origin=Origin.SYNTHETIC)])
    assert joined.parents.first_N.tolist() == [-1, -1, -1, 7, 5]
    assert joined.parents.second_N.tolist() == [-1, -1, -1, 9, 8]
    assert joined.parents.second_weight_N.tolist() == [0, 0, 0, 0.5, 0.25]
    assert concatenate([images(), images()]).parents is None


@pytest.mark.parametrize(
    ("parents", "said"),
    [
        (lambda: between([5, 6], [8, 9], [0.5, 0.5]), "3 images but parents of 2"),
        (lambda: between([5, 6, 7], [8, 9], [0.5, 0.5]), r"second_N of parents must be int64 \(N,\), got int64 \(2,\)"),
        (lambda: between([0.5, 6, 7], [8, 9, 1], [0, 0, 0]), r"first_N of parents must be int64 \(N,\), got float64"),
        (lambda: between([5, 6, 7], [8, 9, 1], [0, 1.5, 0]), r"second_weight_N of parents must lie in 0\.\.1"),
        (lambda: between([5, 6, 7], [8, 9, 1], [0, np.nan, 0]), r"second_weight_N of parents must lie in 0\.\.1"),
    ],
)
def test_parents_that_do_not_fit_are_refused(parents, said):
    with pytest.raises(DataError, match=said):
        images(parents=parents())


def test_who_an_image_comes_from_is_no_part_of_its_digest():
    assert images(parents=between([5, 6, 7], [8, -1, 9], [0.25, 0, 0.5])).digest() == images().digest()


@pytest.fixture
def failure_of(fakes, suite_file, tmp_path, monkeypatch):
    """Run the fake suite with an attribute of a fake component replaced; returns the first failure's message."""

    def run(owner, name, replacement):
        monkeypatch.setattr(owner, name, replacement)
        extra = '\n[[balancer]]\nuse = "misbehaving"\nhow = "none"\n'
        plan = expand(bind_suite(suite_file(extra, replace={"seeds = [0, 1]": "seeds = [0]"}), fakes))
        outcome = run_plan(plan, Store.open(tmp_path / "store"), executor="inline", device="cpu")
        return outcome.failed[0].message

    return run


def test_a_data_set_that_breaks_the_rules_is_named(failure_of):
    import balancebench_fakes  # which is on the path only where the fake plugins are

    message = failure_of(balancebench_fakes.TinyDataset, "load", lambda self, context: images(class_names=("bag", 7)))
    assert message == "dataset tiny: class_names[1] is 7, of type int; a name is text: '7'"


def test_a_balancer_that_breaks_the_rules_is_named(failure_of):
    import balancebench_fakes  # which is on the path only where the fake plugins are

    unheard_of = np.full(3, 77, dtype=np.uint8)
    message = failure_of(
        balancebench_fakes.Misbehaving, "synthesise", lambda self, train, context: images(origin_N=unheard_of)
    )
    assert message.startswith("misbehaving made images that do not fit: origin 77 is none of Origin")
