"""What a metric returns is a number, one a class, or a matrix of classes; anything else is refused with its name."""

from dataclasses import replace

import numpy as np
import pytest

from balancebench.errors import BalancebenchError
from balancebench.evaluation import PartlyUndefined, Undefined
from balancebench.stages.measuring import scored
from balancebench.testing.tiny import tiny_evaluation


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
        scored("mine", lambda _: value, tiny_evaluation(), 3)


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
    assert scored("mine", lambda _: value, tiny_evaluation(), 3).value == kept


def test_a_metric_that_writes_into_its_predictions_is_named():
    def sorts(evaluation):
        evaluation.logits_NK.sort()
        return 0.5

    evaluation = tiny_evaluation()
    writable = replace(evaluation, logits_NK=evaluation.logits_NK.copy())
    with pytest.raises(BalancebenchError, match="metric mine: it wrote into the arrays it was handed"):
        scored("mine", sorts, writable, 3)
