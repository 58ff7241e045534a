"""Metrics of images: one classifier trained on all images serves a task and seed as their extractor."""

from types import SimpleNamespace

import numpy as np
import pytest

from balancebench.execution.run_plan import run_plan
from balancebench.leaderboard.results_in_store import collect
from balancebench.plan import expand
from balancebench.store import Failure, Store
from balancebench.store.sealed import record_text
from balancebench.suite.bind import bind_suite

KEEPABLE = {'use = "means"': 'use = "keepable_means"', "seeds = [0, 1]": "seeds = [0]"}
MEASURED = {**KEEPABLE, 'metrics = ["hits"]': 'metrics = ["hits", "synthetic_distance"]'}
SYNTHETIC = '\n[[balancer]]\nuse = "misbehaving"\nhow = "none"\n'


@pytest.fixture
def planned(fakes, suite_file):
    def plan(extra="", replace=None):
        return expand(bind_suite(suite_file(extra, replace=replace), fakes))

    return plan


@pytest.fixture
def ran(planned, tmp_path):
    """Run a suite in this process; returns plan, store, outcome and results by balancer."""

    def run(extra="", replace=None, stages=None):
        plan, store = planned(extra, replace), Store.open(tmp_path / "store")
        outcome = run_plan(plan, store, executor="inline", device="cpu", stages=stages)
        results = {cell.balancer: cell for cell in collect(plan, store)}
        return SimpleNamespace(plan=plan, store=store, outcome=outcome, results=results)

    return run


def extractor_of(plan, cell):
    return plan.steps[cell.steps["score"]].inputs.extractor


def weights_of(suite_run, balancer):
    (cell,) = (cell for cell in suite_run.plan.cells if cell.balancer == balancer)
    return suite_run.store.folder(cell.steps["train"]) / "weights" / "means.safetensors"


def test_the_extractor_is_the_ceiling_of_the_task_and_seed(planned):
    two_seeds = {**MEASURED, "seeds = [0, 1]": "seeds = [0, 1]"}
    plan = planned(SYNTHETIC + '\n[[classifier]]\nuse = "keepable_means"\nlabel = "longer"\nepochs = 5\n', two_seeds)
    ceilings = {(cell.task, cell.seeds): cell.steps["train"] for cell in plan.cells if cell.role == "ceiling"}
    assert len(set(ceilings.values())) == 4  # two classifiers, two seeds
    for cell in plan.cells:
        assert extractor_of(plan, cell) == ceilings[cell.task, cell.seeds]


def test_the_extractor_is_planned_once_where_the_suite_shows_no_ceiling(planned):
    shown = planned(SYNTHETIC, MEASURED)
    hidden = planned(SYNTHETIC, {**MEASURED, "seeds = [0, 1]": "seeds = [0]\nceiling = false"})
    assert {cell.role for cell in hidden.cells} == {"floor", "entry"}
    (ceiling,) = (cell for cell in shown.cells if cell.role == "ceiling")
    assert {extractor_of(hidden, cell) for cell in hidden.cells} == {ceiling.steps["train"]}
    trained = [step for step in hidden.steps.values() if step.stage == "train"]
    assert len(trained) == 3  # floor, entry, extractor


def test_the_extractor_of_a_natural_imbalance_is_its_floor_which_keeps_its_weights(planned):
    plan = planned(SYNTHETIC, {**MEASURED, 'use = "halving"': 'use = "none"'})
    assert {cell.role for cell in plan.cells} == {"floor", "entry"}
    (floor,) = (cell for cell in plan.cells if cell.role == "floor")
    assert {extractor_of(plan, cell) for cell in plan.cells} == {floor.steps["train"]}
    assert plan.steps[floor.steps["train"]].keep_weights


def test_two_imbalancers_share_the_extractor(planned):
    plan = planned(SYNTHETIC + '\n[[imbalancer]]\nuse = "halving"\nlabel = "more"\nsmallest = 5\n', MEASURED)
    assert len({cell.task for cell in plan.cells}) == 2
    assert len({extractor_of(plan, cell) for cell in plan.cells}) == 1


def test_no_key_changes_where_no_metric_needs_the_extractor(planned):
    plain, measured = planned(SYNTHETIC, KEEPABLE), planned(SYNTHETIC, MEASURED)
    by_pixels = 'metrics = ["hits", { use = "synthetic_distance", to = "pixels" }]'
    pixels = planned(SYNTHETIC, {**KEEPABLE, 'metrics = ["hits"]': by_pixels})
    for plan in (measured, pixels):
        for stage in ("load", "imbalance", "synthesise", "train"):
            keys = [{step.key for step in each.steps.values() if step.stage == stage} for each in (plain, plan)]
            assert keys[0] == keys[1], stage
    for plan in (plain, pixels):
        scores = [step for step in plan.steps.values() if step.stage == "score"]
        assert all(step.inputs.extractor is None for step in scores)


