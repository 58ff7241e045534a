"""The diffusion balancers keep the harness's contracts."""

from __future__ import annotations

from balancebench.testing import Check, parametrize_with_checks
from balancebench_gmaug import plugin

NAMES = {"edm", "cbdm", "guided_diffusion"}


@parametrize_with_checks(
    balancers=[component for component in plugin.balancebench_balancers() if component.name in NAMES]
)
def test_gmaug_diffusion_balancer_conforms(check: Check):
    check()
