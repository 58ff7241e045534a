"""A generator is trained once, in a step of its own, and drawn from by everybody who asks."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from balancebench.artefacts.subset import Subset
from balancebench.artefacts.synthesis import SynthesisedImages
from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard
from balancebench.step import BalancingInputs

ONE_SEED = {"seeds = [0, 1]": "seeds = [0]"}


def generating(log, label="generating", **options):
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"label": label, "log": str(log), **options}.items()]
    return "\n".join(["", "[[balancer]]", 'use = "generating"', *lines, ""])


def choosing(log, **options):
    lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
    return "\n".join(
        ["", "[[balancer]]", 'use = "choosing"', f'base = {{ use = "generating", log = "{log}" }}', *lines, ""]
    )


def run(harness, plan):
    """Run in this process: starting workers is tested elsewhere, and takes seconds."""
    return harness.run(plan, jobs=0)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "trainings.log"


def stages(plan):
    return Counter(step.stage for step in plan.steps.values())


def synthetic_images(harness, plan, balancer):
    cell = next(cell for cell in plan.cells if cell.balancer == balancer)
    inputs = plan.steps[cell.steps["synthesise"]].inputs
    assert isinstance(inputs, BalancingInputs)
    train = Subset.read(harness.store, inputs.subset, inputs.dataset).train
    return SynthesisedImages.read(harness.store, cell.steps["synthesise"], train).images


def test_another_target_draws_anew_and_trains_nothing(harness, log):
    assert not run(harness, harness.plan(generating(log), replace=ONE_SEED)).failed
    plan = harness.plan(generating(log, target=40), replace=ONE_SEED)
    assert stages(plan)["train_generator"] == 1
    outcome = run(harness, plan)
    assert (outcome.ran, outcome.failed) == (3, [])  # synthesis, training of the classifier, score
    assert log.read_text().splitlines() == ["trained on 63 images"]
    assert synthetic_images(harness, plan, "generating").counts_K.max() > 0


def test_an_option_that_trains_otherwise_trains_again(harness, log):
    plan = harness.plan(generating(log) + generating(log, label="noisier", noise=30.0), replace=ONE_SEED)
    assert stages(plan)["train_generator"] == 2


def test_targets_of_one_suite_share_a_training(harness, log):
    extra = generating(log) + generating(log, label="more", target=40)
    plan = harness.plan(extra, replace=ONE_SEED)
    assert (stages(plan)["train_generator"], stages(plan)["synthesise"]) == (1, 2)
    assert not run(harness, plan).failed
    few, many = (synthetic_images(harness, plan, balancer) for balancer in ("generating", "more"))
    assert len(many) > len(few)


def test_a_wrapping_balancer_draws_from_the_generator_of_its_base(harness, log):
    plan = harness.plan(choosing(log) + generating(log), replace=ONE_SEED)
    # The images that the base would make on its own are nobody's, but for its own row.
    assert (stages(plan)["train_generator"], stages(plan)["synthesise"]) == (1, 2)
    assert not run(harness, plan).failed
    assert len(log.read_text().splitlines()) == 1
    assert synthetic_images(harness, plan, "choosing").counts_K.tolist() == [4, 4, 4]


def test_a_wrapping_balancer_alone_asks_for_no_images_of_its_base(harness, log):
    plan = harness.plan(choosing(log), replace=ONE_SEED)
    assert (stages(plan)["train_generator"], stages(plan)["synthesise"]) == (1, 1)


def test_a_base_that_trains_no_generator_makes_its_images_for_who_would_draw_from_it(harness):
    balancers = '\n[[balancer]]\nuse = "choosing"\nbase = { use = "witness" }\n'
    plan = harness.plan(balancers, replace=ONE_SEED)
    assert (stages(plan)["train_generator"], stages(plan)["synthesise"]) == (0, 2)


def test_the_training_of_a_generator_counts_towards_the_cost_of_its_row(harness, log):
    plan = harness.plan(generating(log), replace=ONE_SEED)
    run(harness, plan)
    generator, training = (harness.record(plan, stage, "generating") for stage in ("train_generator", "train"))
    assert generator.images_seen == 63
    (table,) = build_leaderboard(plan.suite, collect(plan, harness.store)).tables
    (row,) = (row for row in table.rows if row.balancer == "generating")
    assert row.cost.images_seen == generator.images_seen + training.images_seen


def test_what_an_interrupted_training_left_is_not_taken_for_a_generator(harness, log):
    plan = harness.plan(generating(log), replace=ONE_SEED)
    run(harness, plan)
    weights = harness.store.folder(harness.record(plan, "train_generator", "generating").key)
    (path,) = weights.rglob("means.safetensors")
    path.write_bytes(b"half written")
    outcome = run(harness, plan)
    assert (outcome.ran, len(outcome.damaged)) == (1, 1)
    assert len(log.read_text().splitlines()) == 2


def test_drawing_does_not_go_on_from_the_random_numbers_of_the_training(harness, log):
    plan = harness.plan(generating(log) + generating(log, label="again", target="largest"), replace=ONE_SEED)
    run(harness, plan)
    first, second = (synthetic_images(harness, plan, balancer) for balancer in ("generating", "again"))
    assert np.array_equal(first.images_NCHW, second.images_NCHW)
