"""Suites that ship with balancebench are run by name, from any folder."""

from pathlib import Path

import pytest

from balancebench.errors import PluginError, SuiteError
from balancebench.leaderboard.results import describe_suite
from balancebench.registry import OUR_PLUGINS, Registry, load_registry
from balancebench.suite import shipped
from balancebench.suite.bind import bind_suite
from balancebench.suite.shipped import SHIPPED, suite_file

SUITES = Path(__file__).parents[2] / "suites"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", SHIPPED)
def test_a_bare_name_means_the_suite_that_ships(name, elsewhere):
    assert suite_file(Path(name)).read_bytes() == (SUITES / f"{name}.toml").read_bytes()
    assert bind_suite(Path(name), load_registry()).name == name


@pytest.mark.parametrize("path", ["quickstart.toml", "./suites/quickstart", "other"])
def test_a_path_and_another_name_stay_what_they_are(path, elsewhere):
    assert suite_file(Path(path)) == Path(path)


def test_a_file_that_is_called_like_a_shipped_suite_comes_first(elsewhere):
    (elsewhere / "quickstart").write_text("schema = 1")
    assert suite_file(Path("quickstart")) == Path("quickstart")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("quickstat", "there is no such file (did you mean 'quickstart'?)"),
        ("cifar", "there is no such file (suites that come with balancebench: quickstart, regression)"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_or_with_all(name, hint, elsewhere):
    with pytest.raises(SuiteError, match="1 mistake") as refused:
        bind_suite(Path(name), load_registry())
    assert str(refused.value).endswith(hint)


def test_a_file_beside_it_is_suggested_before_a_shipped_suite(elsewhere):
    (elsewhere / "suites").mkdir()
    (elsewhere / "suites" / "quickstart.toml").touch()
    with pytest.raises(SuiteError, match=r"did you mean 'suites/quickstart.toml'"):
        bind_suite(Path("quickstrt"), load_registry())


def test_a_board_of_an_installed_suite_names_the_command_that_works_anywhere(elsewhere, monkeypatch):
    installed = elsewhere / "venv" / "balancebench" / "suites"
    installed.mkdir(parents=True)
    (installed / "quickstart.toml").write_bytes((SUITES / "quickstart.toml").read_bytes())
    monkeypatch.setattr(shipped, "IN_WHEEL", installed)
    assert describe_suite(bind_suite(Path("quickstart"), load_registry())).file == "quickstart"


def test_an_unknown_component_may_come_with_a_plugin_that_is_not_installed():
    with pytest.raises(PluginError, match=r"unknown balancer 'smote'.*not installed here: .*balancebench-resampling"):
        Registry().find("balancer", "smote")


def test_an_installed_plugin_is_never_said_to_be_missing():
    registry = Registry()
    registry.versions["balancebench-resampling"] = "0.1"
    registry.add_broken("balancebench-resampling", "main", ImportError("no module named imblearn"))
    with pytest.raises(PluginError, match=r"unknown balancer 'smote'.*no module named imblearn") as unknown:
        registry.find("balancer", "smote")
    assert "balancebench-resampling" not in str(unknown.value).partition("not installed here")[2]


def test_the_plugins_of_this_repository_are_known_by_name():
    folders = (Path(__file__).parents[2] / "plugins").iterdir()
    assert {f"balancebench-{folder.name}" for folder in folders if (folder / "pyproject.toml").is_file()} == set(
        OUR_PLUGINS
    )
