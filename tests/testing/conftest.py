"""Runs one check of the conformance kit on one component, and gives the callables of tests a path."""

import sys
from itertools import count
from types import ModuleType

import pytest

from balancebench.testing import collect_checks

NUMBERS = count()


def path_of(factory):
    """Return the path by which `build` names a callable of a test, which gets a module of its own."""
    module = ModuleType(f"made_for_a_test_{next(NUMBERS)}")
    module.factory = factory
    sys.modules[module.__name__] = module
    return f"{module.__name__}:factory"


@pytest.fixture
def run_check():
    """Return (component, name of the check, kind) -> run it; the check must exist."""

    def run(component, name, kind):
        (check,) = [
            check for check in collect_checks(**{f"{kind}s": [component]}) if (check.kind, check.name) == (kind, name)
        ]
        check()

    return run
