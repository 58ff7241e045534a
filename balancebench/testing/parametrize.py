"""Collects the checks of a plugin or of single components, and hands them to pytest."""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from balancebench.component import KINDS, BalancerComponent, Component, Kind, MetricComponent
from balancebench.contracts import Classifier, Dataset, Imbalancer
from balancebench.registry import Registry
from balancebench.testing.balancers import BALANCER_CHECKS
from balancebench.testing.classifiers import CLASSIFIER_CHECKS
from balancebench.testing.datasets import DATASET_CHECKS
from balancebench.testing.declaration import DECLARATION_CHECKS, KIND_CHECKS
from balancebench.testing.generators import GENERATOR_CHECKS
from balancebench.testing.imbalancers import IMBALANCER_CHECKS
from balancebench.testing.importing import declaring_imports_nothing_heavy
from balancebench.testing.metric_checks import METRIC_CHECKS
from balancebench.testing.subject import Body, described
from balancebench.testing.subset_metrics import SUBSET_METRIC_CHECKS

__all__ = ["Check", "collect_checks", "parametrize_with_checks"]

CHECKS: Mapping[Kind, tuple[Body, ...]] = {
    "dataset": DATASET_CHECKS,
    "imbalancer": IMBALANCER_CHECKS,
    "balancer": BALANCER_CHECKS,
    "classifier": CLASSIFIER_CHECKS,
    "metric": METRIC_CHECKS,
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Check:
    """One statement about one component. Call it: it raises AssertionError where the statement does not hold.

    It raises unittest.SkipTest, which pytest takes for a skip, where it cannot be seen here: no network, no GPU.
    component: its name, or "plugin" for what is true of all together. name: the statement in words.
    """

    kind: Kind | None
    component: str
    name: str
    body: Callable[[], None]

    def __call__(self) -> None:
        """Check it."""
        self.body()

    def __repr__(self) -> str:
        subject = f"{self.kind} {self.component}" if self.kind else self.component
        return f"{subject}: {self.name}"


def collect_checks(
    plugin: object | None = None,
    *,
    datasets: Iterable[Component[Any, Dataset]] = (),
    imbalancers: Iterable[Component[Any, Imbalancer]] = (),
    balancers: Iterable[BalancerComponent[Any]] = (),
    classifiers: Iterable[Component[Any, Classifier]] = (),
    metrics: Iterable[MetricComponent[Any]] = (),
) -> list[Check]:
    """Return the checks of every component that `plugin` declares through its hooks, and of those given by kind.

    plugin: a module, or any object, with functions marked `hookimpl`, as a plugin's entry point names it.
    """
    given: dict[Kind, Iterable[Component[Any, Any]]] = {
        "dataset": datasets,
        "imbalancer": imbalancers,
        "balancer": balancers,
        "classifier": classifiers,
        "metric": metrics,
    }
    registry = Registry()
    checks: list[Check] = []
    if plugin is not None:
        registry.add_plugin(plugin, "plugin")
        checks += _checks_of_plugin(plugin, registry)
    for kind in KINDS:
        for component in [*(registered.component for registered in registry.all(kind)), *given[kind]]:
            checks += _checks_of(kind, component)
    return checks


def parametrize_with_checks(
    plugin: object | None = None,
    *,
    datasets: Iterable[Component[Any, Dataset]] = (),
    imbalancers: Iterable[Component[Any, Imbalancer]] = (),
    balancers: Iterable[BalancerComponent[Any]] = (),
    classifiers: Iterable[Component[Any, Classifier]] = (),
    metrics: Iterable[MetricComponent[Any]] = (),
    expected_failures: Mapping[tuple[str, str], str] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a pytest function of one argument `check` so that it runs once for each check.

    plugin and the components of each kind: see `collect_checks`.
    expected_failures: (component, name of the check) -> why it does not hold. Strict: one that holds after all fails,
    so that the list never grows stale. Raises ValueError where a key is no check.
    """
    import pytest

    checks = collect_checks(
        plugin,
        datasets=datasets,
        imbalancers=imbalancers,
        balancers=balancers,
        classifiers=classifiers,
        metrics=metrics,
    )
    expected = dict(expected_failures or {})
    unknown = set(expected) - {(check.component, check.name) for check in checks}
    if unknown:
        component, name = sorted(unknown)[0]
        raise ValueError(f"expected_failures names no check: {component!r}, {name!r}")

    def marks(check: Check) -> list[pytest.MarkDecorator]:
        reason = expected.get((check.component, check.name))
        return [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]

    return pytest.mark.parametrize(
        "check", [pytest.param(check, id=str(check), marks=marks(check)) for check in checks]
    )


def _checks_of_plugin(plugin: object, registry: Registry) -> Iterator[Check]:
    def named(name: str, body: Callable[[], None]) -> Check:
        return Check(kind=None, component="plugin", name=name, body=body)

    yield named("declares through hooks that exist", partial(_declares_through_hooks_that_exist, registry))
    yield named(described(declaring_imports_nothing_heavy), partial(declaring_imports_nothing_heavy, plugin))


def _checks_of(kind: Kind, component: Component[Any, Any]) -> Iterator[Check]:
    def named(name: str, body: Callable[[], None]) -> Check:
        return Check(kind=kind, component=component.name, name=name, body=body)

    for of_kind in KIND_CHECKS:
        yield named(described(of_kind), partial(of_kind, kind, component))
    for body in (*DECLARATION_CHECKS, *_checks_of_contract(kind, component)):
        yield named(described(body), partial(body, component))


def _checks_of_contract(kind: Kind, component: Component[Any, Any]) -> tuple[Body, ...]:
    match component:
        case BalancerComponent(trains_generator=True):
            return (*CHECKS[kind], *GENERATOR_CHECKS)
        case MetricComponent(of="subset"):
            return SUBSET_METRIC_CHECKS
        case _:
            return CHECKS[kind]


def _declares_through_hooks_that_exist(registry: Registry) -> None:
    assert not registry.broken, f"the harness would leave it out: {registry.broken[0].error}"
