"""Leaderboards on disk: records from which tables are made again, and a check that finds every edited byte."""

import csv
import io
import json

import pytest

from balancebench.errors import LeaderboardError
from balancebench.leaderboard.export import csv_text, json_text
from balancebench.leaderboard.files import check_leaderboards, write_leaderboard, write_records
from balancebench.leaderboard.records import read_records, records_text
from balancebench.leaderboard.table import build_leaderboard


@pytest.fixture
def committed(tmp_path, small):
    write_records(tmp_path / "leaderboard", small.suite, small.cells)
    return tmp_path / "leaderboard"


def test_a_leaderboard_is_written_as_page_markdown_csv_and_json(tmp_path, small):
    path = write_leaderboard(tmp_path / "results" / "new", build_leaderboard(small.suite, small.cells))
    assert path == tmp_path / "results" / "new" / "leaderboard.md"
    assert {file.name for file in path.parent.iterdir()} == {
        "leaderboard.html",
        "leaderboard.md",
        "leaderboard.csv",
        "leaderboard.json",
    }


def test_csv_has_a_line_for_each_row_and_metric(small):
    lines = list(csv.DictReader(io.StringIO(csv_text(build_leaderboard(small.suite, small.cells)))))
    assert [line["balancer"] for line in lines] == ["smote", "random_oversampling", "none", "no imbalance"]
    assert float(lines[0]["mean"]) == pytest.approx(0.71)
    assert float(lines[0]["difference_mean"]) == pytest.approx(0.09)
    assert lines[2]["difference_mean"] == ""


def test_a_label_that_a_spreadsheet_would_run_is_quoted(make):
    text = csv_text(build_leaderboard(make.suite(), [make.cell("=1+1", 0, 0.5)]))
    assert ",'=1+1," in text


def test_json_is_strict_and_undefined_is_null(make):
    cells = [make.cell("a", 0, {"accuracy": "no class has few images"}), make.cell("b", 0, 0.5)]
    text = json_text(build_leaderboard(make.suite(), cells))
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    (undefined,) = [row for row in document["tables"][0]["rows"] if row["balancer"] == "a"]
    assert undefined["metrics"]["accuracy"]["over_seeds"]["mean"] is None


def test_nan_cannot_enter_a_result(make):
    with pytest.raises(ValueError, match="finite"):
        make.cell("a", 0, float("nan"))


def test_records_come_back_as_they_were(tmp_path, make, small):
    cells = [
        *small.cells,
        make.cell("half", 1, status="failed", message="it broke", subset=None),
        make.cell("marked", 0, 0.5, used_withheld_data=True, outside_data=("weights",), warnings=("it is old",)),
        make.cell("classes", 0, {"accuracy": [0.5, None]}),
    ]
    path = tmp_path / "records.json"
    path.write_text(records_text(small.suite, cells), encoding="utf-8")
    reread = read_records(path)
    assert reread.suite == small.suite
    assert sorted(reread.cells, key=str) == sorted(cells, key=str)


def test_records_are_the_same_bytes_in_any_order_and_hold_shared_things_once(small):
    text = records_text(small.suite, small.cells)
    assert records_text(small.suite, small.cells[::-1]) == text
    assert text.count("A processor") == 1


def test_records_hold_no_absolute_path(make, small):
    message = "DataError: /home/somebody/data/bag/7.png is broken; see https://example.org/a/b and seed 0/1/2"
    cells = [*small.cells, make.cell("half", 0, status="failed", message=message)]
    text = records_text(small.suite, cells)
    assert "somebody" not in text
    assert "DataError: .../7.png is broken; see https://example.org/a/b and seed 0/1/2" in text


def test_what_is_committed_passes_the_check(committed):
    assert check_leaderboards(committed) == ["hand_made"]
    assert {path.name for path in (committed / "hand_made").iterdir()} == {
        "records.json",
        "leaderboard.html",
        "leaderboard.md",
        "leaderboard.csv",
    }
    assert "[Hand-made results](hand_made/leaderboard.md)" in (committed / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "hand_made/leaderboard.html",
        "hand_made/leaderboard.md",
        "hand_made/leaderboard.csv",
        "README.md",
        "hand_made/records.json",
    ],
)
def test_the_check_names_a_file_with_one_edited_byte(committed, name):
    path = committed / name
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        content[:middle] + (b"#" if content[middle : middle + 1] != b"#" else b"%") + content[middle + 1 :]
    )
    with pytest.raises(LeaderboardError) as caught:
        check_leaderboards(committed)
    assert str(path) in str(caught.value)


def test_the_check_finds_a_number_changed_inside_the_records(committed):
    path = committed / "hand_made" / "records.json"
    text = path.read_text(encoding="utf-8")
    assert '"value":0.73' in text
    path.write_text(text.replace('"value":0.73', '"value":0.83'), encoding="utf-8")
    with pytest.raises(LeaderboardError, match="SHA-256"):
        check_leaderboards(committed)


def test_the_check_names_a_missing_table(committed):
    (committed / "hand_made" / "leaderboard.md").unlink()
    with pytest.raises(LeaderboardError, match=r"leaderboard\.md is missing"):
        check_leaderboards(committed)


def test_the_check_says_what_is_no_file_of_records(committed):
    (committed / "hand_made" / "records.json").write_text("[]", encoding="utf-8")
    with pytest.raises(LeaderboardError, match="no file of records"):
        check_leaderboards(committed)


def test_records_of_another_format_are_refused_by_name(committed):
    path = committed / "hand_made" / "records.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"format":1', '"format":7'), encoding="utf-8")
    with pytest.raises(LeaderboardError, match="format 7"):
        read_records(path)


def test_results_of_a_profile_lie_beside_those_of_the_suite_and_say_what_it_changed(tmp_path, make, small):
    write_records(tmp_path, small.suite, small.cells)
    short = make.suite(profile="short", overrides={"run.seeds": [0], "classifier.*.epochs": 1})
    write_records(tmp_path, short, small.cells)

    assert check_leaderboards(tmp_path) == ["hand_made", "hand_made.short"]
    assert "profile" not in (tmp_path / "hand_made" / "leaderboard.md").read_text(encoding="utf-8")
    page = (tmp_path / "hand_made.short" / "leaderboard.md").read_text(encoding="utf-8")
    assert "**Made under the profile short**" in page
    assert "(`classifier.*.epochs = 1`, `run.seeds = [0]`): these are no results of the full suite." in page
    assert "(hand_made.short/leaderboard.md), profile short" in (tmp_path / "README.md").read_text(encoding="utf-8")
