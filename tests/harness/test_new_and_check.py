"""A skeleton is a start that works: it passes its own tests, the conformance kit, and its suite is valid."""

import json
import os
import subprocess
import sys

import pytest

from balancebench.component import KINDS
from balancebench.registry import load_registry

METADATA = "Metadata-Version: 2.1\nName: balancebench-my-{kind}\nVersion: 0.1.0\n"


@pytest.fixture
def skeletons(call, tmp_path, monkeypatch):
    """One plugin of each kind, as if it were installed; returns the folder that they lie in."""
    for kind in KINDS:
        assert call("new", kind, f"my_{kind}")[0] == 0
        folder = tmp_path / f"my_{kind}"
        monkeypatch.syspath_prepend(str(folder))
        information = folder / f"balancebench_my_{kind}-0.1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(METADATA.format(kind=kind))
        (information / "entry_points.txt").write_text(f"[balancebench]\nmy_{kind} = balancebench_my_{kind}.plugin\n")
    load_registry.cache_clear()
    yield tmp_path
    load_registry.cache_clear()


def test_every_skeleton_passes_its_own_tests(skeletons):
    folders = [str(skeletons / f"my_{kind}") for kind in KINDS]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", *folders],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        cwd=skeletons,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_skeleton_keeps_what_the_harness_relies_on_and_has_a_valid_suite(skeletons, call):
    for kind in KINDS:
        code, out, err = call("check", f"my_{kind}", "--json")
        assert code == 0, out + err
        assert {entry["status"] for entry in json.loads(out)["checks"]} <= {"passed", "skipped"}
        code, out, err = call("validate", skeletons / f"my_{kind}" / "suite.toml")
        assert code == 0, out + err


def test_a_new_suite_runs(call):
    assert call("new", "suite", "mine")[0] == 0
    code, out, err = call("run", "mine.toml", "--profile", "smoke", "--no-pictures", "--jobs", "0")
    assert code == 0, err
    assert "smote" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "balancr", "mine"], "there is no skeleton of a 'balancr' (did you mean 'balancer'?)"),
        (["new", "balancer", "My-Method"], "is not lower_snake_case: write my_method"),
        (["new", "balancer", "class"], "is not lower_snake_case"),
        (["new", "balancer", "taken"], "is there already and not empty"),
        (["new", "suite", "taken"], "nothing is written over it"),
        (["check", "nowhere"], "there is no plugin 'nowhere'; is it installed?"),
        (["check", "balancebench-resampling", "--only", "smot"], "(did you mean 'smote'?)"),
    ],
)
def test_what_cannot_be_made_or_checked_is_said(call, tmp_path, arguments, message):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.py").touch()
    (tmp_path / "taken.toml").write_text("mine")
    code, _, err = call(*arguments)
    assert code == 2
    assert message in err
    assert (tmp_path / "taken.toml").read_text() == "mine"


def test_a_plugin_that_breaks_a_rule_is_told_which_and_ends_with_exit_code_1(call):
    code, out, _ = call("check", "balancebench_fakes", "--only", "misbehaving")
    assert code == 1
    assert "failed  balancer misbehaving:" in out
    assert "the fake balancer raised" in out
    assert "Traceback" not in out
    assert "Traceback" in call("check", "balancebench_fakes", "--only", "misbehaving", "--debug")[1]
