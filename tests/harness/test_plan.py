"""The matrix becomes a DAG of steps with keys that depend on what decides the outcome, and on nothing else."""

import hashlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from balancebench.matrix import is_plain
from balancebench.plan import expand
from balancebench.step import inputs_json, step_from_json, step_to_json
from balancebench.suite.bind import bind_suite


def plan_of(path, registry, profile=None):
    return expand(bind_suite(path, registry, profile))


def of_stage(plan, stage):
    return [step for step in plan.steps.values() if step.stage == stage]


SYNTHETIC = '\n[[balancer]]\nuse = "misbehaving"\nhow = "none"\n'


def test_expand_shares_the_generator_between_classifiers(fakes, suite_file):
    plan = plan_of(suite_file(SYNTHETIC + '\n[[classifier]]\nuse = "means"\nlabel = "longer"\nepochs = 5\n'), fakes)
    assert len(of_stage(plan, "synthesise")) == 2  # one a seed
    users = {cell.task.classifier for cell in plan.cells if "synthesise" in cell.steps}
    assert users == {"means", "longer"}


def test_every_balancer_of_a_task_and_seed_is_given_the_same_subset(fakes, suite_file):
    plan = plan_of(suite_file(SYNTHETIC), fakes)
    subsets = {}
    for cell in plan.cells:
        if cell.role != "ceiling":
            subsets.setdefault((cell.task, cell.seeds), set()).add(cell.steps["imbalance"])
    assert all(len(keys) == 1 for keys in subsets.values())
    assert len({next(iter(keys)) for keys in subsets.values()}) == 2


def test_floor_and_ceiling_are_added_unless_the_suite_says_not(fakes, suite_file):
    only_synthetic = {'use = "none"': 'use = "misbehaving"'}
    plan = plan_of(suite_file(replace=only_synthetic), fakes)
    assert [cell.role for cell in plan.cells] == ["floor", "floor", "entry", "entry", "ceiling", "ceiling"]
    without = {**only_synthetic, "seeds = [0, 1]": "seeds = [0, 1]\nfloor = false\nceiling = false"}
    assert {cell.role for cell in plan_of(suite_file(replace=without), fakes).cells} == {"entry"}


@pytest.mark.parametrize("name", ["balancebench-fakes:none", "zoo:none", "balancebench:nothing", "balancebench:n"])
def test_only_the_cores_own_none_is_a_floor(name):
    own = SimpleNamespace(qualified_name="balancebench:none")
    assert is_plain(own, own)
    assert not is_plain(SimpleNamespace(qualified_name=name), own)


def test_the_ceiling_trains_on_all_images(fakes, suite_file):
    plan = plan_of(suite_file(), fakes)
    ceiling = next(cell for cell in plan.cells if cell.role == "ceiling")
    assert plan.steps[ceiling.steps["imbalance"]].components["component"].component == "balancebench:none"


def test_a_natural_imbalance_has_no_ceiling_which_would_be_its_floor(fakes, suite_file):
    natural = '\n[[imbalancer]]\nuse = "none"\nlabel = "as it is"\n'
    plan = plan_of(suite_file(natural, replace={"seeds = [0, 1]": "seeds = [0]"}), fakes)
    roles = {(cell.task.imbalancer, cell.role) for cell in plan.cells}
    assert roles == {("halving", "floor"), ("halving", "ceiling"), ("as it is", "floor")}
    ceiling, natural_floor = (
        next(cell for cell in plan.cells if (cell.task.imbalancer, cell.role) == what)
        for what in (("halving", "ceiling"), ("as it is", "floor"))
    )
    assert natural_floor.steps["score"] == ceiling.steps["score"]


def test_keys_do_not_depend_on_order_suite_name_or_paths(fakes, suite_file):
    first = plan_of(suite_file(SYNTHETIC), fakes)
    reordered = suite_file(
        '\n[[balancer]]\nonce = "/elsewhere"\nhow = "none"\nuse = "misbehaving"\nlabel = "renamed"\n',
        name="other.toml",
        replace={'name = "fakes"': 'name = "another"', "seeds = [0, 1]": "seeds = [1, 0]"},
    )
    assert set(plan_of(reordered, fakes).steps) == set(first.steps)


def test_keys_change_with_options_and_seeds_of_what_they_cover_alone(fakes, suite_file):
    first = plan_of(suite_file(), fakes)
    longer = plan_of(suite_file("epochs = 5\n"), fakes)
    for stage, same in (("load", True), ("imbalance", True), ("train", False), ("score", False)):
        keys = [{step.key for step in of_stage(plan, stage)} for plan in (first, longer)]
        assert (keys[0] == keys[1]) is same, stage


def test_an_option_given_its_default_changes_no_key(fakes, suite_file):
    assert set(plan_of(suite_file("epochs = 2\n"), fakes).steps) == set(plan_of(suite_file(), fakes).steps)


