"""`plot`, and pictures in `run` and `leaderboard`, as they are typed."""

import json

import pytest


@pytest.mark.usefixtures("drawing")
def test_run_draws_unless_told_not_to_and_plot_draws_from_the_store(call, suite_file, tmp_path):
    pictures = tmp_path / "results" / "fakes" / "pictures"
    code, _, err = call("run", suite_file(), "--jobs", "0", "--no-pictures")
    assert code == 0, err
    assert not pictures.exists()
    code, out, err = call("plot", suite_file())
    assert code == 0, err
    assert "4 pictures in results/fakes/pictures, shown in results/fakes/leaderboard.md" in out
    drawn = {path.name: path.read_bytes() for path in pictures.iterdir()}
    assert "(pictures/" in (pictures.parent / "leaderboard.md").read_text(encoding="utf-8")
    code, _, _ = call("run", suite_file(), "--jobs", "0")
    assert code == 0
    assert {path.name: path.read_bytes() for path in pictures.iterdir()} == drawn


@pytest.mark.usefixtures("drawing")
def test_plot_json_lists_the_pictures(call, suite_file):
    call("run", suite_file(), "--jobs", "0", "--no-pictures")
    code, out, _ = call("plot", suite_file(), "--output", "board", "--json")
    document = json.loads(out)
    assert (code, document["folder"], document["problems"]) == (0, "board/pictures", [])
    assert [entry["kind"] for entry in document["pictures"]] == ["scores", "classes", "epochs", "confusion"]


def test_plot_of_a_suite_that_nobody_ran_says_what_to_do(call, suite_file, tmp_path):
    code, _, err = call("plot", suite_file())
    assert (code, "there is no store" in err) == (2, True)
    call("run", suite_file(), "--jobs", "0", "--no-pictures")
    other = suite_file(replace={'use = "means"': 'use = "means"\nepochs = 9'})
    code, _, err = call("plot", other)
    assert code == 2
    assert "there is nothing to draw before balancebench run" in err


@pytest.mark.usefixtures("drawing")
def test_committed_leaderboards_have_pictures_and_pass_the_check(call, suite_file, tmp_path):
    call("run", suite_file(), "--jobs", "0", "--no-pictures")
    code, _, err = call("leaderboard", suite_file(), "--records", "leaderboard")
    assert code == 0, err
    assert (tmp_path / "leaderboard" / "fakes" / "pictures" / "pictures.json").is_file()
    code, out, _ = call("leaderboard", "--check")
    assert (code, "every table and picture is what its records say" in out) == (0, True)


def test_a_picture_that_cannot_be_drawn_is_a_warning_and_the_exit_code_stays_0(call, suite_file, tmp_path):
    call("run", suite_file(), "--jobs", "0", "--no-pictures")
    for path in (tmp_path / "balancebench-store" / "steps").rglob("logits_last.npy"):
        path.unlink()
    code, out, err = call("leaderboard", suite_file())
    assert code == 0
    assert "Picture: Confusion matrices" in err
    assert "logits_last.npy" in err
    assert "Traceback" not in out + err
