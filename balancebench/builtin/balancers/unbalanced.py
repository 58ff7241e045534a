"""No balancing: one plain phase over the training set as it is."""

from __future__ import annotations

from balancebench.builtin.balancers.options import UnbalancedOptions
from balancebench.contracts import Balancer

__all__ = ["Unbalanced"]


class Unbalanced(Balancer[UnbalancedOptions]):
    """Leaves the training set alone, and trains on it with mean cross-entropy."""
