"""Declares the balancer `none`."""

from __future__ import annotations

from typing import Any

from balancebench.builtin.balancers.options import UnbalancedOptions
from balancebench.component import BalancerComponent

__all__ = ["BALANCERS"]

BALANCERS: tuple[BalancerComponent[Any], ...] = (
    BalancerComponent(
        name="none",
        seeded=False,
        summary="Train on the imbalanced set as it is: the floor, or on balanced data the ceiling.",
        options=UnbalancedOptions,
        build="balancebench.builtin.balancers.unbalanced:Unbalanced",
    ),
)
