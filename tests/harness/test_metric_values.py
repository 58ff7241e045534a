"""What a metric returns is a number, one a class, or a matrix of classes; anything else is refused with its name."""

import numpy as np
import pytest

from balancebench.errors import BalancebenchError
from balancebench.evaluation import PartlyUndefined, Undefined
from balancebench.stages.metrics import scored


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.zeros(2), r"metric mine: it returned an array of shape \(2,\); a metric of 3 classes returns a number"),
        (np.zeros((3, 2)), r"shape \(3, 2\)"),
        (np.zeros((3, 3, 3)), r"shape \(3, 3, 3\)"),
        ([[1.0], [1.0, 2.0], [3.0]], "it returned list; a metric returns numbers"),
        (PartlyUndefined(np.zeros(5), "no image"), r"shape \(5,\)"),
        (None, "it returned NoneType"),
        ("0.5", "it returned str"),
        ({"accuracy": 0.5}, "it returned dict"),
        (0.5 + 1j, "it returned complex"),
    ],
)
def test_a_value_of_a_wrong_form_is_refused_and_names_the_metric(value, said):
    with pytest.raises(BalancebenchError, match=said):
        scored("mine", lambda _: value, None, 3)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (7, 7.0),
        (np.array([1, 2, 3]), [1.0, 2.0, 3.0]),
        ([0.5, float("nan"), 1.0], [0.5, None, 1.0]),
        (np.eye(3), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (Undefined("no image"), None),
    ],
)
def test_numbers_vectors_of_classes_and_square_matrices_are_kept(value, kept):
    assert scored("mine", lambda _: value, None, 3).value == kept