def test_a_metric_gets_the_features_of_the_classifier_trained_on_all_images(ran):
    suite_run = ran(SYNTHETIC, MEASURED)
    assert not suite_run.outcome.failed
    from safetensors.numpy import load_file

    means_KD = load_file(weights_of(suite_run, "no imbalance"))["means_KD"]
    (cell,) = (cell for cell in suite_run.plan.cells if cell.balancer == "misbehaving")
    synthetic_NCHW = np.load(suite_run.store.folder(cell.steps["synthesise"]) / "synthetic_images.npy")
    flat_ND = synthetic_NCHW.reshape(len(synthetic_NCHW), -1) / 255
    expected = np.mean([[((image_D - mean_D) ** 2).sum() for mean_D in means_KD] for image_D in flat_ND])
    score = suite_run.results["misbehaving"].scores["last"].metrics["synthetic_distance"]
    assert score.value == pytest.approx(expected, rel=1e-5)


def test_rows_without_synthetic_images_are_undefined_and_say_so(ran):
    suite_run = ran(SYNTHETIC, MEASURED)
    for balancer in ("none", "no imbalance"):
        score = suite_run.results[balancer].scores["last"].metrics["synthetic_distance"]
        assert (score.value, score.reason) == (None, "the balancer made no synthetic images")
        assert suite_run.results[balancer].scores["last"].metrics["hits"].value is not None


def test_repeated_images_are_not_synthetic(ran):
    suite_run = ran(SYNTHETIC.replace('"none"', '"copies"'), MEASURED)
    score = suite_run.results["misbehaving"].scores["last"].metrics["synthetic_distance"]
    assert (score.value, score.reason) == (None, "the balancer made no synthetic images")


def test_only_training_on_all_images_keeps_its_weights(ran):
    suite_run = ran(SYNTHETIC, KEEPABLE)  # no metric asks for them yet
    assert weights_of(suite_run, "no imbalance").is_file()
    assert not weights_of(suite_run, "none").exists()
    assert not weights_of(suite_run, "misbehaving").exists()


def test_a_metric_added_later_is_scored_without_training(ran):
    ran(SYNTHETIC, KEEPABLE)
    suite_run = ran(SYNTHETIC, MEASURED, stages=frozenset({"score"}))
    assert not suite_run.outcome.failed
    assert suite_run.results["misbehaving"].scores["last"].metrics["synthetic_distance"].value > 0


def test_a_ceiling_trained_before_weights_were_kept_says_what_to_do(ran):
    first = ran(SYNTHETIC, KEEPABLE)
    (ceiling,) = (cell for cell in first.plan.cells if cell.role == "ceiling")
    folder = first.store.folder(ceiling.steps["train"])
    record = first.store.read(ceiling.steps["train"])
    weights_of(first, "no imbalance").unlink()
    (folder / "weights").rmdir()
    files = {name: entry for name, entry in record.files.items() if name != "weights/means.safetensors"}
    (folder / "record.json").write_text(record_text(record.model_copy(update={"files": files})))

    suite_run = ran(SYNTHETIC, MEASURED)
    cell = suite_run.results["misbehaving"]
    assert cell.status == "failed"
    assert "metric synthetic_distance: the training of keepable_means on all images kept no weights" in cell.message
    assert f"delete {folder} and run the suite again" in cell.message

    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert ran(SYNTHETIC, MEASURED).results["misbehaving"].status == "done"


def test_a_classifier_without_features_is_named(ran):
    replaced = {'metrics = ["hits"]': MEASURED['metrics = ["hits"]'], "seeds = [0, 1]": "seeds = [0]"}
    suite_run = ran(SYNTHETIC, replaced)
    assert "the classifier means gives no features" in suite_run.results["misbehaving"].message
    assert suite_run.results["none"].status == "done"


def test_a_wrapped_balancers_images_are_measured_where_the_wrapper_makes_none(ran):
    wrapped = '\n[[balancer]]\nuse = "plain_wrapping"\nbase = { use = "misbehaving", how = "none" }\n'
    doubled = '\n[[balancer]]\nuse = "wrapping"\nbase = { use = "misbehaving", how = "none" }\n'
    suite_run = ran(SYNTHETIC + wrapped + doubled, MEASURED)
    values = {
        balancer: suite_run.results[balancer].scores["last"].metrics["synthetic_distance"].value
        for balancer in ("misbehaving", "plain_wrapping", "wrapping")
    }
    assert values["plain_wrapping"] == values["misbehaving"]
    assert values["wrapping"] == pytest.approx(values["misbehaving"])  # each image twice


def test_a_score_that_waits_for_a_failed_extractor_names_it(ran):
    suite_run = ran(SYNTHETIC, MEASURED)
    (ceiling,) = (cell for cell in suite_run.plan.cells if cell.role == "ceiling")
    key = ceiling.steps["train"]
    failed = {"status": "failed", "failure": Failure(message="it diverged")}
    record = suite_run.store.read(key).model_copy(update=failed)
    (suite_run.store.folder(key) / "record.json").write_text(record_text(record))
    (floor,) = (cell for cell in suite_run.plan.cells if cell.role == "floor")
    suite_run.store.set_aside(floor.steps["score"])

    (cell,) = (cell for cell in collect(suite_run.plan, suite_run.store) if cell.role == "floor")
    assert cell.status == "skipped"
    assert "train of tiny / halving / no imbalance / keepable_means / seed 0 failed: it diverged" in cell.message
