"""Every component of the plugin keeps the harness's contracts."""

from __future__ import annotations

from balancebench.testing import Check, parametrize_with_checks
from balancebench_gmaug import plugin


@parametrize_with_checks(plugin)
def test_conforms(check: Check):
    check()
