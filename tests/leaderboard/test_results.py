"""Results are read from the store as they are: what is done, what is not, and why."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter

from balancebench.execution.run_plan import run_plan
from balancebench.leaderboard.export import csv_text, json_text
from balancebench.leaderboard.notebook import leaderboard_html
from balancebench.leaderboard.results import CellResult, describe_suite
from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard
from balancebench.plan import expand
from balancebench.stages import synthesise as synthesis_stage
from balancebench.store import Store
from balancebench.suite.bind import bind_suite

ONE_SEED = {"seeds = [0, 1]": "seeds = [0]"}


@pytest.fixture
def ran(fakes, suite_file, tmp_path):
    """Run the fake suite, with text added, in this process; returns plan, store and results."""

    def run(extra="", replace=None, profile=None, stages=None):
        plan = expand(bind_suite(suite_file(extra, replace=replace), fakes, profile))
        store = Store.open(tmp_path / "store")
        run_plan(plan, store, executor="inline", device="cpu", stages=stages)
        return SimpleNamespace(plan=plan, store=store, results=collect(plan, store))

    return run


def of(results, balancer, seed=0):
    return next(cell for cell in results if cell.balancer == balancer and cell.seeds.subset == seed)


def test_a_finished_cell_has_scores_cost_subset_and_provenance(ran):
    cell = of(ran().results, "none")
    assert (cell.status, cell.role, str(cell.task)) == ("done", "floor", "tiny / halving / means")
    assert 0 < cell.scores["last"].metrics["hits"].value <= 1
    assert cell.subset.class_names == ("dark", "grey", "light")
    assert cell.subset.counts_K == (30, 30, 3)
    assert cell.subset.test_images == 30
    assert cell.cost.images_seen == 2 * 63  # two epochs
    assert cell.cost.optimiser_steps == 2
    assert cell.provenance["device"] == "cpu"
    assert set(cell.steps) == {"load", "imbalance", "train", "score"}
    assert cell.identities["train"]["components"]["classifier"]["options"] == {
        "epochs": 2,
        "epoch_factors": [],
        "says_phases": True,
        "seconds": 0.0,
    }


def test_the_cost_of_a_cell_includes_its_synthesis(ran):
    suite_run = ran('\n[[balancer]]\nuse = "misbehaving"\nhow = "none"\n')
    cell = of(suite_run.results, "misbehaving")
    trained, synthesised = (suite_run.store.read(cell.steps[stage]) for stage in ("train", "synthesise"))
    assert synthesised.duration_seconds > 0
    assert cell.cost.duration_seconds == pytest.approx(trained.duration_seconds + synthesised.duration_seconds)


def test_results_survive_a_trip_through_json(ran):
    adapter = TypeAdapter(CellResult)
    for cell in ran().results:
        assert adapter.validate_json(adapter.dump_json(cell)) == cell


def test_the_mark_of_withheld_data_reaches_the_row(ran):
    suite_run = ran('\n[[balancer]]\nuse = "misbehaving"\nhow = "withheld"\n')
    rows = {row.balancer: row for row in build_leaderboard(suite_run.plan.suite, suite_run.results).tables[0].rows}
    assert rows["misbehaving"].used_withheld_data
    assert not rows["none"].used_withheld_data


def test_what_one_step_warns_of_reaches_every_row_made_from_it(ran, monkeypatch):
    synthesise = synthesis_stage.run_synthesise

    def warn_too(workplace):
        synthesise(workplace)
        workplace.warn("3 of 600 synthetic images\nequal test images")

    monkeypatch.setattr(synthesis_stage, "run_synthesise", warn_too)
    suite_run = ran('\n[[balancer]]\nuse = "misbehaving"\nhow = "none"\n')
    board = build_leaderboard(suite_run.plan.suite, suite_run.results)
    rows = {row.balancer: row for row in board.tables[0].rows}
    assert rows["misbehaving"].warnings == ("3 of 600 synthetic images equal test images",)
    assert rows["none"].warnings == ()
    assert collect(suite_run.plan, suite_run.store) == suite_run.results  # from the index too
    assert "3 of 600 synthetic images equal test images" in csv_text(board)
    assert "3 of 600 synthetic images equal test images" in json_text(board)
    assert "<small>§ 3 of 600 synthetic images equal test images (misbehaving).</small>" in leaderboard_html(board)


def test_what_depends_on_a_failed_step_is_skipped_and_names_it(ran):
    cell = of(ran('\n[[balancer]]\nuse = "misbehaving"\nhow = "refuse"\n').results, "misbehaving")
    assert cell.status == "skipped"
    assert (
        cell.message == "synthesise of tiny / halving / seed 0 / misbehaving failed: class 'light' has too few images"
    )
    assert cell.subset.counts_K == (30, 30, 3)


def test_a_cell_whose_own_training_cannot_run_says_so(ran):
    cell = of(ran('\n[[balancer]]\nuse = "needs_cuda"\n').results, "needs_cuda")
    assert (cell.status, cell.message) == ("skipped", "it needs a CUDA device, and this machine has none")


def test_a_metric_that_fails_is_a_failed_cell_with_its_message(ran, monkeypatch):
    import balancebench_fakes

    def broken(_options):
        def hits(_evaluation):
            raise ZeroDivisionError("by zero")

        return hits

    monkeypatch.setattr(balancebench_fakes.build_hits, "__code__", broken.__code__)
    cell = of(ran(replace=ONE_SEED).results, "none")
    assert (cell.status, cell.message) == ("failed", "metric hits: ZeroDivisionError: by zero")


def test_cells_that_nobody_ran_are_missing(fakes, suite_file, tmp_path):
    plan = expand(bind_suite(suite_file(), fakes))
    results = collect(plan, Store.open(tmp_path / "empty"))
    assert {cell.status for cell in results} == {"missing"}
    assert {cell.message for cell in results} == {"it has not been run"}


def test_a_metric_added_to_the_suite_leaves_cells_to_be_rescored(ran):
    ran()
    added = {'metrics = ["hits"]': 'metrics = ["hits", { use = "hits", undefined = true, label = "again" }]'}
    suite_run = ran(replace=added, stages=frozenset())
    assert {cell.status for cell in suite_run.results} == {"missing"}
    assert "balancebench rescore" in suite_run.results[0].message
    rescored = ran(replace=added, stages=frozenset({"score"}))
    assert {cell.status for cell in rescored.results} == {"done"}
    assert set(rescored.results[0].scores["last"].metrics) == {"hits", "again"}


def test_an_altered_score_is_not_shown(ran):
    suite_run = ran()
    path = suite_run.store.folder(of(suite_run.results, "none").steps["score"]) / "scores.json"
    path.write_text(path.read_text().replace('"value"', '"valve"'))
    cell = of(collect(suite_run.plan, suite_run.store), "none")
    assert cell.status == "missing"
    assert "scores.json is damaged: it is not what its record says" in cell.message


def test_an_undefined_metric_keeps_its_reason(ran):
    suite_run = ran(replace={'metrics = ["hits"]': 'metrics = [{ use = "hits", undefined = true }]', **ONE_SEED})
    score = of(suite_run.results, "none").scores["last"].metrics["hits"]
    assert (score.value, score.reason) == (None, "asked to be undefined")


def test_an_unseeded_balancer_is_one_measurement_under_several_generator_seeds(ran):
    suite_run = ran(replace={"seeds = [0, 1]": "seeds = { generator = [0, 1, 2] }"})
    floor = build_leaderboard(suite_run.plan.suite, suite_run.results).tables[0].rows[0]
    assert len([cell for cell in suite_run.results if cell.role == "floor"]) == 3
    assert (floor.planned, floor.done) == (1, 1)


def test_each_record_is_read_once(ran, monkeypatch):
    suite_run = ran('\n[[balancer]]\nuse = "misbehaving"\nhow = "none"\n')
    read: list[str] = []
    original = Store.read
    monkeypatch.setattr(Store, "read", lambda self, key: read.append(key) or original(self, key))
    collect(suite_run.plan, suite_run.store)
    assert len(read) == len(set(read))


def test_steps_that_have_not_changed_are_not_read_again(ran, monkeypatch):
    monkeypatch.setattr("balancebench.store.index.SETTLED_NS", 0)
    suite_run = ran()
    first = collect(suite_run.plan, suite_run.store)
    read: list[str] = []
    original = Store.read
    monkeypatch.setattr(Store, "read", lambda self, key: read.append(key) or original(self, key))
    assert collect(suite_run.plan, suite_run.store) == first
    assert {suite_run.plan.steps[key].stage for key in read} <= {"load", "imbalance"}


def test_the_header_says_what_the_suite_says(fakes, suite_file):
    extra = """
