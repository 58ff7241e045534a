"""A suite is run from Python as from the command line, and its leaderboard shows itself in a notebook."""

from __future__ import annotations

import pytest

import balancebench
from balancebench.errors import BalancebenchError, SuiteError

SUBSET_METRICS = {'metrics = ["hits"]': 'metrics = ["hits", "kept_share"]'}


@pytest.fixture
def board(fakes, suite_file, tmp_path):
    path = suite_file(
        '\n[[balancer]]\nuse = "misbehaving"\nhow = "raise"\nlabel = "<b>broken</b>"\n', replace=SUBSET_METRICS
    )
    return balancebench.run_suite(path, store=tmp_path / "store", executor="inline", device="cpu")


def test_a_suite_runs_to_its_leaderboard(board):
    (table,) = board.tables
    rows = {row.balancer: row for row in table.rows}
    assert rows["none"].done == 2
    assert "the fake balancer raised" in rows["<b>broken</b>"].problems[0].message


def test_a_leaderboard_is_a_data_frame_of_measurements(board):
    frame = board.to_dataframe()
    floor = frame[(frame.balancer == "none") & (frame.metric == "hits")]
    assert floor.seeds.nunique() == len(floor) == 2
    assert floor.value.between(0.5, 1).all()
    assert {"dataset", "imbalancer", "classifier", "role", "report", "rank"} <= set(frame.columns)


def test_a_notebook_shows_tables_in_which_every_text_is_escaped(board):
    html = board._repr_html_()
    assert html.count("<table>") == 1
    assert "<b>broken</b>" not in html
    assert "&lt;b&gt;broken&lt;/b&gt;" in html
    assert "Training images before balancing: kept_share" in html


def test_mistakes_are_errors_of_the_package(fakes, suite_file, tmp_path):
    with pytest.raises(SuiteError, match="did you mean"):
        balancebench.run_suite(suite_file(replace={'use = "means"': 'use = "meens"'}), store=tmp_path / "store")
    with pytest.raises(BalancebenchError, match="there is no executor 'inlin'"):
        balancebench.run_suite(suite_file(), store=tmp_path / "store", executor="inlin")
