"""Rows are ranked on the same seeds, and nothing is left out of a mean in silence."""

import csv
import io

import pytest

from balancebench.execution.run_plan import run_plan
from balancebench.leaderboard.export import csv_text
from balancebench.leaderboard.markdown import markdown
from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard
from balancebench.plan import expand
from balancebench.stages import imbalance, synthesise
from balancebench.store import Store
from balancebench.suite.bind import bind_suite


@pytest.fixture
def table_of(make):
    def table(cells, suite=None):
        return build_leaderboard(suite or make.suite(), cells).tables[0]

    return table


def ranks(table):
    return [(row.balancer, row.rank) for row in table.rows]


def test_a_floor_that_collapsed_in_one_seed_is_not_ranked_on_the_seeds_where_it_did_not(make, table_of):
    cells = [
        *make.row("none", [0.9, {"accuracy": "no image is predicted as a class"}, 0.9], role="floor"),
        *make.row("smote", [0.6, 0.6, 0.6]),
        *make.row("other", [0.7, 0.5, 0.7]),
        *make.row("no imbalance", [0.95, 0.95, 0.95], role="ceiling"),
    ]
    table = table_of(cells)
    assert ranks(table) == [("other", 1), ("smote", 2), ("none", None), ("no imbalance", None)]
    assert table.rows[2].unranked_because == (
        "not ranked: accuracy is undefined in seed 1 (no image is predicted as a class); ranked rows have all 3 seeds"
    )
    assert table.rows[2].metrics["accuracy"].over_seeds.mean == 0.9
    assert table.ranking_note == ""


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("failed", "seed 1 failed"),
        ("timeout", "seed 1 timed out"),
        ("out_of_memory", "seed 1 ran out of memory"),
    ],
)
def test_a_row_whose_method_failed_in_a_seed_stands_apart_behind_the_ranked_ones(make, table_of, status, said):
    cells = [
        *make.row("smote", [0.6, 0.6]),
        make.cell("worse", 0, 0.8),
        make.cell("worse", 1, status=status, message="it broke"),
        make.cell("better", 0, 0.9),
        make.cell("better", 1, status=status, message="it broke"),
        *make.row("no imbalance", [0.95, 0.95], role="ceiling"),
    ]
    table = table_of(cells)
    assert ranks(table) == [("smote", 1), ("better", None), ("worse", None), ("no imbalance", None)]
    assert table.rows[1].unranked_because == f"not ranked: {said}; ranked rows have all 2 seeds"


def test_unfinished_rows_are_ranked_on_the_seeds_that_all_have_and_the_table_says_which(make, table_of):
    cells = [
        *make.row("smote", [0.6, 0.1, 0.6]),
        make.cell("half", 0, 0.5),
        make.cell("half", 1, status="missing", message="it has not been run"),
        make.cell("half", 2, 0.5),
        make.cell("never", 0, status="missing", message="it has not been run"),
    ]
    table = table_of(cells)
    # smote's own mean, 0.43, is below that of "half", whose hardest seed is not run yet
    assert ranks(table) == [("smote", 1), ("half", 2), ("never", None)]
    assert table.rows[0].metrics["accuracy"].over_seeds.mean == pytest.approx(1.3 / 3)
    assert table.ranking_note == (
        "Ranked on seeds 0, 2, which every ranked row has; the means shown are over each row's own seeds"
    )
    board = build_leaderboard(make.suite(), cells)
    assert f"\n{table.ranking_note}.\n" in markdown(board)
    remarks = {line["balancer"]: line["remark"] for line in csv.DictReader(io.StringIO(csv_text(board)))}
    assert remarks["smote"] == table.ranking_note


def test_rows_without_a_seed_in_common_are_not_ranked_and_the_table_says_why(make, table_of):
    cells = [
        make.cell("a", 0, 0.6),
        make.cell("a", 1, status="missing", message="it has not been run"),
        make.cell("b", 0, status="missing", message="it has not been run"),
        make.cell("b", 1, 0.7),
    ]
    table = table_of(cells)
    assert ranks(table) == [("a", None), ("b", None)]
    assert {row.unranked_because for row in table.rows} == {"no seed is done in every row"}
    assert table.ranking_note == "Nobody is ranked: no seed is done in every row (a lacks seed 1, b lacks seed 0)"


@pytest.mark.parametrize(("rows", "rest"), [(5, ""), (7, ", and 2 more rows")])
def test_of_many_rows_that_lack_seeds_five_are_named_and_the_rest_counted(make, table_of, rows, rest):
    cells = []
    for index in range(rows):
        done, lacked = index % 2, 1 - index % 2
        cells.append(make.cell(f"row {index}", done, 0.5))
        cells.append(make.cell(f"row {index}", lacked, status="missing", message="it has not been run"))
    note = table_of(cells).ranking_note
    assert note.count(" lacks ") == 5
    assert note.endswith(f"row 4 lacks seed 1{rest})")


def test_a_failed_row_takes_no_seed_from_the_others(make, table_of):
    cells = [
        *make.row("smote", [0.6, 0.6]),
        *make.row("other", [0.7, 0.4]),
        make.cell("broken", 0, status="failed", message="it broke"),
        make.cell("broken", 1, 0.9),
    ]
    table = table_of(cells)
    assert ranks(table) == [("smote", 1), ("other", 2), ("broken", None)]
    assert table.ranking_note == ""


def test_cells_that_share_a_score_count_once_in_the_mean_that_ranks(make, table_of):
    shared = make.key("one score")
    cells = [
        make.cell("a", (0, 0, 0), 0.9, steps={"score": shared}),
        make.cell("a", (0, 1, 0), 0.9, steps={"score": shared}),
        make.cell("a", (1, 0, 0), 0.1),
        *(make.cell("b", seeds, 0.55) for seeds in ((0, 0, 0), (0, 1, 0), (1, 0, 0))),
    ]
    assert ranks(table_of(cells)) == [("b", 1), ("a", 2)]  # 0.55 against 0.50, not 0.63


@pytest.fixture
def ran_without_seed_1(fakes, suite_file, tmp_path, monkeypatch):
    """Run a floor and a generative balancer, a stage of which refuses its second seed; returns the table."""

    def run(module, name):
        stage = getattr(module, name)

        def refuse_seed_1(workplace):
            if workplace.step.settings["seed"] == 1:
                raise RuntimeError("it broke")
            stage(workplace)

        monkeypatch.setattr(module, name, refuse_seed_1)
        plan = expand(bind_suite(suite_file('\n[[balancer]]\nuse = "misbehaving"\nhow = "none"\n'), fakes))
        store = Store.open(tmp_path / "store")
        run_plan(plan, store, executor="inline", device="cpu")
        return build_leaderboard(plan.suite, collect(plan, store)).tables[0]

    return run


def test_a_synthesis_that_failed_is_the_failure_of_its_own_row_alone(ran_without_seed_1):
    rows = {row.balancer: row for row in ran_without_seed_1(synthesise, "run_synthesise").rows}
    assert rows["none"].rank == 1
    assert rows["misbehaving"].rank is None
    assert rows["misbehaving"].unranked_because == "not ranked: seed 1 failed; ranked rows have all 2 seeds"


def test_a_subset_that_could_not_be_made_is_no_failure_of_a_method(ran_without_seed_1):
    table = ran_without_seed_1(imbalance, "run_imbalance")
    assert {row.rank is None for row in table.rows if row.role != "ceiling"} == {False}
    # every row lacks the seed, so that it is named as the table's and takes nobody's rank
    assert table.ranking_note.startswith("Ranked on seed 0, which every ranked row has")
