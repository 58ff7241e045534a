"""Outcomes beside committed records: what became of each test image, read back as it was, and checked."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from balancebench.artefacts.scores import Outcome
from balancebench.errors import LeaderboardError
from balancebench.leaderboard.files import check_leaderboards, write_records
from balancebench.leaderboard.outcomes import DatasetOutcomes, outcomes_text, read_committed_outcomes
from balancebench.leaderboard.records import read_records


def an_outcome(labels_N, seed, class_count):
    rng = np.random.default_rng(seed)
    guesses_N = rng.integers(0, class_count, len(labels_N))
    return Outcome.of(labels_N, np.where(rng.random(len(labels_N)) < 0.5, guesses_N, labels_N), class_count)


def some_outcomes(cells, images=203, class_count=3):
    labels_N = np.random.default_rng(0).integers(0, class_count, images)
    loaded = {cell.steps["load"] for cell in cells}
    return {
        load_key: DatasetOutcomes(
            labels_N=labels_N,
            class_count=class_count,
            cells={
                cell.score_key: {"last": an_outcome(labels_N, index, class_count)}
                for index, cell in enumerate(cells)
                if cell.steps["load"] == load_key
            },
        )
        for load_key in loaded
    }


@pytest.fixture
def committed(tmp_path, small):
    outcomes = some_outcomes(small.cells)
    path = write_records(tmp_path, small.suite, small.cells, outcomes=outcomes)
    return SimpleNamespace(root=tmp_path, folder=path.parent, path=path.parent / "outcomes.json", outcomes=outcomes)


def test_outcomes_come_back_as_they_were(committed):
    read_back = read_committed_outcomes(committed.folder, read_records(committed.folder / "records.json"))
    assert read_back.keys() == committed.outcomes.keys()
    for load_key, of_dataset in committed.outcomes.items():
        assert read_back[load_key].labels_N.tolist() == of_dataset.labels_N.tolist()
        assert read_back[load_key].class_count == 3
        assert read_back[load_key].cells == of_dataset.cells
    assert check_leaderboards(committed.root) == ["hand_made"]


def test_records_without_outcomes_stay_valid(tmp_path, small):
    path = write_records(tmp_path, small.suite, small.cells)
    assert "outcomes" not in path.read_text(encoding="utf-8")
    assert read_committed_outcomes(path.parent, read_records(path)) == {}
    assert check_leaderboards(tmp_path) == ["hand_made"]


@pytest.mark.parametrize("edit", [lambda text: text.replace("A", "B", 1), lambda text: text + " "])
def test_the_check_names_outcomes_with_one_edited_byte(committed, edit):
    committed.path.write_text(edit(committed.path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(LeaderboardError, match=r"outcomes\.json is stale or was edited by hand"):
        check_leaderboards(committed.root)


def test_the_check_names_missing_outcomes(committed):
    committed.path.unlink()
    with pytest.raises(LeaderboardError, match=r"outcomes\.json is missing"):
        check_leaderboards(committed.root)


def test_outcomes_go_with_the_records_that_they_were_of(committed, small):
    write_records(committed.root, small.suite, small.cells)
    assert not committed.path.exists()
    assert check_leaderboards(committed.root) == ["hand_made"]


def test_the_check_names_outcomes_that_records_know_nothing_of(committed, small):
    text = committed.path.read_text(encoding="utf-8")
    write_records(committed.root, small.suite, small.cells)
    committed.path.write_text(text, encoding="utf-8")
    with pytest.raises(LeaderboardError, match=r"outcomes\.json is of other records"):
        check_leaderboards(committed.root)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda document: document["datasets"][0].update(images=10**12), "were expected"),
        (lambda document: document["cells"][0].update(dataset=99), "out of range"),
        (lambda document: document["cells"][0]["reports"]["last"].update(correct="AAAA"), "were predicted right"),
        (lambda document: document.update(format=7), "format 7"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_by_name(committed, change, said):
    document = json.loads(committed.path.read_text(encoding="utf-8"))
    change(document)
    committed.path.write_text(json.dumps(document), encoding="utf-8")
    digest = hashlib.sha256(committed.path.read_bytes()).hexdigest()
    records = read_records(committed.folder / "records.json")
    forged = type(records)(suite=records.suite, cells=records.cells, outcomes_sha256=digest)
    with pytest.raises(LeaderboardError, match=said) as caught:
        read_committed_outcomes(committed.folder, forged)
    assert "outcomes.json" in str(caught.value)


def test_outcomes_are_the_same_bytes_in_any_order(small):
    assert outcomes_text(some_outcomes(small.cells)) == outcomes_text(
        {
            key: DatasetOutcomes(
                labels_N=of_dataset.labels_N,
                class_count=of_dataset.class_count,
                cells=dict(reversed(of_dataset.cells.items())),
            )
            for key, of_dataset in reversed(some_outcomes(small.cells).items())
        }
    )


@pytest.mark.parametrize(("images", "class_count", "bytes_a_cell"), [(900, 10, 600), (10_000, 100, 7000)])
def test_a_cell_takes_no_more_room_than_git_can_bear(make, images, class_count, bytes_a_cell):
    cells = [make.cell("a", seed, steps={"load": "l", "score": f"{seed:064}"}) for seed in range(20)]
    text = outcomes_text(some_outcomes(cells, images, class_count))
    assert len(text) / len(cells) < bytes_a_cell


def test_the_command_writes_what_the_store_keeps_of_every_finished_cell(call, suite_file, tmp_path):
    call("run", suite_file(), "--jobs", "0")
    more_seeds = suite_file(replace={"seeds = [0, 1]": "seeds = [0, 1, 2]"})
    code, out, err = call("leaderboard", more_seeds, "--records", "leaderboard", "--no-pictures")
    assert (code, "outcomes" in out) == (0, True), err
    folder = tmp_path / "leaderboard" / "fakes"
    records = read_records(folder / "records.json")
    outcomes = read_committed_outcomes(folder, records)
    done = [cell for cell in records.cells if cell.status == "done"]
    assert len(done) == 4
    for cell in done:
        of_dataset = outcomes[cell.steps["load"]]
        outcome = of_dataset.cells[cell.score_key]["last"]
        right_N = outcome.correct_N(len(of_dataset.labels_N))
        assert len(right_N) == cell.subset.test_images
        assert float(right_N.mean()) == pytest.approx(cell.scores["last"].metrics["hits"].value)
    assert {key for of_dataset in outcomes.values() for key in of_dataset.cells} == {cell.score_key for cell in done}
    assert call("leaderboard", "--check")[0] == 0


def test_a_store_that_lost_outcomes_is_told_to_run_again(call, suite_file, tmp_path):
    call("run", suite_file(), "--jobs", "0")
    for path in (tmp_path / "balancebench-store").rglob("outcomes.json"):
        path.unlink()
    code, _, err = call("leaderboard", suite_file(), "--records", "leaderboard", "--no-pictures")
    assert (code, "run the suite again" in err, "Traceback" in err) == (2, True, False)
