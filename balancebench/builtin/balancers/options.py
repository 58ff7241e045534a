"""The options of the built-in balancer; imports nothing heavy."""

from __future__ import annotations

from balancebench.config import Options

__all__ = ["UnbalancedOptions"]


class UnbalancedOptions(Options):
    """The options of `none`: there are none."""
