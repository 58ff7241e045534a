"""Runs one check of the conformance kit on one component."""

import pytest

from balancebench.testing import collect_checks


@pytest.fixture
def run_check():
    """Return (component, name of the check, kind) -> run it; the check must exist."""

    def run(component, name, kind):
        (check,) = [
            check for check in collect_checks(**{f"{kind}s": [component]}) if (check.kind, check.name) == (kind, name)
        ]
        check()

    return run
