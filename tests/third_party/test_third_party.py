"""Plugins of strangers: built as wheels, installed into an environment of their own, found by their entry points."""

import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OK, USAGE = 0, 2
# The console script `balancebench`, which is not installed there: it is looked up as pip would look it up.
CONSOLE_SCRIPT = (
    "from importlib.metadata import entry_points\n"
    "(script,) = {found.value for found in entry_points(group='console_scripts', name='balancebench')}\n"
    "module, _, function = script.partition(':')\n"
    "getattr(__import__(module, fromlist=[function]), function)()\n"
)
SUITE = """
schema = 1
name = "strangers"
metrics = [{metric}]

[run]
seeds = [0]
ceiling = false

[[dataset]]
use = "digits"
images_per_class = 20

[[imbalancer]]
use = "long_tail"
imbalance_ratio = 5

[[balancer]]
use = "{balancer}"

[[classifier]]
use = "small_cnn"
width = 4
epochs = 1
"""


class Environment:
    """A fresh virtual environment that sees the project's own environment behind its own packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        (self.site_packages,) = (
            folder.glob("lib/python*/site-packages") if os.name != "nt" else [folder / "Lib/site-packages"]
        )
        # addsitedir, not a bare path: it reads the .pth files by which editable installs are found.
        bridge = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        (self.site_packages / "project_environment.pth").write_text(bridge, encoding="utf-8")

    def install(self, wheel: Path) -> None:
        uv = os.environ.get("UV") or shutil.which("uv")
        command = (
            [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(self.python)]
            if uv
            else [
                sys.executable,
                "-m",
                "pip",
                "--quiet",
                "--python",
                str(self.python),
                "install",
                "--no-index",
                "--no-deps",
            ]
        )
        subprocess.run([*command, str(wheel)], check=True)

    def balancebench(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return self.run(CONSOLE_SCRIPT, *arguments, cwd=cwd)

    def run(self, code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return subprocess.run(
            [str(self.python), "-c", code, *arguments],
            cwd=cwd,
            env={**outside, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@pytest.fixture(scope="module")
def new_environment(tmp_path_factory):
    """Return names of plugin folders -> an environment with their wheels installed."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheels, is not installed")

    def make(*plugins: str) -> Environment:
        folder = tmp_path_factory.mktemp("third_party")
        environment = Environment(folder / "venv")
        for plugin in plugins:
            source = shutil.copytree(HERE / plugin, folder / plugin, ignore=shutil.ignore_patterns("__pycache__"))
            build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheels")]
            subprocess.run(build, cwd=source, check=True, capture_output=True)
            shutil.rmtree(source)
            (wheel,) = (folder / "wheels").glob(f"balancebench_{plugin}-*.whl")
            environment.install(wheel)
        return environment

    return make


@pytest.fixture(scope="module")
def with_flip(new_environment):
    return new_environment("flip")


@pytest.fixture(scope="module")
def with_broken(new_environment):
    return new_environment("broken_import", "broken_declaration")


def write_suite(folder: Path, balancer: str, metric: str = '"balanced_accuracy"') -> str:
    (folder / "suite.toml").write_text(SUITE.format(balancer=balancer, metric=metric), encoding="utf-8")
    return "suite.toml"


def test_an_installed_wheel_is_found_by_its_entry_point(with_flip, tmp_path):
    listed = with_flip.balancebench("list", "--json", cwd=tmp_path)
    assert listed.returncode == OK, listed.stderr
    listing = json.loads(listed.stdout)
    assert not listing["broken"]
    mine = {
        (entry["kind"], entry["name"])
        for entry in listing["components"]
        if entry["distribution"] == "balancebench-flip"
    }
    assert mine == {("balancer", "flip_oversampling"), ("metric", "worst_class_accuracy")}
    shown = with_flip.balancebench("show", "flip_oversampling", cwd=tmp_path).stdout
    assert "how much of the gap to the largest class is filled" in shown


