"""`leaderboard --long`: a line for each value, by seed and by class."""

import csv

import pytest

from balancebench.artefacts.scores import Score
from balancebench.errors import LeaderboardError
from balancebench.leaderboard.hub_format import read_hub_folder
from balancebench.leaderboard.long_table import _by_class

WITH_CLASSES = {'metrics = ["hits"]': 'metrics = ["hits", "class_accuracy", "confusion_matrix"]'}


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_cell_has_a_line_for_each_seed_metric_and_class(call, suite_file, tmp_path):
    suite = suite_file(replace=WITH_CLASSES)
    assert call("run", suite, "--jobs", "0", "--no-pictures")[0] == 0
    code, out, err = call("leaderboard", suite, "--long", "--no-pictures")
    assert code == 0, err
    lines = read(tmp_path / "results" / "fakes" / "leaderboard_long.csv")
    assert f"Values by seed and class: results/fakes/leaderboard_long.csv, {len(lines)} lines" in out
    of_floor = [line for line in lines if line["role"] == "floor"]
    assert {line["classifier_seed"] for line in of_floor} == {"0", "1"}
    assert {line["balancer"] for line in of_floor} == {"none"}
    of_seed = [line for line in of_floor if line["classifier_seed"] == "1"]
    counts = {metric: sum(line["metric"] == metric for line in of_seed) for metric in ("hits", "class_accuracy")}
    assert counts == {"hits": 1, "class_accuracy": 3}
    assert [line["class_name"] for line in of_seed if line["metric"] == "hits"] == [""]
    by_class = {line["class_name"]: line["value"] for line in of_seed if line["metric"] == "class_accuracy"}
    assert set(by_class) == {"dark", "grey", "light"}
    assert all(0 <= float(value) <= 1 for value in by_class.values())
    pairs = [(line["class_name"], line["predicted_class"]) for line in of_seed if line["metric"] == "confusion_matrix"]
    assert len(set(pairs)) == 9


def test_a_run_without_long_leaves_no_long_file(call, suite_file, tmp_path):
    call("run", suite_file(), "--jobs", "0", "--no-pictures")
    call("leaderboard", suite_file(), "--no-pictures")
    assert not (tmp_path / "results" / "fakes" / "leaderboard_long.csv").exists()


@pytest.mark.parametrize(
    ("score", "lines"),
    [
        (Score(value=0.5), [("", "", 0.5)]),
        (Score(value=None, reason="no images"), [("", "", None)]),
        (Score(value=[0.25, None]), [("cat", "", 0.25), ("dog", "", None)]),
        (
            Score(value=[[3.0, 1.0], [0.0, 2.0]]),
            [("cat", "cat", 3.0), ("cat", "dog", 1.0), ("dog", "cat", 0.0), ("dog", "dog", 2.0)],
        ),
    ],
)
def test_values_are_named_by_class_and_the_rows_of_a_matrix_by_the_true_one(score, lines):
    assert list(_by_class(score, ("cat", "dog"))) == lines


def test_the_hub_folder_is_read_back_by_datasets_with_the_values_of_the_csv(call, suite_file, tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    suite = suite_file(replace=WITH_CLASSES)
    call("run", suite, "--jobs", "0", "--no-pictures")
    code, out, err = call("leaderboard", suite, "--long", "--hub", "hub", "--no-pictures")
    assert code == 0, err
    lines = read(tmp_path / "results" / "fakes" / "leaderboard_long.csv")
    table = datasets.load_from_disk(str(tmp_path / "hub"))
    assert f"hub, {len(lines)} rows" in out
    assert table.column_names == list(lines[0])
    assert table.features["value"].dtype == "float64"
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in table] == lines
    assert [value.metric for value in read_hub_folder(tmp_path / "hub")] == [line["metric"] for line in lines]


def test_the_hub_folder_is_not_written_over_something_else(call, suite_file, tmp_path):
    call("run", suite_file(), "--jobs", "0", "--no-pictures")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it", encoding="utf-8")
    code, _, err = call("leaderboard", suite_file(), "--hub", "mine", "--no-pictures")
    assert (code, "mine holds something else than a dataset; name another folder" in err) == (2, True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(LeaderboardError, match="no folder that datasets"):
        read_hub_folder(tmp_path / "mine")
