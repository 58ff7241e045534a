"""A record is believed as it was written, under the key that it was written for, or not at all."""

import json
import shutil
import tarfile

import pytest

from balancebench.errors import StoreError
from balancebench.execution.run_plan import run_plan
from balancebench.leaderboard.results_in_store import collect
from balancebench.plan import expand
from balancebench.store import Store
from balancebench.store.archive import export_steps, import_steps
from balancebench.store.index import StoreIndex
from balancebench.store.sealed import key_of, read_record, record_text
from balancebench.suite.bind import bind_suite


@pytest.fixture
def plan(fakes, suite_file):
    wrapped = '\n[[balancer]]\nuse = "wrapping"\nbase = { use = "misbehaving", how = "none" }\n'
    return expand(bind_suite(suite_file(wrapped, replace={"seeds = [0, 1]": "seeds = [0]"}), fakes))


@pytest.fixture
def store(plan, tmp_path):
    finished = Store.open(tmp_path / "store")
    assert not run_plan(plan, finished, executor="inline", device="cpu").failed
    return finished


@pytest.fixture
def floor(plan):
    return next(cell for cell in plan.cells if cell.role == "floor")


def record_path(store, key):
    return store.folder(key) / "record.json"


def edit(store, key, **changes):
    """Write other fields into a record by hand, and leave its seal as it is."""
    path = record_path(store, key)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def survey(store, keys):
    with StoreIndex(store) as index:
        return index.survey(keys)


def test_the_key_of_every_step_follows_from_what_its_record_says(plan, store):
    for key in plan.steps:
        assert key_of(store.read(key)) == key


def test_no_bit_of_a_record_can_flip_and_be_accepted_with_other_content(store, floor):
    key = floor.steps["score"]
    content = record_path(store, key).read_bytes()
    whole = read_record(content, key)
    refused = 0
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert read_record(bytes(flipped), key) == whole
        except StoreError:
            refused += 1
    assert refused > 0.9 * 8 * len(content)  # the rest are blanks and the like


@pytest.mark.parametrize(
    "changes",
    [
        {"used_withheld_data": True},
        {"outside_data": ["ImageNet-1k weights"]},
        {"warnings": ["it is old"]},
        {"files": {}},
        {"status": "failed"},
        {"duration_seconds": 0.0},
        {"images_seen": 1},
        {"seal": "0" * 64},
        {"seal": None},
        {"identity": {}},
        {"of_a_later_version": True},
    ],
)
def test_a_record_edited_by_hand_is_damage_everywhere(plan, store, floor, changes):
    key = floor.steps["score"]
    survey(store, plan.steps)
    edit(store, key, **changes)
    assert store.read(key) is None
    assert survey(store, plan.steps)[2] == {key: "record.json is damaged, or was edited by hand: its seal is broken"}
    (cell,) = (result for result in collect(plan, store) if result.role == "floor")
    assert cell.status == "missing"
    assert "its seal is broken; run the suite again" in cell.message
    outcome = run_plan(plan, store, executor="inline", device="cpu")
    assert (outcome.ran, list(outcome.damaged)) == (1, [key])
    assert store.read_done(key) is not None


def test_a_record_without_its_seal_is_damage(store, floor):
    key = floor.steps["score"]
    path = record_path(store, key)
    document = json.loads(path.read_text())
    del document["seal"]
    path.write_text(json.dumps(document))
    assert "its seal is broken" in store.record_problem(key)


def test_a_result_copied_to_another_key_is_damage(plan, store, floor):
    key, other = (cell.steps["score"] for cell in plan.cells if cell.role in ("floor", "ceiling"))
    shutil.rmtree(store.folder(other))
    shutil.copytree(store.folder(key), store.folder(other))
    assert survey(store, [other])[2] == {other: f"record.json is of another step, {key[:12]}"}
    assert not run_plan(plan, store, executor="inline", device="cpu").failed
    assert store.read_done(other).key == other


def test_a_record_sealed_under_a_key_that_is_not_its_own_is_damage(store, floor):
    key = floor.steps["score"]
    forged = store.read(key).model_copy(update={"inputs": {}})
    record_path(store, key).write_text(record_text(forged))
    assert store.record_problem(key) == (
        "record.json is of another step: its key is not that of what it says it was made from"
    )


def test_an_archive_brings_no_record_with_a_broken_seal(store, floor, tmp_path):
    key = floor.steps["score"]
    archive = tmp_path / "steps.tar"
    export_steps(store, [key], archive, lambda _count: None)
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    record = next((tmp_path / "unpacked").glob("steps/*/record.json"))
    record.write_text(record.read_text().replace('"images_seen": 0', '"images_seen": 7'))
    with tarfile.open(tmp_path / "edited.tar", "w") as tar:
        for path in [record, *sorted(set(record.parent.iterdir()) - {record})]:
            tar.add(path, arcname=path.relative_to(tmp_path / "unpacked").as_posix())
    elsewhere = Store.open(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="refused: it is damaged, or was edited by hand: its seal is broken"):
        import_steps(elsewhere, tmp_path / "edited.tar", lambda _count: None)
    import_steps(elsewhere, archive, lambda _count: None)
    assert elsewhere.read(key) == store.read(key)


def test_an_archive_mends_what_is_damaged_here(store, floor, tmp_path):
    key = floor.steps["score"]
    archive = tmp_path / "steps.tar"
    export_steps(store, [key], archive, lambda _count: None)
    (store.folder(key) / "scores.json").write_text("{}")
    assert import_steps(store, archive, lambda _count: None).new == [key]
    assert store.damage(store.read_done(key)) is None
    assert import_steps(store, archive, lambda _count: None).present == [key]


def test_a_step_with_a_broken_seal_is_not_exported(store, floor, tmp_path):
    edit(store, floor.steps["score"], used_withheld_data=True)
    with pytest.raises(StoreError, match="is not in the store"):
        export_steps(store, [floor.steps["score"]], tmp_path / "steps.tar", lambda _count: None)


def test_unchanged_records_are_not_sealed_again(plan, store, monkeypatch):
    monkeypatch.setattr("balancebench.store.index.SETTLED_NS", 0)
    survey(store, plan.steps)
    monkeypatch.setattr(Store, "read", lambda self, key: pytest.fail(f"{key} was read again"))
    assert survey(store, plan.steps)[0] == set(plan.steps)