[[balancer]]
use = "misbehaving"
label = "sweepy"
sweep = { how = ["none", "raise"] }

[[published]]
balancer = "sweepy"
hits = 0.5
source = "Table 1"
"""
    suite = describe_suite(bind_suite(suite_file(extra), fakes))
    assert suite.axes["balancer"] == ("none", "sweepy(how=none)", "sweepy(how=raise)")
    (metric,) = suite.metrics
    assert (metric.label, metric.unit, metric.higher_is_better) == ("hits", "%", True)
    (published,) = suite.published
    assert published.labels["balancer"] == ("sweepy(how=none)", "sweepy(how=raise)")
    assert suite.file == "suite.toml"  # outside the working folder: no absolute path
    assert json.loads(suite.model_dump_json())["name"] == "fakes"


def test_the_cost_keeps_what_the_classifier_saw_apart_from_what_its_generator_saw(ran):
    suite_run = ran('\n[[balancer]]\nuse = "misbehaving"\nhow = "none"\n')
    for balancer in ("none", "misbehaving"):
        cell = of(suite_run.results, balancer)
        trained = suite_run.store.read(cell.steps["train"])
        assert cell.cost.classifier_images_seen == trained.images_seen


def test_the_header_keeps_the_citation_of_each_balancer(fakes, suite_file):
    bound = bind_suite(suite_file(), fakes)
    assert describe_suite(bound).citations == {}
    balancer = next(entry for entry in bound.axes["balancer"])
    cited = replace(balancer, component=replace(balancer.component, citation="Doe 2020"))
    header = describe_suite(replace(bound, axes={**bound.axes, "balancer": (cited,)}))
    assert header.citations == {balancer.label: "Doe 2020"}
