"""The conformance kit: run it on your plugin, and what the harness relies on is checked.

    from balancebench.testing import Check, parametrize_with_checks
    from balancebench_mine import plugin

    @parametrize_with_checks(plugin)
    def test_conforms(check: Check) -> None:
        check()

It needs pytest alone, no network and no GPU. The training sets and contexts it uses are here for tests of your own.
"""

from __future__ import annotations

from balancebench.testing.contexts import fit_context, load_context, plan_context, synthesis_context
from balancebench.testing.generator_steps import trained_and_drawn
from balancebench.testing.parametrize import Check, collect_checks, parametrize_with_checks
from balancebench.testing.tiny import tiny_evaluation, tiny_subset_evaluation, tiny_training_set

__all__ = [
    "Check",
    "collect_checks",
    "fit_context",
    "load_context",
    "parametrize_with_checks",
    "plan_context",
    "synthesis_context",
    "tiny_evaluation",
    "tiny_subset_evaluation",
    "tiny_training_set",
    "trained_and_drawn",
]
