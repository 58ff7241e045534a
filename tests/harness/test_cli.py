"""What a person types and sees: help, clear errors without tracebacks, exit codes, JSON for programs."""

import json
import sys

import pytest

from balancebench.cli.main import app
from balancebench.errors import BalancebenchError
from balancebench.execution.executor import Site, start_executor


@pytest.fixture
def balancebench(call):
    """The command as a person types it."""
    return call


@pytest.mark.parametrize("command", [command.name or command.callback.__name__ for command in app.registered_commands])
def test_every_command_explains_itself_with_an_example(balancebench, command):
    code, out, _ = balancebench(command, "--help")
    assert code == 0
    assert "Example" in out


def test_run_ends_with_a_leaderboard_and_exit_code_0(balancebench, suite_file, tmp_path):
    code, out, err = balancebench("run", suite_file(), "--jobs", "0")
    assert code == 0, err
    assert "no imbalance" in out
    assert list((tmp_path / "results" / "fakes").glob("*.md"))


def test_a_second_run_answers_from_the_store(balancebench, suite_file):
    balancebench("run", suite_file(), "--jobs", "0")
    code, out, _ = balancebench("run", suite_file(), "--jobs", "0")
    assert code == 0
    assert "0 steps ran" in out


def test_a_run_with_failures_names_them_and_ends_with_exit_code_1(balancebench, suite_file):
    path = suite_file('\n[[balancer]]\nuse = "misbehaving"\n')
    code, out, err = balancebench("run", path, "--jobs", "0")
    assert code == 1
    assert "the fake balancer raised" in err
    assert "balancebench log " in err
    assert "Traceback" not in out + err
    assert "misbehaving" in out


def test_plan_json_says_what_is_stored_and_what_will_run(balancebench, suite_file):
    path = suite_file()
    code, out, _ = balancebench("plan", path, "--json")
    assert code == 0
    assert {step["state"] for step in json.loads(out)["steps"]} == {"to run"}
    balancebench("run", path, "--jobs", "0")
    planned = json.loads(balancebench("plan", path, "--json")[1])
    assert {step["state"] for step in planned["steps"]} == {"done"}
    assert {cell["role"] for cell in planned["cells"]} == {"floor", "ceiling"}


def test_planning_makes_no_store(balancebench, suite_file, tmp_path):
    balancebench("plan", suite_file())
    assert not (tmp_path / "balancebench-store").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "missing.toml"], "there is no such file"),
        (["show", "halvin"], "did you mean 'halving'"),
        (["list", "balancers", "--json"], None),
        (["list", "colour"], "there is no kind 'colour'"),
        (["run", "SUITE", "--device", "tpu"], "unknown device 'tpu'"),
        (["run", "SUITE", "--time-limit", "soon"], "not a duration"),
        (["run", "SUITE", "--memory-limit", "much"], "not a size"),
        (["run", "SUITE", "--profile", "tiny"], "there is no profile 'tiny'"),
        (["rescore", "SUITE", "--store", "nowhere"], "there is no store"),
        (["run", "SUITE", "--store", "pile"], "not a balancebench store"),
    ],
)
def test_user_errors_are_messages_with_exit_code_2(balancebench, suite_file, tmp_path, arguments, message):
    (tmp_path / "pile").mkdir()
    (tmp_path / "pile" / "thing").touch()
    path = suite_file()
    code, _, err = balancebench(*[path if argument == "SUITE" else argument for argument in arguments])
    assert code == (0 if message is None else 2)
    assert "Traceback" not in err
    assert (message or "") in err


def test_rescore_adds_a_metric_without_training(balancebench, suite_file):
    balancebench("run", suite_file(), "--jobs", "0")
    wider = suite_file(replace={'["hits"]': '["hits", "accuracy"]'})
    code, out, err = balancebench("rescore", wider, "--jobs", "0")
    assert code == 0, err
    assert "4 steps ran" in out
    assert "train" not in err


def test_show_prints_options_with_types_ranges_defaults_and_meaning(balancebench):
    code, out, _ = balancebench("show", "halving")
    assert code == 0
    for text in ("smallest", "int 1..", "3", "images that the last class keeps", "balancebench-fakes"):
        assert text in out


def test_list_json_names_kind_and_distribution(balancebench):
    listed = json.loads(balancebench("list", "--json")[1])
    assert {
        "kind": "dataset",
        "name": "tiny",
        "distribution": "balancebench-fakes",
        "summary": "Three grey levels.",
    } in (listed["components"])


