"""The suites hold the paper's table, and a run with Stable Diffusion works whole or ends before it begins."""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest

from balancebench import BalancebenchError, LabelledImages
from balancebench.execution.run_plan import run_plan
from balancebench.plan import expand
from balancebench.registry import load_registry
from balancebench.store import Store
from balancebench.suite.bind import bind_suite
from balancebench.synthesis.target import missing_counts
from balancebench_imagegen import plugin

FOLDER = Path(__file__).parents[3] / "suites"
RECORDS = FOLDER.parent / "leaderboard" / "imagegen_cifar10_cat_local.cpu" / "records.json"
STAGES = ("train_generator", "synthesise")
T_OF_3_SEEDS = 4.302652729911275  # Student's t, 97.5 %, 2 degrees of freedom (any table)
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

beside_the_suites = pytest.mark.skipif(not FOLDER.is_dir(), reason="the plugin is not beside the suites")

SMALL = """
schema = 1
name = "small"
metrics = ["accuracy"]

[[dataset]]
use = "digits"
images_per_class = 6

[[imbalancer]]
use = "drop_class"
dropped_class = 3
fraction = 0.5

[[balancer]]
use = "stable_diffusion"
preset = "PRESET"

[[classifier]]
use = "small_cnn"
epochs = 1
width = 4
"""


def suite(name):
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


@beside_the_suites
def test_published_numbers_are_those_of_the_readme():
    rows = re.findall(r"^\| [^|]+ \| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) \|", README, re.MULTILINE)
    in_readme = sorted((float(cat), float(accuracy), float(loss)) for cat, accuracy, loss in rows)
    in_suite = sorted(
        (round(100 * table["cat accuracy"], 2), round(100 * table["accuracy"], 2), table["loss"])
        for table in suite("imagegen_cifar10_cat")["published"]
        if "50 added" not in table.get("balancer", "")  # the GAN's numbers once more
    )
    assert len(in_suite) == 5
    assert in_suite == in_readme


@beside_the_suites
def test_reproduced_numbers_in_the_readme_are_those_of_the_committed_records():
    scores = {}
    for cell in json.loads(RECORDS.read_text(encoding="utf-8"))["cells"]:
        measured = cell["scores"]["last"]["metrics"]
        values = [100 * measured[label]["value"] for label in ("cat accuracy", "accuracy")]
        scores.setdefault(cell["balancer"], {})[cell["seeds"][0]] = values
    shown = re.findall(r"^\| `([^`]+)` \| ([\d.]+) \| ([^|]+) \| ([\d.]+) \| ([^|]+) \|$", README, re.MULTILINE)
    assert {row[0] for row in shown} == set(scores)
    for name, *cells in shown:
        for index in range(2):
            own, floor = ([of_seed[index] for _, of_seed in sorted(scores[row].items())] for row in (name, "none"))
            assert cells[2 * index] == f"{fmean(own):.2f}"
            gains = [ours - theirs for ours, theirs in zip(own, floor, strict=True)]
            half = T_OF_3_SEEDS * stdev(gains) / math.sqrt(len(gains))
            assert cells[2 * index + 1] == ("-" if name == "none" else f"{fmean(gains):+.2f} ± {half:.2f}")


@beside_the_suites
def test_the_local_suite_is_the_other_without_stable_diffusion_and_downloads():
    local, other = suite("imagegen_cifar10_cat_local"), suite("imagegen_cifar10_cat")
    without = [table for table in other["balancer"] if table["use"] != "stable_diffusion"]
    assert [{**table, "features": "pixels"} if table["use"] == "dcgan" else table for table in without] == local[
        "balancer"
    ]
    for part in ("classifier", "imbalancer", "metrics", "run"):
        assert local[part] == other[part]
    assert local["published"] == [table for table in other["published"] if table.get("balancer") != "stable_diffusion"]
    assert local["dataset"] == [{"use": "image_folder", "label": "cifar10", "root": "../data/cifar10"}]


@beside_the_suites
def test_both_doubtful_counts_of_the_published_gan_row_are_rows_of_one_generator_beside_its_numbers():
    planned = expand(bind_suite(FOLDER / "imagegen_cifar10_cat.toml", load_registry()))
    keys = {
        name: {stage: {cell.steps[stage] for cell in planned.cells if cell.balancer == name} for stage in STAGES}
        for name in ("dcgan, withheld too", "dcgan, withheld too, 50 added")
    }
    many, few = keys.values()
    assert many["train_generator"] == few["train_generator"]
    assert many["synthesise"].isdisjoint(few["synthesise"])
    rows = {table["balancer"]: table for table in suite("imagegen_cifar10_cat")["published"] if "balancer" in table}
    pair = [rows[name] for name in keys]
    assert pair[0]["accuracy"] == pair[1]["accuracy"] == 0.8555
    assert all("50" in row["protocol"] and "4,950" in row["protocol"] for row in pair)


@beside_the_suites
def test_a_target_of_twice_the_kept_cats_adds_as_many_as_there_are():
    labels_N = np.repeat([0, 1], [5000, 50])
    images = LabelledImages(
        images_NCHW=np.zeros((5050, 1, 1, 1), np.uint8), labels_N=labels_N, class_names=("dog", "cat")
    )
    (target,) = (table["target"] for table in suite("imagegen_cifar10_cat")["balancer"] if "target" in table)
    assert missing_counts(target, images).tolist() == [0, 50]


@beside_the_suites
def test_options_of_the_suites_are_valid():
    components = {component.name: component for component in plugin.balancebench_balancers()}
    for table in suite("imagegen_cifar10_cat")["balancer"]:
        if table["use"] in components:
            options = {key: value for key, value in table.items() if key not in ("use", "label")}
            components[table["use"]].options.model_validate(options)


@pytest.fixture
def run(tmp_path):
    """Run the small suite with a preset in this process; returns the plan, the outcome and the store."""

    def carry(preset):
        path = tmp_path / "small.toml"
        path.write_text(SMALL.replace("PRESET", preset), encoding="utf-8")
        planned, store = expand(bind_suite(path, load_registry())), Store.open(tmp_path / "store")
        outcome = run_plan(planned, store, executor="inline", device="cpu")
        return planned, outcome, store

    return carry


def test_a_missing_model_stops_the_run_before_any_step(run, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no_models"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    with pytest.raises(BalancebenchError, match=r"nothing was run.*\n.*`hf download CompVis/stable-diffusion-v1-4"):
        run("sd14")
    assert not (tmp_path / "store" / "steps").exists()


def test_a_whole_run_with_the_pipeline_of_random_weights(run):
    planned, outcome, store = run("tiny_random")
    assert outcome.failed == []
    key = next(cell.steps["synthesise"] for cell in planned.cells if cell.balancer == "stable_diffusion")
    told = json.loads((store.folder(key) / "artefacts" / "generation.json").read_text())
    assert told["requested"] == 3
    assert len(told["prompts"]["3"]) == 3
    assert not (store.root / "checkpoints" / key).exists()
