"""What metrics return: what it may be, and how two values compare.

Axis suffixes: N images, K classes.
"""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.component import MetricComponent
from balancebench.data import LabelledImages
from balancebench.evaluation import Evaluation, PartlyUndefined, SubsetEvaluation, Undefined
from balancebench.testing.subject import build

__all__ = ["alike", "check_follows", "check_ordinary_value", "check_value", "computed_value", "renamed"]


def computed_value(component: MetricComponent[Any], evaluation: Evaluation | SubsetEvaluation) -> Any:
    """Return the value of a metric built anew; of what is partly undefined, the numbers."""
    value = build(component)(evaluation)
    if isinstance(value, PartlyUndefined):
        assert value.reason.strip(), "it is PartlyUndefined without a reason"
        return value.values_K
    return value


def check_value(value: Any, class_count: int) -> None:
    """Fail unless it is a finite float, one number a class, a matrix of classes, or Undefined with a reason."""
    if isinstance(value, Undefined):
        assert value.reason.strip(), "it is Undefined without a reason"
        return
    if isinstance(value, np.ndarray):
        shape: tuple[int, ...] = value.shape
        assert value.dtype.kind in "iuf", f"its array is of dtype {value.dtype}; give floats or integers"
        valid_shapes = ((class_count,), (class_count, class_count))
        assert shape in valid_shapes, f"its array has shape {shape}; give one value a class, (K,), or a matrix, (K, K)"
        return
    assert isinstance(value, float), f"it returns {type(value).__name__}; give a float, an array or Undefined"
    assert math.isfinite(value), f"it returns {value}; give Undefined with the reason"


def check_ordinary_value(component: MetricComponent[Any], value: Any) -> None:
    """Fail where the value of an ordinary evaluation of 3 classes is undefined, or not what its unit says."""
    check_value(value, class_count=3)
    assert not isinstance(value, Undefined), f"it is undefined on an ordinary evaluation: {value.reason}"
    if component.unit == "%":
        array: NDArray[Any] = np.asarray(value)
        assert np.nanmin(array) >= 0 and np.nanmax(array) <= 1, f'unit "%" is for values in 0..1, got {value}'  # noqa: PT018


def check_follows(before: Any, after: Any, order_K: NDArray[np.int64]) -> None:
    """Fail unless `after` is `before` where the class order_K[k] has become class k."""
    if isinstance(before, Undefined) or isinstance(after, Undefined):
        assert isinstance(before, Undefined) and isinstance(after, Undefined), "it is defined under one numbering only"  # noqa: PT018
        return
    expected: NDArray[Any] = np.asarray(before)
    for axis in range(expected.ndim):
        expected = np.take(expected, order_K, axis=axis)
    same = np.allclose(np.asarray(after), expected, rtol=1e-5, atol=1e-7, equal_nan=True)
    assert same, f"with the classes numbered otherwise it is {after} instead of {expected}"


def renamed(images: LabelledImages, order_K: NDArray[np.int64]) -> LabelledImages:
    """Return the same images where the class order_K[k] has become class k."""
    names = tuple(images.class_names[label] for label in order_K)
    return replace(images, labels_N=np.argsort(order_K)[images.labels_N], class_names=names)


def alike(first: Any, second: Any) -> bool:
    """Say whether two values are equal but for rounding; two that are undefined are alike whatever the reason."""
    if isinstance(first, Undefined) or isinstance(second, Undefined):
        return isinstance(first, Undefined) and isinstance(second, Undefined)
    return np.shape(first) == np.shape(second) and np.allclose(first, second, rtol=1e-5, atol=1e-7, equal_nan=True)
