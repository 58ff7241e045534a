"""Plugins are found, and a broken one is a row that names it, not an end of everything."""

import pytest

from balancebench import Component, MetricComponent, Options, hookimpl
from balancebench.errors import PluginError
from balancebench.registry import Registry


def plugin(**hooks):
    """Return a plugin object with hook implementations that return what is given."""

    class Plugin:
        pass

    for name, value in hooks.items():
        setattr(Plugin, name, staticmethod(hookimpl(lambda value=value: value)))
    return Plugin


def metric(name="hits"):
    return MetricComponent(name=name, summary="x", options=Options, build="mine.metrics:Hits")


def test_components_of_a_plugin_are_found_by_name_and_by_qualified_name():
    registry = Registry()
    registry.add_plugin(plugin(balancebench_metrics=[metric()]), "balancebench-x", "main")
    assert registry.find("metric", "hits").distribution == "balancebench-x"
    assert registry.find("metric", "balancebench-x:hits").component.name == "hits"


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"balancebench_metrics": [object()]}, "not a MetricComponent"),
        ({"balancebench_metrics": [metric("CamelCase")]}, "not lower_snake_case"),
        ({"balancebench_metrics": [metric(), metric()]}, "declared twice"),
        ({"balancebench_metric": [metric()]}, "did you mean 'balancebench_metrics'"),
        ({"balancebench_metrics": None}, "TypeError"),
        (
            {"balancebench_classifiers": [Component(name="a", summary="x", options=Options, build="mine.Mine")]},
            'write "package.module:Name"',
        ),
        (
            {"balancebench_classifiers": [Component(name="a", summary="x", options=dict, build="mine:Mine")]},
            "do not derive from balancebench.Options",
        ),
    ],
)
def test_a_plugin_that_declares_nonsense_is_a_row_and_adds_nothing(hooks, message):
    registry = Registry()
    registry.add_plugin(plugin(**hooks), "balancebench-x", "main")
    assert len(registry.broken) == 1
    row = str(registry.broken[0])
    assert "balancebench-x" in row
    assert "main" in row
    assert message in row
    assert not any(registry.all(kind) for kind in ("metric", "classifier"))


def test_a_broken_plugin_is_named_where_a_component_is_not_found():
    registry = Registry()
    registry.add_broken("balancebench-x", "main", ImportError("no module named y"))
    with pytest.raises(PluginError, match=r"unknown metric 'hits'.*balancebench-x.*no module named y"):
        registry.find("metric", "hits")


def test_two_distributions_may_offer_one_name_to_suites_that_say_which():
    registry = Registry()
    for distribution in ("balancebench-x", "balancebench-y"):
        registry.add_plugin(plugin(balancebench_metrics=[metric()]), distribution, "main")
    assert not registry.broken
    with pytest.raises(PluginError, match="balancebench-x and balancebench-y"):
        registry.find("metric", "hits")
    assert registry.find("metric", "balancebench-y:hits").distribution == "balancebench-y"


def test_an_observing_plugin_that_fails_does_not_stop_the_run(fakes, suite_file, tmp_path):
    from balancebench.execution.run_plan import run_plan
    from balancebench.plan import expand
    from balancebench.store import Store
    from balancebench.suite.bind import bind_suite

    seen = []

    class Observer:
        @staticmethod
        @hookimpl
        def balancebench_step_finished(label, status):
            seen.append((label, status))
            raise RuntimeError("observing is hard")

    fakes.hooks.register(Observer, "observer")
    plan = expand(bind_suite(suite_file(), fakes))
    outcome = run_plan(plan, Store.open(tmp_path / "s"), registry=fakes, executor="inline", device="cpu")
    assert not outcome.failed
    assert len(seen) == len(plan.steps)
