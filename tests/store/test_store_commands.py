"""`balancebench store`: what it shows, what it deletes and never deletes, and how results travel."""

import io
import json
import shutil
import tarfile

import pytest

from balancebench.cli.store import app
from balancebench.plan import expand
from balancebench.store import Store
from balancebench.suite.bind import bind_suite


@pytest.fixture(autouse=True)
def wide(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def store(call, suite_file, tmp_path):
    """A store in which the fake suite is done."""
    code, _, err = call("run", suite_file(), "--jobs", "0", "--no-pictures")
    assert code == 0, err
    return Store.open(tmp_path / "balancebench-store")


@pytest.mark.parametrize("command", [command.name or command.callback.__name__ for command in app.registered_commands])
def test_every_command_explains_itself_with_an_example(call, command):
    code, out, _ = call("store", command, "--help")
    assert code == 0
    assert "Example" in out


def test_size_and_list_say_what_is_there(call, store):
    parts = json.loads(call("store", "size", "--json")[1])["parts"]
    listed = json.loads(call("store", "list", "--json")[1])
    assert sum(parts[stage]["count"] for stage in ("load", "imbalance", "train", "score")) == len(listed)
    assert {step["status"] for step in listed} == {"done"}
    trained = json.loads(call("store", "list", "--stage", "train", "--json")[1])
    assert {step["stage"] for step in trained} == {"train"}
    assert json.loads(call("store", "list", "--status", "failed", "--json")[1]) == []
    assert "KiB" in call("store", "size")[1]


def test_clean_deletes_orphans_alone_and_never_what_a_given_suite_needs(call, store, suite_file):
    smaller = suite_file(name="smaller.toml", replace={"seeds = [0, 1]": "seeds = [1]"})
    needed = set(expand(bind_suite(smaller, _registry())).steps)
    everything = set(store.step_keys())
    code, out, _ = call("store", "clean", "--suite", smaller, "--dry-run")
    assert (code, "no suite given needs" in out) == (0, True)
    assert set(store.step_keys()) == everything
    assert call("store", "clean", "--suite", smaller, "--suite", suite_file(), "--yes")[0] == 0
    assert set(store.step_keys()) == everything
    assert call("store", "clean", "--suite", smaller, "--yes")[0] == 0
    assert set(store.step_keys()) == needed


def test_clean_keeps_what_a_profile_needs(call, store, suite_file):
    profiled = suite_file('\n[profile.small]\n"run.seeds" = [0, 1]\n', replace={"seeds = [0, 1]": "seeds = [1]"})
    before = {step["key"] for step in json.loads(call("store", "list", "--stage", "imbalance", "--json")[1])}
    call("store", "clean", "--suite", profiled, "--yes")
    assert {step["key"] for step in json.loads(call("store", "list", "--stage", "imbalance", "--json")[1])} == before


def test_clean_without_options_keeps_every_result_and_deletes_what_was_set_aside(call, store):
    key = store.step_keys()[0]
    shutil.copytree(store.folder(key), store.root / "set_aside" / key)
    (store.root / "checkpoints" / key).mkdir(parents=True)
    (store.root / "checkpoints" / ("f" * 64)).mkdir()
    before = store.step_keys()
    assert call("store", "clean", "--yes")[0] == 0
    assert store.step_keys() == before
    assert list((store.root / "set_aside").iterdir()) == []
    assert [path.name for path in (store.root / "checkpoints").iterdir()] == ["f" * 64]  # of a step that is not done


def test_clean_leaves_results_alone_while_a_step_runs(call, store, suite_file):
    smaller = suite_file(name="smaller.toml", replace={"seeds = [0, 1]": "seeds = [1]"})
    before = store.step_keys()
    lock = store.lock("e" * 64)
    _, _, err = call("store", "clean", "--suite", smaller, "--yes")
    lock.release()
    assert "1 steps are running" in err
    assert store.step_keys() == before


def test_clean_asks_first(call, store, suite_file, monkeypatch):
    smaller = suite_file(name="smaller.toml", replace={"seeds = [0, 1]": "seeds = [1]"})
    before = store.step_keys()
    monkeypatch.setattr("typer.confirm", lambda _question: False)
    assert call("store", "clean", "--suite", smaller)[0] == 1
    assert store.step_keys() == before


def test_verify_names_what_is_damaged_and_moves_it_away_when_asked(call, store):
    assert call("store", "verify")[0] == 0
    path = next(store.root.glob("steps/*/*/logits_last.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, _, err = call("store", "verify")
    assert (code, f"{path.relative_to(store.root.parent)} was altered" in err) == (1, True)
    assert call("store", "verify", "--set-aside")[0] == 1
    assert not path.exists()
    assert call("store", "verify")[0] == 0


@pytest.mark.parametrize("name", ["results.tar", "results.tar.gz"])
def test_results_travel_and_their_leaderboard_is_the_same(call, store, suite_file, tmp_path, name):
    call("leaderboard", suite_file(), "--output", "here", "--no-pictures")
    assert call("store", "export", name, "--suite", suite_file())[0] == 0
    code, out, _ = call("store", "import", name, "--store", "elsewhere")
    assert (code, f"{len(store.step_keys())} steps are new" in out) == (0, True)
    call("leaderboard", suite_file(), "--store", "elsewhere", "--output", "there", "--no-pictures")
    for written in ("leaderboard.md", "leaderboard.csv", "leaderboard.json"):
        assert (tmp_path / "there" / written).read_bytes() == (tmp_path / "here" / written).read_bytes()
    _, out, _ = call("store", "import", name, "--store", "elsewhere")
    assert f"0 steps are new in elsewhere, {len(store.step_keys())} were there already" in out


def test_the_same_steps_make_the_same_archive_and_none_is_overwritten(call, store, tmp_path):
    call("store", "export", "one.tar.gz")
    call("store", "export", "two.tar.gz")
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    code, _, err = call("store", "export", "one.tar.gz")
    assert (code, "exists already" in err) == (2, True)


def test_steps_are_chosen_by_stage_and_by_how_their_keys_begin(call, store, tmp_path):
    key = store.step_keys()[0]
    call("store", "export", "one.tar", key[:12])
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert {name.split("/")[1] for name in tar.getnames()} == {key}
    call("store", "export", "scores.tar", "--stage", "score")
    with tarfile.open(tmp_path / "scores.tar") as tar:
        assert {name.rsplit("/")[-1] for name in tar.getnames()} == {"record.json", "scores.json", "outcomes.json"}
    code, _, err = call("store", "export", "none.tar", "ffffffffffff")
    assert (code, "not one" in err) == (2, True)


def test_export_says_how_many_steps_of_a_suite_are_not_done(call, store, suite_file):
    larger = suite_file(name="larger.toml", replace={"seeds = [0, 1]": "seeds = [0, 1, 2]"})
    lacking = len(expand(bind_suite(larger, _registry())).steps) - len(store.step_keys())
    assert lacking > 0
    code, _, err = call("store", "export", "some.tar", "--suite", larger)
    assert (code, f"{lacking} steps that the suites need are not done" in err) == (0, True)


def rewritten(path, change):
    """Write an archive again with its entries changed: change(entries) of (TarInfo, content)."""
    with tarfile.open(path) as tar:
        entries = [(entry, tar.extractfile(entry).read()) for entry in tar]
    with tarfile.open(path, "w") as tar:
        for entry, content in change(entries):
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def of_name(name, kind=tarfile.REGTYPE, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../escaped", tarfile.REGTYPE),
        ("/tmp/balancebench-escaped", tarfile.REGTYPE),
        ("steps/KEY/../../escaped", tarfile.REGTYPE),
        ("steps/KEY/not_named.npy", tarfile.REGTYPE),
        ("steps/KEY/scores.json", tarfile.SYMTYPE),
        ("steps/KEY/scores.json", tarfile.LNKTYPE),
        ("steps/KEY/scores.json", tarfile.FIFOTYPE),
        ("steps/KEY/..\\..\\escaped", tarfile.REGTYPE),
    ],
)
def test_import_refuses_what_is_no_file_of_a_step(call, store, tmp_path, name, kind):
    call("store", "export", "scores.tar", "--stage", "score")

    def change(entries):
        key = entries[0][0].name.split("/")[1]
        return [entries[0], (of_name(name.replace("KEY", key), kind, "/etc/passwd"), b"")]

    rewritten(tmp_path / "scores.tar", change)
    before = {path for path in tmp_path.rglob("*") if "elsewhere" not in path.parts}
    code, _, err = call("store", "import", "scores.tar", "--store", "elsewhere")
    assert (code, "is refused" in err, "Traceback" in err) == (2, True, False)
    assert Store.open(tmp_path / "elsewhere").step_keys() == []
    assert {path for path in tmp_path.rglob("*") if "elsewhere" not in path.parts} == before
    assert not list((tmp_path / "elsewhere").rglob("*escaped*"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.replace(b"0", b"1", 1), "SHA-256 differs"),
        (lambda content: content + b" ", "its record says"),
    ],
)
def test_import_refuses_a_file_that_is_not_what_its_record_says(call, store, tmp_path, change, reason):
    call("store", "export", "scores.tar", "--stage", "score")
    rewritten(
        tmp_path / "scores.tar",
        lambda entries: [
            (entry, change(content) if entry.name.endswith("scores.json") else content) for entry, content in entries
        ],
    )
    code, _, err = call("store", "import", "scores.tar", "--store", "elsewhere")
    assert (code, reason in err) == (2, True)
    assert Store.open(tmp_path / "elsewhere").step_keys() == []


def test_import_refuses_a_step_that_lacks_a_file_and_an_archive_that_is_cut_off(call, store, tmp_path):
    call("store", "export", "scores.tar", "--stage", "score")
    shutil.copy(tmp_path / "scores.tar", tmp_path / "cut.tar")
    rewritten(tmp_path / "scores.tar", lambda entries: entries[:2])
    code, _, err = call("store", "import", "scores.tar", "--store", "elsewhere")
    assert (code, "it lacks" in err) == (2, True)
    (tmp_path / "cut.tar").write_bytes((tmp_path / "cut.tar").read_bytes()[:1000])
    code, _, err = call("store", "import", "cut.tar", "--store", "elsewhere")
    assert (code, "Traceback" in err) == (2, False)
    assert Store.open(tmp_path / "elsewhere").step_keys() == []


def _registry():
    from balancebench.registry import load_registry

    return load_registry()
