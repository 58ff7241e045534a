"""Gains of made images over a measure of the training subset, from committed records, and their picture."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from balancebench.leaderboard.files import read_suites
from balancebench.leaderboard.gains import gains_of
from balancebench.leaderboard.table import build_leaderboard
from balancebench.registry import Registry, load_registry

LEADERBOARDS = Path(__file__).parents[2] / "leaderboard"
SSIM = "ssim_super_sub_classes"


@pytest.fixture(scope="module")
def boards(tmp_path_factory):
    """A folder of two committed leaderboards: one has the measure, one has not."""
    folder = tmp_path_factory.mktemp("boards")
    for name in ("gmaug_local", "quickstart"):
        shutil.copytree(LEADERBOARDS / name, folder / name, ignore=shutil.ignore_patterns("pictures", "*.html"))
    return folder


@pytest.fixture(scope="module")
def suites(boards):
    return read_suites(boards)


def gains(suite, measure=SSIM):
    records = suite.records
    return gains_of(build_leaderboard(records.suite, records.cells, suite.outcomes), records.cells, measure)


def test_a_task_has_the_gains_of_its_rows_of_made_images_in_per_cent_of_the_floor(suites):
    suite = suites["gmaug_local"]
    (task,) = gains(suite)
    board = build_leaderboard(suite.records.suite, suite.records.cells, suite.outcomes)
    rows = {row.balancer: row.metrics["balanced_accuracy"] for row in board.tables[0].rows}
    floor = rows["none"].over_seeds.mean
    assert task.measure == board.tables[0].measures[SSIM].mean
    assert [row.balancer for row in task.rows] == [
        "edm, chosen", "mlp_cgan, chosen", "transitional_cgan, chosen", "transitional_cgan", "edm", "mlp_cgan",
    ]  # fmt: skip
    for row in task.rows:
        difference = rows[row.balancer].difference
        assert row.gain == pytest.approx(100 * difference.mean / floor)
        assert row.interval.low == pytest.approx(100 * difference.interval.low / floor)
        assert row.interval.low < row.gain < row.interval.high


def test_a_board_without_the_measure_or_without_made_images_has_no_gains(suites):
    assert gains(suites["quickstart"]) == []
    assert gains(suites["gmaug_local"], "another_measure") == []
    without = suites["gmaug_local"].records
    board = build_leaderboard(without.suite, without.cells, {})
    assert gains_of(board, [cell for cell in without.cells if "synthesise" not in cell.steps], SSIM) == []


@pytest.mark.parametrize("name", ["", "gmaug_local"])
def test_the_picture_names_the_curve_the_tasks_and_the_boards_that_were_left_out(call, boards, name, tmp_path):
    source = boards / name
    code, out, err = call("advise", source, "--figure", "gains.svg")
    assert code == 0, err
    texts = " ".join(ElementTree.parse(tmp_path / "gains.svg").getroot().itertext())
    assert "176.6 exp(-13.1 x): least squares over the eight data sets of Guo et al. 2023" in texts
    assert "fashion_mnist / long_tail / fashion_cnn: edm, chosen" in texts
    assert "gains.svg: 1 task. A point a task" in " ".join(out.split())
    assert ("made images: quickstart." in " ".join(out.split())) == (name == "")
    code, _, err = call("advise", source, "--figure", "gains.svg")
    assert code == 2
    assert "gains.svg exists already" in err


def test_what_cannot_be_drawn_is_one_clear_line(call, boards, tmp_path):
    code, _, err = call("advise", boards / "quickstart", "--figure", "gains.svg")
    assert code == 2
    assert f"none of quickstart has {SSIM} among its metrics and a ranked row of made images" in err
    assert "name the file gains.svg" in call("advise", boards, "--figure", "gains.png")[2]
    assert not (tmp_path / "gains.svg").exists()


def test_without_a_plugin_that_brings_a_relation_that_is_said(call, monkeypatch):
    def without_advisors() -> Registry:
        registry = load_registry()
        registry.advisors = [advisor for advisor in registry.advisors if not advisor.relation]
        return registry

    monkeypatch.setattr("balancebench.registry.load_registry", without_advisors)
    assert "balancebench-gmaug has one" in call("advise", LEADERBOARDS, "--figure", "gains.svg")[2]
