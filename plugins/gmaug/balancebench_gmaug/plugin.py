"""Declares what this plugin brings; what it does is imported only where it is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import BalancerComponent, hookimpl
from balancebench_gmaug.transitional_cgan_component import TRANSITIONAL_CGAN

__all__ = ["balancebench_balancers"]


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """Declare the generators."""
    return [
        TRANSITIONAL_CGAN,
    ]
