"""The metrics of synthetic images keep the harness's contract."""

from __future__ import annotations

from balancebench.testing import Check, parametrize_with_checks
from balancebench_quality import plugin


@parametrize_with_checks(plugin)
def test_conforms(check: Check):
    check()
