"""Declares the balancer `none`."""

from __future__ import annotations

from balancebench.component import Balancer, BalancerComponent
from balancebench.config import Options

__all__ = ["BALANCERS", "UnbalancedOptions"]


class UnbalancedOptions(Options):
    """The options of `none`: there are none."""


def build_none(_options: UnbalancedOptions) -> Balancer:
    """Build `none`."""
    from balancebench.builtin.balancers.unbalanced import Unbalanced

    return Unbalanced()


BALANCERS: tuple[BalancerComponent[Balancer], ...] = (
    BalancerComponent(
        name="none",
        seeded=False,
        summary="Train on the imbalanced set as it is: the floor, or on balanced data the ceiling.",
        options=UnbalancedOptions,
        build=build_none,
    ),
)
