"""The sentences on which a fair comparison rests, each from a suite file to its leaderboard.

They stand in docs/fair-comparison.md, each with its test. Steps run in this process: nothing here is about workers.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from balancebench.artefacts.scores import read_scores
from balancebench.artefacts.splits import Splits, read_test_labels
from balancebench.artefacts.subset import Subset
from balancebench.artefacts.synthesis import SynthesisedImages
from balancebench.artefacts.training_result import TrainingResult
from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard
from balancebench.step import metric_key
from balancebench.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "fair-comparison.md"
TWO_WITNESSES = '[[balancer]]\nuse = "witness"\n[[balancer]]\nuse = "witness"\nlabel = "other"\nnumber = 1\n'
ONE_SEED = {"seeds = [0, 1]": "seeds = [0]"}


@pytest.fixture
def ran(harness):
    """Run a suite to its end; return its plan."""

    def run(extra="", replace=None, *, fails=False, store=None):
        plan = harness.plan(extra, replace=replace)
        outcome = harness.run(plan, jobs=0, store=store)
        assert bool(outcome.failed) == fails, outcome.failed
        return plan

    return run


def cells_of(plan, balancer, role="entry"):
    return {str(cell.seeds): cell for cell in plan.cells if cell.balancer == balancer and cell.role == role}


def handed(harness, cell):
    return json.loads((harness.store.folder(cell.steps["synthesise"]) / "artefacts" / "handed.json").read_text())


def logits(harness, cell, report="last"):
    return np.array(TrainingResult.read(harness.store, cell.steps["train"]).logits_NK[report])


def table_of(harness, plan):
    return build_leaderboard(plan.suite, collect(plan, harness.store)).tables[0]


def row_of(harness, plan, balancer, role="entry"):
    return next(row for row in table_of(harness, plan).rows if (row.balancer, row.role) == (balancer, role))


def files_of(store, plan):
    return {
        (key, path.name): path.read_bytes()
        for key in plan.steps
        for path in sorted(store.folder(key).rglob("*"))
        if path.is_file() and path.name != "record.json"
    }


def test_every_balancer_of_a_task_and_seed_is_handed_the_same_kept_images(harness, ran):
    plan = ran(TWO_WITNESSES)
    first, other = cells_of(plan, "witness"), cells_of(plan, "other")
    for seeds in ("0", "1"):
        assert handed(harness, first[seeds])["train"] == handed(harness, other[seeds])["train"]


def test_another_seed_keeps_other_images(harness, ran):
    cells = cells_of(ran(TWO_WITNESSES), "witness")
    assert handed(harness, cells["0"])["train"] != handed(harness, cells["1"])["train"]
    assert handed(harness, cells["0"])["counts"] == handed(harness, cells["1"])["counts"]


STREAMS = "seeds = {{ subset = [{}], generator = [{}], classifier = [{}] }}"


@pytest.mark.parametrize(
    ("stream", "changes"),
    [
        ("subset", {"kept", "logits"}),
        ("generator", {"draws", "logits"}),
        ("classifier", {"logits"}),
    ],
)
def test_each_seed_stream_changes_what_it_is_for_and_nothing_before(harness, ran, stream, changes):
    def seen(seeds):
        values = STREAMS.format(*(seeds if name == stream else 0 for name in ("subset", "generator", "classifier")))
        plan = ran(TWO_WITNESSES, {"seeds = [0, 1]": values})
        (cell,) = cells_of(plan, "witness").values()
        train = Subset.read(harness.store, cell.steps["imbalance"], cell.steps["load"]).train
        images = SynthesisedImages.read(harness.store, cell.steps["synthesise"], train).images
        return handed(harness, cell), images.digest(), logits(harness, cell)

    (before, images, logits_NK), (after, other_images, other_logits_NK) = seen(0), seen(7)
    assert (before["train"] != after["train"]) == ("kept" in changes)
    assert (before["seed"] != after["seed"]) == ("draws" in changes)
    assert (before["drawn"] != after["drawn"]) == ("draws" in changes)
    assert (images != other_images) == ("draws" in changes)
    assert not np.array_equal(logits_NK, other_logits_NK)


def test_equal_keys_are_equal_bytes_in_another_store(harness, ran, tmp_path):
    plan = ran(TWO_WITNESSES)
    other = Store.open(tmp_path / "other")
    again = ran(TWO_WITNESSES, store=other)
    assert set(plan.steps) == set(again.steps)
    assert files_of(harness.store, plan) == files_of(other, again)


def test_neighbours_order_and_names_of_a_suite_decide_nothing(harness, ran):
    alone = ran('[[balancer]]\nuse = "witness"\n', ONE_SEED)
    among = ran(
        '[[balancer]]\nuse = "misbehaving"\nhow = "one_image"\n[[balancer]]\nuse = "witness"\nlabel = "renamed"\n',
        {**ONE_SEED, 'name = "fakes"': 'name = "another"'},
    )
    assert cells_of(alone, "witness")["0"].steps == cells_of(among, "renamed")["0"].steps


@pytest.mark.parametrize(
    "change",
    [
        {'use = "tiny"': 'use = "tiny"\nimages_per_class = 31'},
        {'use = "halving"': 'use = "halving"\nsmallest = 4'},
        {'use = "means"': 'use = "means"\nepochs = 3'},
        {"[run]": '[run]\nprecision = "bf16"'},
        {"[run]": "[run]\ndeterministic = false"},
        {"[run]": "[run]\nthreads = 2"},
        {"[run]": "[run]\nvalidation = { source = 'kept', fraction = 0.2 }"},
    ],
)
def test_whatever_changes_an_outcome_changes_its_key(harness, change):
    before, after = harness.plan(), harness.plan(replace=change)
    for seeds, cell in cells_of(before, "none", "floor").items():
        assert cell.steps["train"] != cells_of(after, "none", "floor")[seeds].steps["train"]


def test_the_floor_is_subtracted_seed_by_seed(harness, ran):
    plan = ran('[[balancer]]\nuse = "misbehaving"\nhow = "one_image"\n')
    row, floor = row_of(harness, plan, "misbehaving"), row_of(harness, plan, "none", "floor")
    values, of_floor = row.metrics["hits"].values, floor.metrics["hits"].values
    differences = [values[seeds] - of_floor[seeds] for seeds in ("0", "1")]
    assert row.metrics["hits"].difference.mean == pytest.approx(np.mean(differences))
    assert row.metrics["hits"].difference.std == pytest.approx(np.std(differences, ddof=1))


def test_floor_and_ceiling_train_on_the_kept_and_on_all_images(harness, ran):
    plan = ran()
    floor, ceiling = cells_of(plan, "none", "floor")["0"], cells_of(plan, "no imbalance", "ceiling")["0"]
    counts = [TrainingResult.read(harness.store, cell.steps["train"]).description.phases for cell in (floor, ceiling)]
    assert counts == [[{"real": [30, 30, 3]}], [{"real": [30, 30, 30]}]]


def test_no_row_trains_on_test_images(harness, ran):
    plan = ran(TWO_WITNESSES)
    splits = Splits.read(harness.store, plan.cells[0].steps["load"])
    test = {image.tobytes() for image in np.asarray(splits.test_images_NCHW)}
    for cell in plan.cells:
        train = Subset.read(harness.store, cell.steps["imbalance"], cell.steps["load"]).train
        assert test.isdisjoint({image.tobytes() for image in train.images_NCHW})


def test_scores_are_of_the_stored_logits_and_the_data_sets_own_labels(harness, ran):
    metrics = 'metrics = ["hits", "accuracy", "balanced_accuracy"]'
    plan = ran(TWO_WITNESSES, {'metrics = ["hits"]': metrics, "[run]": '[run]\nreport = ["last", "best_test"]'})
    keys = {metric.label: metric_key(metric.reference) for metric in plan.suite.metrics}
    for cell in plan.cells:
        labels_N = read_test_labels(harness.store, cell.steps["load"])
        scores = read_scores(harness.store, cell.steps["score"], keys)
        for report in ("last", "best_test"):
            predicted_N = logits(harness, cell, report).argmax(axis=1)
            values = {label: score.value for label, score in scores[report].metrics.items()}
            assert values["accuracy"] == pytest.approx(accuracy_score(labels_N, predicted_N))
            assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels_N, predicted_N))


BEST = {
    "[run]": '[run]\nreport = ["last", "best_validation", "best_test"]',
    'use = "tiny"': 'use = "tiny"\nvalidation = true',
    'use = "means"': 'use = "means"\nepochs = 4\nepoch_factors = [-1, 1, -1, 1]',
}


def test_best_epochs_are_chosen_by_their_own_images_and_the_first_of_equals_counts(harness, ran):
    plan = ran(replace=BEST)
    for cell in plan.cells:
        training = TrainingResult.read(harness.store, cell.steps["train"])
        validation = Splits.read(harness.store, cell.steps["load"]).validation
        predictions_EN = training.epoch_predictions_EN
        by_validation = [balanced_accuracy_score(validation.labels_N, row_N) for row_N in predictions_EN["validation"]]
        by_test = [
            accuracy_score(read_test_labels(harness.store, cell.steps["load"]), row_N)
            for row_N in predictions_EN["test"]
        ]
        assert training.description.best_epochs == {
            "best_validation": int(np.argmax(by_validation)),
            "best_test": int(np.argmax(by_test)),
        }
        assert np.array_equal(logits(harness, cell, "best_test").argmax(axis=1), predictions_EN["test"][1])


def test_a_mark_reaches_every_row_that_was_made_from_it(harness, ran):
    wrapping = (
        '[[balancer]]\nuse = "misbehaving"\nhow = "withheld"\n'
        '[[balancer]]\nuse = "wrapping"\nbase = { use = "misbehaving", how = "withheld" }\n'
        '[[balancer]]\nuse = "plain_wrapping"\nbase = { use = "misbehaving", how = "withheld" }\n'
    )
    plan = ran(wrapping, ONE_SEED)
    for balancer in ("misbehaving", "wrapping", "plain_wrapping"):
        assert row_of(harness, plan, balancer).used_withheld_data
    assert not row_of(harness, plan, "none", "floor").used_withheld_data


def test_what_failed_is_no_number_and_has_no_rank_and_the_others_are_what_they_were(harness, ran):
    alone = row_of(harness, ran(TWO_WITNESSES), "witness")
    plan = ran('[[balancer]]\nuse = "misbehaving"\nhow = "raise"\n' + TWO_WITNESSES, fails=True)
    failed, row = row_of(harness, plan, "misbehaving"), row_of(harness, plan, "witness")
    assert (failed.rank, failed.done, failed.metrics["hits"].over_seeds.mean) == (None, 0, None)
    assert row.metrics["hits"].values == alone.metrics["hits"].values
    assert row.rank is not None


def test_rows_of_other_images_are_never_ranked_together(harness, ran):
    plan = ran(TWO_WITNESSES)
    results = collect(plan, harness.store)
    for index, result in enumerate(results):
        if result.balancer == "other":
            changed = result.subset.model_copy(update={"fingerprint": "0" * 64, "counts_K": (30, 29, 3)})
            results[index] = type(result)(**{**vars_of(result), "subset": changed})
    rows = {row.balancer: row for row in build_leaderboard(plan.suite, results).tables[0].rows}
    assert rows["other"].rank is None
    assert "grey" in rows["other"].unranked_because
    assert rows["witness"].rank is not None


def vars_of(result):
    return {name: getattr(result, name) for name in type(result).__dataclass_fields__}


def test_results_of_a_profile_are_others_than_the_suites(harness):
    extra = '[profile.smoke]\n"classifier.*.epochs" = 2\n'
    full, smoke = harness.plan(extra), harness.plan(extra, profile="smoke")
    assert {cell.steps["score"] for cell in full.cells}.isdisjoint({cell.steps["score"] for cell in smoke.cells})


def test_every_sentence_of_the_page_names_its_test_and_every_test_stands_there():
    page = PAGE.read_text(encoding="utf-8")
    own = {name for name in globals() if name.startswith("test_")} - {
        "test_every_sentence_of_the_page_names_its_test_and_every_test_stands_there"
    }
    assert not [name for name in own if name not in page]
