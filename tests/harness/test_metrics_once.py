"""A metric is computed once for what it reads: other metrics, labels and classifiers compute nothing again."""

import json
from collections import Counter

import pytest

METRICS = "metrics = [{metrics}]"


@pytest.fixture
def computed(harness, tmp_path):
    """Run a suite with these metrics; return how often each was computed, and the plan."""
    log = tmp_path / "computed.txt"

    def run(*metrics, classifiers='[[classifier]]\nuse = "means"\n', jobs=0, stages=None):
        log.unlink(missing_ok=True)
        tables = [
            "{ "
            + ", ".join(f"{key} = {json.dumps(value)}" for key, value in {**metric, "log": str(log)}.items())
            + " }"
            for metric in metrics
        ]
        plan = harness.plan(
            '[[balancer]]\nuse = "generating"\n',
            replace={
                'metrics = ["hits"]': METRICS.format(metrics=", ".join(tables)),
                '[[classifier]]\nuse = "means"\n': classifiers,
                "seeds = [0, 1]": "seeds = [0]",
            },
        )
        assert not harness.run(plan, jobs=jobs, stages=stages).failed
        return Counter(log.read_text().splitlines() if log.exists() else []), plan

    return run


HITS, DISTANCE = {"use": "hits"}, {"use": "synthetic_distance", "to": "pixels"}


def test_adding_a_metric_computes_that_one_alone(computed):
    first, plan = computed(HITS)
    cells = len(plan.cells)
    assert first == {"hits": cells}
    added, _ = computed(HITS, DISTANCE)
    assert added["hits"] == 0
    assert added["distance"] > 0


def test_removing_a_metric_computes_nothing(computed):
    computed(HITS, DISTANCE)
    removed, _ = computed(HITS)
    assert removed == {}


def test_renaming_a_label_runs_no_step_at_all(computed, harness):
    _, before = computed(HITS, DISTANCE)
    renamed, after = computed({**HITS, "label": "top 1"}, DISTANCE)
    assert renamed == {}
    assert set(before.steps) == set(after.steps)
    assert harness.run(after).ran == 0


def test_the_leaderboard_shows_a_renamed_metric_by_its_new_label(computed, harness):
    from balancebench.leaderboard.results_in_store import collect

    computed(HITS)
    _, after = computed({**HITS, "label": "top 1"})
    values = [result.scores["last"].metrics for result in collect(after, harness.store)]
    assert all(set(metrics) == {"top 1"} and metrics["top 1"].value is not None for metrics in values)


def test_a_metric_of_images_is_computed_once_for_all_classifiers(computed):
    two = '[[classifier]]\nuse = "means"\n[[classifier]]\nuse = "means"\nlabel = "longer"\nepochs = 3\n'
    counted, plan = computed(HITS, DISTANCE, classifiers=two)
    assert counted["hits"] == len(plan.cells)
    # Once where the balancer made images and once where it made none, of the long tail and of all images.
    assert counted["distance"] == 3


def test_values_that_are_damaged_are_computed_again(computed, harness):
    computed(HITS)
    for path in (harness.store.root / "cached" / "values").rglob("values.json"):
        document = json.loads(path.read_text())
        for score in document["values"].values():
            score["value"] = 0.125
        path.write_text(json.dumps(document))
    counted, plan = computed(HITS, DISTANCE)
    assert counted["hits"] == len(plan.cells)
