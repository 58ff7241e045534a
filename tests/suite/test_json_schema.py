"""Editors that read the JSON Schema of suites say first what is wrong: the misspelt option, not the whole entry."""

from pathlib import Path

import pytest
import tomli
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from balancebench.registry import load_registry
from balancebench.suite.json_schema import suite_json_schema

SUITES = sorted(Path(__file__).parents[2].joinpath("suites").glob("*.toml"))


@pytest.fixture(scope="module")
def validator():
    schema = suite_json_schema(load_registry())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.fixture
def document():
    return tomli.loads((SUITES[0].parent / "quickstart.toml").read_text())


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_of_the_repository_is_valid(validator, path):
    assert [error.message for error in validator.iter_errors(tomli.loads(path.read_text()))] == []


def test_a_misspelt_option_is_the_one_message(validator, document):
    smote = document["balancer"][-1]
    smote["neigbours"] = smote.pop("neighbours")
    (error,) = validator.iter_errors(document)
    assert "'neigbours' was unexpected" in best_match([error]).message
    assert list(error.absolute_path) == ["balancer", len(document["balancer"]) - 1]


def test_a_value_out_of_range_is_the_one_message(validator, document):
    document["balancer"][-1]["neighbours"] = 0
    (error,) = validator.iter_errors(document)
    assert error.message == "0 is less than the minimum of 1"


def test_an_unknown_component_is_the_one_message(validator, document):
    document["balancer"][-1] = {"use": "smot"}
    (error,) = validator.iter_errors(document)
    assert error.message.startswith("'smot' is not one of")


def test_options_of_metrics_are_known_too(validator, document):
    document["metrics"] = ["accuracy", {"use": "shot_accuracy", "group": "fewest"}]
    (error,) = validator.iter_errors(document)
    assert "'fewest' is not one of" in error.message