def test_a_profile_changes_the_keys_of_what_was_computed_but_not_of_the_data(fakes, suite_file):
    path = suite_file('\n[profile.small]\n"run.seeds" = [0]\n')
    full, small = plan_of(path, fakes), plan_of(path, fakes, "small")
    assert {step.key for step in of_stage(small, "load")} == {step.key for step in of_stage(full, "load")}
    assert not {step.key for step in of_stage(small, "train")} & {step.key for step in of_stage(full, "train")}


def test_exclude_removes_cells_and_include_brings_single_ones_back(fakes, suite_file):
    extra = (
        SYNTHETIC
        + '\n[[classifier]]\nuse = "means"\nlabel = "longer"\nepochs = 5\n'
        + '\n[[exclude]]\nbalancer = "misbehaving"\n[[include]]\nbalancer = "misbehaving"\nclassifier = "longer"\n'
    )
    cells = plan_of(suite_file(extra), fakes).cells
    assert {cell.task.classifier for cell in cells if cell.balancer == "misbehaving"} == {"longer"}
    assert {cell.task.classifier for cell in cells if cell.balancer == "none"} == {"means", "longer"}


def test_a_sweep_makes_an_entry_of_every_combination(fakes, suite_file):
    extra = '\n[[classifier]]\nuse = "means"\nlabel = "m"\nsweep = { epochs = [3, 4], seconds = [0.0, 0.1] }\n'
    labels = {cell.task.classifier for cell in plan_of(suite_file(extra), fakes).cells}
    assert "m(epochs=3, seconds=0.1)" in labels
    assert len(labels) == 5


def test_crossed_seeds_share_subsets_and_generators(fakes, suite_file):
    crossed = {"seeds = [0, 1]": "seeds = { subset = [0, 1], generator = [0], classifier = [0, 1, 2] }"}
    plan = plan_of(suite_file(SYNTHETIC, replace=crossed), fakes)
    assert len(of_stage(plan, "synthesise")) == 2
    assert len({cell.seeds for cell in plan.cells}) == 6


def test_a_wrapped_balancer_is_a_step_of_its_own(fakes, suite_file):
    extra = SYNTHETIC + '\n[[balancer]]\nuse = "wrapping"\nbase = { use = "misbehaving", how = "none" }\n'
    plan = plan_of(suite_file(extra), fakes)
    wrapping = next(cell for cell in plan.cells if cell.balancer == "wrapping")
    base_key = plan.steps[wrapping.steps["synthesise"]].inputs.balancer.base.synthesis
    own = next(cell for cell in plan.cells if cell.balancer == "misbehaving" and cell.seeds == wrapping.seeds)
    assert base_key == own.steps["synthesise"]


def test_the_key_is_the_sha256_of_the_canonical_json_of_everything_that_decides(fakes, suite_file):
    plan = plan_of(suite_file(), fakes)
    step = next(step for step in plan.steps.values() if step.stage == "imbalance")
    identity = {"inputs": inputs_json(step.inputs), "own": json.loads(step.own_identity)}
    assert set(identity["own"]) == {"components", "metrics", "profile", "settings", "stage"}
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    assert step.key == hashlib.sha256(canonical.encode()).hexdigest()


def test_a_step_comes_back_from_a_worker_as_it_was_sent(fakes, suite_file):
    extra = SYNTHETIC + '\n[[balancer]]\nuse = "wrapping"\nbase = { use = "misbehaving", how = "none" }\n'
    for step in plan_of(suite_file(extra), fakes).steps.values():
        assert step_from_json(step_to_json(step)) == step


def test_help_list_plan_and_validate_import_no_torch(suite_file, tmp_path):
    """Run in a fresh interpreter, where nothing else has imported anything."""
    path = suite_file(
        replace={
            "halving": 'long_tail"\nimbalance_ratio = 2\n#',
            "tiny": "digits",
            '"hits"': '"accuracy"',
            "means": "small_cnn",
        }
    )
    code = (
        "import sys, json\n"
        "from typer.testing import CliRunner\n"
        "from balancebench.cli.main import app\n"
        "result = CliRunner().invoke(app, json.loads(sys.argv[1]))\n"
        "assert result.exit_code == 0, (result.output, result.exception)\n"
        "print(json.dumps([name for name in sys.modules if name in ('torch', 'torchvision', 'sklearn', 'imblearn')]))\n"
    )
    for arguments in (
        ["--help"],
        ["list"],
        ["plan", str(path)],
        ["validate", str(path)],
        ["show", "smote"],
        ["schema"],
    ):
        finished = subprocess.run(
            [sys.executable, "-c", code, json.dumps(arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "BALANCEBENCH_STORE": str(tmp_path / "store")},
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        assert json.loads(finished.stdout.splitlines()[-1]) == [], arguments