def test_a_suite_runs_with_a_strangers_balancer_and_metric(with_flip, tmp_path):
    suite = write_suite(tmp_path, "flip_oversampling", '"worst_class_accuracy", "accuracy"')
    ran = with_flip.balancebench("run", suite, "--jobs", "1", "--device", "cpu", cwd=tmp_path)
    assert ran.returncode == OK, ran.stdout + ran.stderr
    assert "flip_oversampling" in ran.stdout
    records = [json.loads(path.read_text()) for path in tmp_path.glob("balancebench-store/**/record.json")]
    synthesis_record = next(record for record in records if record["stage"] == "synthesise")
    assert synthesis_record["identity"]["components"]["component"]["component"] == "balancebench-flip:flip_oversampling"
    assert synthesis_record["provenance"]["plugins"]["balancebench-flip"] == "0.3.1"
    (table,) = (tmp_path / "results" / "strangers").glob("*.csv")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["balancer"] for row in rows} == {"none", "flip_oversampling"}
    assert {row["metric"] for row in rows} >= {"worst_class_accuracy", "accuracy"}


def test_a_stranger_runs_the_conformance_kit_on_an_installed_plugin(with_flip, tmp_path):
    code = (
        "from balancebench.testing import collect_checks\n"
        "from balancebench_flip import plugin\n"
        "checks = collect_checks(plugin)\n"
        "for check in checks:\n"
        "    check()\n"
        "print(plugin.__file__, len(checks))\n"
    )
    checked = with_flip.run(code, cwd=tmp_path)
    assert checked.returncode == OK, checked.stderr
    file, count = checked.stdout.split()
    assert Path(file).is_relative_to(with_flip.site_packages)
    assert int(count) > 40


def test_list_shows_broken_plugins_with_distribution_entry_point_and_error(with_broken, tmp_path):
    listed = with_broken.balancebench("list", cwd=tmp_path)
    assert listed.returncode == OK, listed.stderr
    (line,) = [line for line in listed.stdout.splitlines() if "balancebench-broken-import" in line]
    assert "(entry point broken_import): ModuleNotFoundError: No module named 'a_library_that_does_not_exist'" in line
    (line,) = [line for line in listed.stdout.splitlines() if "balancebench-broken-declaration" in line]
    assert "(entry point broken_declaration): PluginError: balancebench_balancers returned 'my_balancer'" in line
    assert "small_cnn" in listed.stdout


def test_doctor_works_and_shows_broken_plugins(with_broken, tmp_path):
    examined = with_broken.balancebench("doctor", "--json", cwd=tmp_path)
    assert examined.returncode == OK, examined.stderr
    broken = json.loads(examined.stdout)["broken"]
    assert {entry.partition(" ")[0] for entry in broken} == {
        "balancebench-broken-import",
        "balancebench-broken-declaration",
    }


def test_a_suite_that_needs_no_broken_plugin_runs_and_names_what_was_left_out(with_broken, tmp_path):
    ran = with_broken.balancebench("run", write_suite(tmp_path, "none"), "--jobs", "0", "--device", "cpu", cwd=tmp_path)
    assert ran.returncode == OK, ran.stdout + ran.stderr
    assert "Broken plugin, left out: balancebench-broken-import" in ran.stderr
    assert (tmp_path / "results" / "strangers").is_dir()


def test_a_suite_that_needs_a_broken_plugin_names_it_and_ends_with_2(with_broken, tmp_path):
    for command in ("validate", "run"):
        refused = with_broken.balancebench(command, write_suite(tmp_path, "my_balancer"), cwd=tmp_path)
        assert refused.returncode == USAGE, refused.stdout + refused.stderr
        assert "unknown balancer 'my_balancer'" in refused.stderr
        assert "balancebench-broken-declaration (entry point broken_declaration)" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not (tmp_path / "balancebench-store").exists()
