"""The example of CONTRIBUTING.md is complete: its files are written, built, checked and run as they stand there."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL))
RUN = "from balancebench.cli import main; main()"


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The example's files in a folder of their own, its wheel unpacked beside them as an installer would."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("example")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheels")]
    subprocess.run(build, cwd=folder / "plugins" / "noisy", check=True, capture_output=True)
    (wheel,) = (folder / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder


def python(folder, *arguments):
    installed = os.pathsep.join([str(folder / "installed"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": installed, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_example_has_all_the_files_that_the_steps_speak_of():
    assert [Path(name).name for name in FILES] == [
        "pyproject.toml",
        "__init__.py",
        "options.py",
        "noisy_replication.py",
        "plugin.py",
        "test_noisy_replication.py",
        "noisy.toml",
    ]


def test_the_examples_own_tests_pass_the_conformance_kit_among_them(example):
    tested = python(example, "-m", "pytest", "-q", "-p", "no:cacheprovider", "plugins/noisy/tests")
    assert tested.returncode == 0, tested.stdout
    assert int(re.search(r"(\d+) passed", tested.stdout).group(1)) > 25
    assert "skipped" not in tested.stdout


def test_the_examples_suite_is_valid_and_runs_small(example):
    validated = python(example, "-c", RUN, "validate", "suites/noisy.toml")
    assert validated.returncode == 0, validated.stderr
    assert "profile smoke: good" in validated.stdout
    ran = python(example, "-c", RUN, "run", "suites/noisy.toml", "--profile", "smoke", "--jobs", "0", "--device", "cpu")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    table = (example / "results" / "noisy.smoke" / "leaderboard.md").read_text(encoding="utf-8")
    assert "| noisy_replication(noise_levels=5) " in table


def test_the_example_is_as_clean_as_the_gate_wants_it(example):
    pytest.importorskip("ruff", reason="ruff is not installed")
    sources = [name for name in FILES if name.endswith(".py")]
    settings = [
        "--config",
        str(ROOT / "pyproject.toml"),
        "--config",
        "lint.isort.known-first-party=['balancebench']",
        "--no-cache",
    ]
    for command in (["check", *settings], ["format", "--check", *settings]):
        checked = python(example, "-m", "ruff", *command, *sources)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_command_and_file_the_page_names_exists():
    from balancebench.cli.main import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert set(re.findall(r"(?:uv run |`)balancebench ([a-z]+)", PAGE)) <= commands
    for linked in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (ROOT / linked).exists(), linked
