"""What a component declares, and the module that declares it: sound ones pass, each check has one it catches."""

import importlib
import random
from types import ModuleType
from unittest import SkipTest

import pytest
from pydantic import ConfigDict, Field, field_serializer

from balancebench import Balancer, BalancerComponent, Component, Options
from balancebench.testing import collect_checks
from balancebench.testing.declaration import CONTRACT_METHOD, DECLARATION_CHECKS, KIND_CHECKS
from balancebench.testing.subject import described
from tests.testing.conftest import path_of


class NoOptions(Options):
    pass


class Nested(Options):
    depth: int = 3


class Loose(Options):
    model_config = ConfigDict(extra="ignore")


class Changeable(Options):
    model_config = ConfigDict(frozen=False)


class Rounding(Options):
    ratio: float = Field(0.123, description="a ratio")

    @field_serializer("ratio")
    def rounded(self, ratio):
        return round(ratio, 1)


class Bounded(Options):
    ratio: float = Field(0.5, gt=0, le=1, description="a ratio")
    name: str = Field(description="a name")


def component(**changes):
    settings = {"name": "mine", "summary": "Mine.", "options": NoOptions, "build": "balancebench:Balancer"}
    return BalancerComponent(**{**settings, **changes})


def options_with(annotation, field):
    return type(
        "MyOptions", (Options,), {"__annotations__": {"option": annotation}, "option": field, "__module__": __name__}
    )


def test_sound_declarations_pass(run_check):
    sound = component(
        options=Bounded, smoke={"name": "a"}, citation="Me, 2020", outside_data=lambda options: options.name
    )
    for check in (*KIND_CHECKS, *DECLARATION_CHECKS):
        run_check(sound, described(check), "balancer")


def building_once():
    built = iter([Balancer(NoOptions()), None])
    return lambda _: next(built)


PLAIN = Component(name="mine", summary="Mine.", options=NoOptions, build="balancebench:Balancer")
SAYS, BUILDS = "says what it is in one line", "build names what is there"
BROKEN = [
    (SAYS, component(name="MyName"), "lower_snake_case"),
    (SAYS, component(summary=" "), "no summary"),
    (SAYS, component(summary="Two\nlines."), "summary has 2 lines"),
    (SAYS, component(citation="Two\nlines."), "citation has 2 lines"),
    (SAYS, component(revision=0), "revision is 0"),
    (SAYS, component(requires=frozenset({"gpu"})), r"requires \['gpu'\]; known are cuda"),
    ("default options are valid", component(options=Bounded), r"\['name'\] is required"),
    (
        "default options are valid",
        component(options=options_with(int, Field(0, ge=1, description="a count"))),
        "option: Input should be greater",
    ),
    ("smoke options are valid", component(smoke={"epochs": 1}), "epochs: Extra inputs"),
    ("smoke options are valid", component(options=Bounded, smoke={"ratio": 0.5}), r"leaves out \['name'\]"),
    ("describes every option", component(options=options_with(int, 3)), "option 'option' has no description"),
    (
        "describes every option",
        component(options=options_with(Nested | None, Field(None, description="a table"))),
        r"'option\.depth' has no description",
    ),
    ("refuses unknown options", component(options=Loose), "ignore unknown keys"),
    ("refuses unknown options", component(options=Changeable), "can change"),
    ("options survive json", component(options=Rounding), "come back from JSON as"),
    ("says what outside data it brings", component(outside_data=lambda _: "two\nlines"), "one line or None"),
    ("says what outside data it brings", component(outside_data=lambda _: str(random.random())), "second time"),
    ("is declared as what it is", PLAIN, "declared as BalancerComponent, not Component"),
    (BUILDS, component(build="balancebench_nowhere:Mine"), "No module named 'balancebench_nowhere'"),
    (BUILDS, component(build="balancebench:Mine"), "has no attribute 'Mine'"),
    (BUILDS, component(build="balancebench"), "mine cannot be built from 'balancebench'"),
    (BUILDS, component(build=path_of(lambda _: None)), "it builds NoneType, which has no plan"),
    (BUILDS, component(build=path_of(building_once())), "it builds NoneType"),
]


