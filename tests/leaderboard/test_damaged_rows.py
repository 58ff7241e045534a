"""One result that cannot be read is one cell that says so; the others stand."""

import hashlib

import pytest

from balancebench.execution.run_plan import run_plan
from balancebench.leaderboard.markdown import markdown
from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard
from balancebench.plan import expand
from balancebench.store import FileEntry, Store
from balancebench.store.sealed import record_text
from balancebench.suite.bind import bind_suite


def rewrite(store, key, name, content):
    """Give a step another file of this name, as a step of another version would have left it."""
    record = store.read(key)
    folder = store.folder(key)
    (folder / name).write_bytes(content)
    entry = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    replaced = record.model_copy(update={"files": {**record.files, name: entry}})
    (folder / "record.json").write_text(record_text(replaced))


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'{"last": {"epoch": "first", "metrics": {}}}',
        b'{"last": {"epoch": 1, "metrics": {"hits": {"value": "high"}}}}',
        b'{"last": {"epoch": 1, "metrics": {"hits": {"value": 0.5, "trend": "up"}}}}',
    ],
)
def test_scores_that_do_not_parse_are_a_damaged_cell_among_good_ones(fakes, suite_file, tmp_path, content):
    plan = expand(bind_suite(suite_file(), fakes))
    store = Store.open(tmp_path / "store")
    run_plan(plan, store, executor="inline", device="cpu")
    first, second = (cell for cell in plan.cells if cell.role == "floor")
    rewrite(store, first.steps["score"], "scores.json", content)
    cells = {cell.seeds: cell for cell in collect(plan, store) if cell.role == "floor"}
    damaged = cells[first.seeds]
    assert damaged.status == "missing"
    assert damaged.message.startswith("its result cannot be read: ")
    assert "scores.json" in damaged.message
    assert damaged.message.endswith("; run the suite again")
    assert cells[second.seeds].status == "done"


MATRIX = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("usual", "odd", "said"),
    [
        (0.5, [0.5, 0.5, 0.5], "recall is 3 numbers where it should be one number"),
        ([0.5, None, 0.5], 0.5, "recall is one number where it should be 3 numbers"),
        ([0.5, None, 0.5], [0.5, 0.5], "recall is 2 numbers where it should be 3 numbers"),
        (MATRIX, MATRIX[:2], "recall is a matrix of 2 x 3 where it should be a matrix of 3 x 3"),
        (MATRIX, [[1.0], [1.0, 2.0], [3.0]], "recall is rows of different lengths"),
    ],
)
def test_a_value_of_another_shape_than_its_neighbours_is_a_damaged_cell(make, usual, odd, said):
    suite = make.suite((("accuracy", "%", True), ("recall", "%", True)))
    cells = [
        *make.row("none", [{"accuracy": 0.5, "recall": usual}] * 2, role="floor"),
        *make.row("smote", [{"accuracy": 0.6, "recall": odd}, {"accuracy": 0.6, "recall": usual}]),
    ]
    for order in (cells, cells[::-1]):
        board = build_leaderboard(suite, order)
        rows = {row.balancer: row for row in board.tables[0].rows}
        (problem,) = rows["smote"].problems
        assert problem.status == "missing"
        assert problem.message.startswith(f"its result cannot be read: {said}")
        assert (rows["smote"].done, rows["none"].done) == (1, 2)
        assert said in markdown(board)


def test_an_undefined_value_has_no_shape_and_is_no_damage(make):
    cells = make.row("none", [0.5, {"accuracy": "no image"}], role="floor")
    assert build_leaderboard(make.suite(), cells).counts == {"done": 2}


def test_a_description_of_a_subset_that_does_not_parse_takes_no_cell_down(fakes, suite_file, tmp_path):
    plan = expand(bind_suite(suite_file(replace={"seeds = [0, 1]": "seeds = [0]"}), fakes))
    store = Store.open(tmp_path / "store")
    run_plan(plan, store, executor="inline", device="cpu")
    floor = next(cell for cell in plan.cells if cell.role == "floor")
    rewrite(store, floor.steps["imbalance"], "subset.json", b'{"fingerprint": 3}')
    cells = {cell.role: cell for cell in collect(plan, store)}
    assert cells["floor"].subset is None
    assert (cells["floor"].status, cells["ceiling"].status) == ("done", "done")