def test_the_schema_accepts_known_options_and_lists_no_others(balancebench):
    schema = json.loads(balancebench("schema")[1])
    rules = schema["properties"]["classifier"]["items"]["allOf"]
    entries = {rule["if"]["properties"]["use"]["enum"][0]: rule["then"] for rule in rules}
    assert set(entries["means"]["properties"]) == {
        "use",
        "label",
        "sweep",
        "epochs",
        "epoch_factors",
        "says_phases",
        "seconds",
    }
    assert entries["means"]["additionalProperties"] is False


@pytest.fixture
def bf16(monkeypatch):
    """Say of this machine's processor whether it has bf16, and that it has no GPU."""
    from balancebench.execution import devices, precision

    def has(answer):
        for module in (devices, precision):
            monkeypatch.setattr(module, "processor_has_bf16", lambda: answer)
        monkeypatch.setattr(devices, "_signs_of_cuda", lambda: False)
        monkeypatch.setattr(devices.platform, "system", lambda: "Linux")

    return has


def test_plan_and_run_say_once_that_a_processor_with_bf16_would_be_faster(balancebench, suite_file, bf16):
    bf16(True)
    assert balancebench("plan", suite_file())[1].count('precision = "bf16" in [run]') == 1
    code, out, err = balancebench("run", suite_file(), "--jobs", "0", "--device", "cpu")
    assert code == 0, err
    assert (out + err).count('precision = "bf16" in [run]') == 1
    assert "bf16" not in balancebench("plan", suite_file())[1]  # nothing is left to run
    assert "bf16" not in balancebench("run", suite_file(), "--jobs", "0", "--device", "cpu")[2]


def test_plan_and_run_warn_of_bf16_on_a_processor_without(balancebench, suite_file, bf16):
    bf16(False)
    path = suite_file(replace={"[run]": '[run]\nprecision = "bf16"'})
    assert "no bf16 in hardware" in balancebench("plan", path)[1]
    assert "no bf16 in hardware" in balancebench("run", path, "--jobs", "0", "--device", "cpu")[2]


@pytest.mark.parametrize(
    ("answer", "said"), [(True, "in this processor's hardware"), (False, "slower than fp32"), (None, "unknown")]
)
def test_doctor_says_whether_the_processor_has_bf16(balancebench, bf16, answer, said):
    bf16(answer)
    assert said in balancebench("doctor")[1]
    assert json.loads(balancebench("doctor", "--json")[1])["processor_has_bf16"] is answer


def test_doctor_says_versions_devices_and_store(balancebench, suite_file):
    balancebench("run", suite_file(), "--jobs", "0")
    diagnosis = json.loads(balancebench("doctor", "--json")[1])
    assert diagnosis["versions"]["torch"]
    assert diagnosis["devices"]
    assert diagnosis["store_bytes"] > 0
    assert diagnosis["plugins"]["balancebench-fakes"] == "0.1"


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_list_and_show_cut_no_name_whatever_the_terminals_width(balancebench, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    names = [component["name"] for component in json.loads(balancebench("list", "--json")[1])["components"]]
    listed = balancebench("list")[1]
    assert [name for name in names if name not in listed] == []
    shown = balancebench("show", "stable_diffusion")[1]
    (described,) = json.loads(balancebench("show", "stable_diffusion", "--json")[1])
    assert [option for option in described["options"]["properties"] if option not in shown] == []


def test_list_takes_one_kind_in_the_plural_and_one_plugin_by_its_short_name(balancebench):
    out = balancebench("list", "balancers", "--plugin", "resampling")[1]
    assert "balancers from balancebench-resampling" in out
    assert "crt" not in out
    assert balancebench("list", "--plugin", "resamplin")[0] == 2


def test_what_is_piped_is_not_cut_to_the_width_of_a_terminal(balancebench, monkeypatch):
    columns = balancebench("list", "balancers", "--plugin", "longtail")[1]
    monkeypatch.delenv("COLUMNS")
    piped = balancebench("list", "balancers", "--plugin", "longtail")[1]
    assert max(map(len, map(str.rstrip, piped.splitlines()))) > 120
    assert len(piped.splitlines()) < len(columns.splitlines())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ray-address", "10.0.0.1:6379"), "give that too"),
        (("--executor", "ray", "--jobs", "0"), "leave one out"),
        (("--executor", "rya"), "did you mean 'ray'"),
    ],
)
def test_options_of_executors_that_contradict_are_refused(balancebench, fakes, suite_file, options, message):
    code, _, err = balancebench("run", suite_file(), *options)
    assert code == 2
    assert message in " ".join(err.split())


def test_an_executor_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "balancebench.execution.ray_executor", raising=False)
    monkeypatch.delitem(sys.modules, "balancebench.execution.ray_nodes", raising=False)
    with pytest.raises(BalancebenchError, match=r"balancebench\[ray\]"):
        start_executor("ray", Site(store_root=tmp_path, data_root=tmp_path))