@pytest.mark.parametrize(("name", "broken", "message"), BROKEN)
def test_a_broken_declaration_is_caught(run_check, name, broken, message):
    with pytest.raises(AssertionError, match=message):
        run_check(broken, name, "balancer")


def test_every_check_of_declarations_catches_one():
    assert {name for name, _, _ in BROKEN} == {described(check) for check in (*KIND_CHECKS, *DECLARATION_CHECKS)}


def test_a_component_without_a_class_of_its_own_is_of_the_kind_it_is_declared_under(run_check):
    run_check(PLAIN, "is declared as what it is", "classifier")


@pytest.mark.parametrize(("kind", "method"), CONTRACT_METHOD.items())
def test_what_is_built_must_have_the_method_of_its_kind(run_check, kind, method):
    having = type("Having", (), {method: lambda self, *arguments: None})
    run_check(component(build=path_of(lambda _: having())), BUILDS, kind)
    with pytest.raises(AssertionError, match=f"it builds object, which has no {method}"):
        run_check(component(build=path_of(lambda _: object())), BUILDS, kind)


def test_only_a_dataset_may_require_an_option_that_smoke_does_not_give(run_check):
    for name in ("default options are valid", "smoke options are valid"):
        run_check(component(options=Bounded), name, "dataset")
        with pytest.raises(AssertionError, match="'name'"):
            run_check(component(options=Bounded), name, "classifier")


PLUGIN = """
from balancebench import BalancerComponent, Options, hookimpl
{at_import}

class NoOptions(Options):
    pass

class Mine:
    def __init__(self, options):
        import numpy

@hookimpl
def {hook}():
    {in_hook}
    path = f"{{__name__}}:Mine"
    return [BalancerComponent(name="mine", summary="Mine.", options=NoOptions, build=path, outside_data=outside)]

def outside(options):
    {in_outside}
    return None
"""
HEAVY_CHECK, HOOKS_CHECK = "declaring imports nothing heavy", "declares through hooks that exist"


@pytest.fixture
def check_plugin(tmp_path, monkeypatch):
    """Write a plugin module and run one of the checks of whole plugins on it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(check_name, hook="balancebench_balancers", **parts):
        filled = {"at_import": "", "in_hook": "pass", "in_outside": "pass", **parts}
        name = f"plugin_{abs(hash((hook, *filled.values())))}"
        (tmp_path / f"{name}.py").write_text(PLUGIN.format(hook=hook, **filled), encoding="utf-8")
        (check,) = [check for check in collect_checks(importlib.import_module(name)) if check.name == check_name]
        check()

    return run


def test_a_plugin_that_imports_where_it_is_built_is_light(check_plugin):
    check_plugin(HEAVY_CHECK)
    check_plugin(HOOKS_CHECK)


@pytest.mark.parametrize("where", ["at_import", "in_hook", "in_outside"])
def test_a_plugin_that_imports_earlier_is_caught(check_plugin, where):
    with pytest.raises(AssertionError, match="loads numpy; import it in what `build` names"):
        check_plugin(HEAVY_CHECK, **{where: "import numpy"})


def test_a_misspelt_hook_is_caught(check_plugin):
    with pytest.raises(AssertionError, match=r"there is no hook 'balancebench_balancer'.*did you mean"):
        check_plugin(HOOKS_CHECK, hook="balancebench_balancer")


def test_a_hook_that_raises_is_caught(check_plugin):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        check_plugin(HOOKS_CHECK, in_hook="1 / 0")


def test_a_plugin_that_has_no_name_to_import_is_skipped():
    (check,) = [check for check in collect_checks(ModuleType("nowhere")) if check.name == HEAVY_CHECK]
    with pytest.raises(SkipTest, match="cannot be imported by name"):
        check()
