"""transitional_cgan keeps the harness's contracts."""

from __future__ import annotations

from balancebench.testing import Check, parametrize_with_checks
from balancebench_gmaug.transitional_cgan_component import TRANSITIONAL_CGAN


@parametrize_with_checks(balancers=[TRANSITIONAL_CGAN])
def test_transitional_cgan_conforms(check: Check):
    check()
