"""The plugin keeps what the harness relies on: balancebench's conformance kit, run on all it declares."""

from __future__ import annotations

from balancebench.testing import Check, parametrize_with_checks
from balancebench_datasynth import plugin


@parametrize_with_checks(plugin)
def test_conforms(check: Check):
    check()
