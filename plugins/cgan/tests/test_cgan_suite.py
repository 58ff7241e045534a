"""The suite is the paper's table: its rows, imbalances, networks and numbers, which the README shows too."""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from balancebench_cgan import plugin

SUITE = Path(__file__).parents[3] / "suites" / "cgan_fashion_mnist.toml"
README = Path(__file__).parents[1] / "README.md"
RECORDS = SUITE.parents[1] / "leaderboard" / "cgan_fashion_mnist.cpu" / "records.json"

pytestmark = pytest.mark.skipif(not SUITE.is_file(), reason="the plugin is not beside the suites")

GANS = ["mlp_cgan_relu", "small_mlp_cgan_leaky", "mlp_cgan_leaky", "big_mlp_cgan_leaky"]
ROWS = ["none", "random_undersampling", "random_oversampling", *GANS]


@pytest.fixture(scope="module")
def suite() -> dict[str, Any]:
    return tomllib.loads(SUITE.read_text(encoding="utf-8"))


def test_every_row_of_the_table_is_in_the_suite(suite):
    assert [table.get("label", table["use"]) for table in suite["balancer"]] == ROWS
    assert suite["run"]["seeds"] == [0, 1, 2]
    assert suite["run"].get("ceiling", True)  # the row of the original set
    published = [
        (table.get("imbalancer"), "ceiling" if table.get("ceiling") else table["balancer"])
        for table in suite["published"]
    ]
    assert published == [(None, "ceiling"), *((level, row) for level in ("low", "high") for row in ROWS)]


def test_the_imbalances_keep_as_many_images_as_in_the_paper(suite):
    kept = {
        table["label"]: [math.ceil(6000 * table["ratio"] ** label) for label in range(10)]
        for table in suite["imbalancer"]
    }
    assert kept == {
        "low": [6000, 4667, 3630, 2824, 2196, 1708, 1329, 1034, 804, 625],
        "high": [6000, 3000, 1500, 750, 375, 188, 94, 47, 24, 12],
    }


def test_the_suite_trains_what_the_paper_describes(suite):
    (component,) = plugin.balancebench_balancers()
    for table in suite["balancer"]:
        if table["use"] == "mlp_cgan":
            options = component.options.model_validate({"generator": table["generator"]})
            assert (options.epochs, options.batch_size, options.learning_rate) == (100, 256, 2e-4)
            assert (options.betas, options.latent_size, options.embedding_size) == ((0.9, 0.999), 100, 10)
            assert (options.leak, options.dropout, options.target) == (0.2, 0.3, "largest")
    (classifier,) = plugin.balancebench_classifiers()
    (table,) = suite["classifier"]
    options = classifier.options.model_validate({key: value for key, value in table.items() if key != "use"})
    assert options.softmax_output
    assert (options.epochs, options.batch_size, options.learning_rate) == (30, 100, 5e-4)
    assert (options.optimiser, options.betas, options.schedule) == ("adam", (0.99, 0.999), "constant")


def test_published_numbers_are_those_of_the_readme(suite):
    in_suite = [
        (table["loss of probabilities"], table["accuracy"], table["weighted F1"]) for table in suite["published"]
    ]
    in_readme = [tuple(map(float, (row[2], row[4], row[6]))) for row in readme_rows()]
    assert len(in_suite) == 15
    assert in_suite == in_readme


def test_reproduced_numbers_in_the_readme_are_those_of_the_committed_records():
    measured: dict[tuple[str, str], list[float]] = {}
    for cell in json.loads(RECORDS.read_text(encoding="utf-8"))["cells"]:
        scores = cell["scores"]["last"]["metrics"]
        level = "-" if cell["role"] == "ceiling" else cell["task"]["imbalancer"]
        labels = ("loss of probabilities", "accuracy", "weighted F1")
        measured[level, cell["balancer"]] = [round(scores[label]["value"], 3) for label in labels]
    names = {"original": "no imbalance", "unbalanced": "none"}
    for row in readme_rows():
        level, name = row[0].strip(), row[1].strip()
        balancer = names.get(name, name.replace(" ", "_"))
        assert [float(row[3]), float(row[5]), float(row[7])] == pytest.approx(measured[level, balancer], abs=0.00051)


def readme_rows():
    rows = [line.split("|")[1:-1] for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [row for row in rows if len(row) == 8 and re.fullmatch(r" \d\.\d{3} ", row[2])]
