"""The core's own components conform, as any plugin's must."""

from balancebench.builtin import plugin
from balancebench.testing import Check, parametrize_with_checks


@parametrize_with_checks(plugin)
def test_conforms(check: Check):
    check()
