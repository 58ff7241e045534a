"""`leaderboard` and `regress` as they are typed: what they write, what they say, how they exit."""

import json

import pytest


@pytest.fixture
def committed(call, suite_file, tmp_path):
    """The fake suite's records, committed to tmp_path/leaderboard."""
    path = suite_file()
    call("run", path, "--jobs", "0")
    code, _, err = call("leaderboard", path, "--records", "leaderboard")
    assert code == 0, err
    return tmp_path / "leaderboard"


def test_leaderboard_writes_what_the_store_holds_and_says_where(call, suite_file, tmp_path):
    call("run", suite_file(), "--jobs", "0")
    code, out, _ = call("leaderboard", suite_file(), "--output", "board")
    assert code == 0
    assert "board/leaderboard.md" in out
    assert {path.name for path in (tmp_path / "board").iterdir()} == {
        "leaderboard.html",
        "leaderboard.md",
        "leaderboard.csv",
        "leaderboard.json",
        "pictures",
    }


def test_leaderboard_open_shows_the_page_and_says_where_it_lies_without_a_browser(
    call, suite_file, tmp_path, monkeypatch
):
    call("run", suite_file(), "--jobs", "0")
    shown = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(shown.append(address)) or True)
    assert call("leaderboard", suite_file(), "--output", "board", "--open")[0] == 0
    assert shown == [(tmp_path / "board" / "leaderboard.html").as_uri()]
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    code, _, err = call("leaderboard", suite_file(), "--output", "board", "--open")
    assert (code, "board/leaderboard.html" in err.replace("\n", "")) == (2, True)


def test_leaderboard_shows_cells_that_nobody_ran(call, suite_file, tmp_path):
    call("run", suite_file(), "--jobs", "0")
    code, _, _ = call("leaderboard", suite_file(replace={"seeds = [0, 1]": "seeds = [0, 1, 2]"}), "--output", "board")
    text = (tmp_path / "board" / "leaderboard.md").read_text(encoding="utf-8")
    assert code == 0
    assert "6 cells: 4 done, 2 missing" in text
    assert "2 of 3" in text


def test_leaderboard_json_is_one_document(call, suite_file):
    call("run", suite_file(), "--jobs", "0")
    code, out, _ = call("leaderboard", suite_file(), "--json")
    assert code == 0
    assert json.loads(out)["tables"][0]["rows"][0]["balancer"] == "none"


def test_leaderboard_needs_a_suite_or_check_and_a_store(call, suite_file, tmp_path):
    code, _, err = call("leaderboard")
    assert (code, "name a suite file" in err) == (2, True)
    code, _, err = call("leaderboard", suite_file())
    assert (code, "there is no store" in err) == (2, True)
    assert not (tmp_path / "results").exists()


def test_check_passes_on_what_was_committed_and_fails_on_an_edit(call, committed):
    code, out, _ = call("leaderboard", "--check")
    assert (code, "fakes" in out) == (0, True)
    table = committed / "fakes" / "leaderboard.md"
    table.write_text(table.read_text(encoding="utf-8").replace("± 0.00", "± 0.01") + " ", encoding="utf-8")
    code, _, err = call("leaderboard", "--check", committed)
    assert code == 2
    assert "leaderboard.md is stale or was edited by hand" in err
    assert "balancebench leaderboard --rewrite" in err


def test_tables_are_written_again_from_their_records_alone(call, committed):
    before = {path: path.read_bytes() for path in committed.rglob("*") if path.is_file()}
    (committed / "fakes" / "leaderboard.csv").write_text("other words", encoding="utf-8")
    (committed / "README.md").unlink()
    code, out, _ = call("leaderboard", "--rewrite", committed)
    assert (code, "fakes" in out) == (0, True)
    assert {path: path.read_bytes() for path in committed.rglob("*") if path.is_file()} == before


def test_a_folder_without_records_cannot_be_written_again(call, tmp_path):
    code, _, err = call("leaderboard", "--rewrite", tmp_path)
    assert (code, "there are no committed leaderboards" in err) == (2, True)


def test_committed_records_name_no_folder_of_this_machine(committed, tmp_path):
    for path in committed.rglob("*.*"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_regress_passes_where_nothing_changed_and_keeps_no_store(call, committed, suite_file, tmp_path):
    before = set(tmp_path.iterdir())
    code, out, err = call("regress", suite_file(), "--against", committed, "--jobs", "0")
    assert code == 0, err
    assert "Nothing moved: 4 values unchanged" in out
    assert "12 steps to run, 0 in the store" in err  # computed again, not read from the store
    assert set(tmp_path.iterdir()) == before


def test_regress_names_what_moved_and_the_option_that_changed(call, committed, suite_file):
    path = suite_file(replace={'use = "means"': 'use = "means"\nepochs = 3'})
    code, out, _ = call("regress", path, "--against", committed, "--jobs", "0")
    assert code == 1
    assert "tiny / halving / means / none / seed 0: optimiser steps 2 -> 3" in out
    assert "train: components.classifier.options.epochs 2 -> 3 (4 cells)" in out


def test_regress_json_says_whether_it_failed(call, committed, suite_file):
    code, out, _ = call("regress", suite_file(), "--against", committed, "--jobs", "0", "--json")
    assert code == 0
    assert json.loads(out)["failed"] is False


def test_regress_without_records_says_so_before_it_runs_anything(call, suite_file):
    code, _, err = call("regress", suite_file(), "--against", "nowhere")
    assert code == 2
    assert "there are no records at nowhere/fakes/records.json" in err
    assert "steps to run" not in err
