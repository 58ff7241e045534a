"""A small suite from end to end: digits, a balancer that copies, draws noise or peeks, and all metrics."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import Field

from balancebench import Balancer, BalancerComponent, Options, Origin, hookimpl
from balancebench.execution.run_plan import run_plan
from balancebench.leaderboard.results_in_store import collect
from balancebench.plan import expand
from balancebench.registry import load_registry
from balancebench.store import Store
from balancebench.suite.bind import bind_suite

SUITE = """
schema = 1
name = "quality"
metrics = [
    "balanced_accuracy", "fid", "kid", "generative_precision", "generative_recall", "density", "coverage",
    { use = "nearest_neighbour_distance", label = "to train" },
    { use = "nearest_neighbour_distance", to = "test", label = "to test" },
    "memorisation",
    { use = "memorisation", extractor = "pixels", label = "memorised pixels" },
    { use = "kid", per_class = true, label = "kid by class" },
]

[run]
seeds = [0]
ceiling = false
report = ["last", "best_test"]

[[dataset]]
use = "digits"
images_per_class = 80

[[imbalancer]]
use = "long_tail"
imbalance_ratio = 4

[[balancer]]
use = "made_up"
sweep = { how = ["copies", "noise", "peek"] }

[[balancer]]
use = "random_oversampling"

[[classifier]]
use = "small_cnn"
epochs = 1
width = 4
"""


class MadeUpOptions(Options):
    how: str = Field("copies", description="copies, noise or peek")


class MadeUp(Balancer[MadeUpOptions]):
    def synthesise(self, train, context):
        missing_K = train.counts_K.max() - train.counts_K
        source = context.withheld() if self.options.how == "peek" else train
        chosen = [
            context.rng.choice(np.flatnonzero(source.labels_N == label), size=missing)
            for label, missing in enumerate(missing_K)
            if missing
        ]
        generated = source.take(np.concatenate(chosen), origin=Origin.SYNTHETIC)
        if self.options.how == "noise":
            generated.images_NCHW[:] = context.rng.integers(0, 256, generated.images_NCHW.shape)
        return generated


class Plugin:
    @hookimpl
    def balancebench_balancers(self):
        return [
            BalancerComponent(
                name="made_up",
                summary="Makes images up.",
                options=MadeUpOptions,
                build=f"{__name__}:MadeUp",
                synthesises=True,
            )
        ]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The scores of every row, by balancer and metric."""
    folder = tmp_path_factory.mktemp("quality")
    path, store = folder / "suite.toml", Store.open(folder / "store")
    path.write_text(SUITE)
    load_registry.cache_clear()
    try:
        load_registry().add_plugin(Plugin(), "tests")
        plan = expand(bind_suite(path, load_registry(), None))
        outcome = run_plan(plan, store, executor="inline", device="cpu")
    finally:
        load_registry.cache_clear()
    results = {cell.balancer: cell for cell in collect(plan, store)}
    return SimpleNamespace(plan=plan, store=store, outcome=outcome, results=results)


def value(ran, how, metric, report="last"):
    return ran.results[f"made_up(how={how})"].scores[report].metrics[metric].value


def test_every_cell_is_scored(ran):
    assert not ran.outcome.failed
    assert {cell.status for cell in ran.results.values()} == {"done"}


@pytest.mark.parametrize("metric", ["fid", "kid", "to train", "to test"])
def test_copies_of_real_images_score_lower_distances_than_noise(ran, metric):
    assert value(ran, "copies", metric) < value(ran, "noise", metric)


@pytest.mark.parametrize("metric", ["generative_precision", "density", "coverage"])
def test_copies_of_real_images_overlap_more_than_noise(ran, metric):
    assert value(ran, "copies", metric) > value(ran, "noise", metric)


def test_copies_are_seen_as_such_and_so_are_copies_of_withheld_images(ran):
    for how in ("copies", "peek"):
        assert value(ran, how, "memorised pixels") > 0.99
        assert value(ran, how, "memorisation") > 0.95
        assert value(ran, how, "to train") < 1e-3 < value(ran, how, "to test")
    assert ran.results["made_up(how=peek)"].used_withheld_data
    assert value(ran, "noise", "to train") > 0.1


def test_values_of_classes_leave_out_the_class_that_needed_no_image(ran):
    score = ran.results["made_up(how=copies)"].scores["last"].metrics["kid by class"]
    assert score.value[0] is None
    assert all(isinstance(number, float) for number in score.value[1:])
    assert score.reason == "no synthetic images: '0'"


def test_rows_that_repeat_images_have_no_synthetic_ones(ran):
    for balancer in ("none", "random_oversampling"):
        scores = ran.results[balancer].scores["last"].metrics
        assert scores["balanced_accuracy"].value is not None
        for metric in set(scores) - {"balanced_accuracy"}:
            assert (scores[metric].value, scores[metric].reason) == (None, "the balancer made no synthetic images")


def test_both_reports_have_the_same_quality(ran):
    for metric in ("fid", "kid", "memorisation"):
        assert value(ran, "copies", metric) == value(ran, "copies", metric, "best_test")


def test_the_extractor_is_trained_once_on_all_images(ran):
    (key,) = {ran.plan.steps[cell.steps["score"]].inputs.extractor for cell in ran.plan.cells}
    folder = ran.store.folder(key)
    assert (folder / "weights" / "model.safetensors").is_file()
    phases = json.loads((folder / "training.json").read_text())["phases"]
    labels = np.load(ran.store.folder(ran.plan.cells[0].steps["load"]) / "train_labels.npy")
    assert phases[0] == {"real": np.bincount(labels).tolist()}
