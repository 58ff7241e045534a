"""A tiny suite of fake components, the leaderboard of an undisturbed run of it, and commands on copies of its store."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

FAKE_PLUGINS = Path(__file__).parents[1] / "fake_plugins"
TINY = 'use = "tiny"\nsize = 1\n'  # images of one pixel, hard enough for rows and seeds to differ
SUITE = f"""
schema = 1
name = "campaign"
metrics = ["hits"]

[run]
seeds = [0, 1]
report = ["last", "best_test"]

[[dataset]]
{TINY}
[[imbalancer]]
use = "halving"

[[balancer]]
use = "misbehaving"
how = "none"

[[classifier]]
use = "means"
seconds = 0.05
"""
TYPED = "import sys\nsys.path.insert(0, sys.argv.pop(1))\nfrom balancebench.cli import main\nmain()\n"
COMPARED = (
    "dataset",
    "imbalancer",
    "report",
    "rank",
    "balancer",
    "role",
    "mean",
    "std",
    "n",
    "difference_mean",
    "done",
)
NOT_EQUAL = "the leaderboard differs from the undisturbed one, and nothing is said of damage"


class Disturbed(AssertionError):
    """What a round found: a promise that was not kept."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended: exit code, and what it printed on both streams."""

    code: int
    printed: str


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A folder of the campaign. suite: the file. finished, values: store and leaderboard of an undisturbed run."""

    root: Path
    suite: Path
    finished: Path
    values: list[tuple[str, ...]]

    def store(self, *, finished: bool) -> Path:
        """Return the path of a new store: a copy of the finished one, or nothing yet."""
        path = Path(tempfile.mkdtemp(dir=self.root)) / "store"
        if finished:
            shutil.copytree(self.finished, path, symlinks=True)
        return path

    def typed(self, command: str, store: Path, *options: str) -> list[str]:
        """Return the words of a command on a store."""
        out = ["--output", str(store.parent / "out")]
        return [command, str(self.suite), "--store", str(store), *out, "--no-pictures", *options]

    def started(self, store: Path, *options: str) -> subprocess.Popen[str]:
        """Start a run in a process of its own, with workers."""
        arguments = [*self.typed("run", store, "--jobs", "2"), *options]
        return subprocess.Popen(
            [sys.executable, "-c", TYPED, str(FAKE_PLUGINS), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.root,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def check(self, ended: Ended, store: Path, *, complete: bool = True) -> str:
        """Return "equal" or "said"; raise Disturbed where a command broke a promise.

        complete: whether the leaderboard must equal the undisturbed one, or may say what it lacks.
        """
        if "Traceback (most recent call last)" in ended.printed:
            raise Disturbed(f"a traceback:\n{ended.printed[-3000:]}")
        try:
            values = leaderboard_values(store.parent / "out")
        except FileNotFoundError:
            values = []
        if values == self.values:
            return "equal"
        if complete or (ended.code == 0 and not said(ended.printed)):
            raise Disturbed(f"{NOT_EQUAL} (exit code {ended.code}):\n{ended.printed[-3000:]}")
        return "said"


def said(printed: str) -> bool:
    """Say whether a command named something that is not as it should be."""
    words = (
        "cannot be",
        "not known",
        "damaged",
        "Damaged",
        "missing",
        "not done",
        "has not been run",
        "failed",
        "there is no",
        "left out",
    )
    return any(word in printed for word in words)


def set_scene(root: Path) -> Scene:
    """Run the suite undisturbed."""
    sys.path.insert(0, str(FAKE_PLUGINS))
    suite = root / "campaign.toml"
    suite.write_text(SUITE, encoding="utf-8")
    scene = Scene(root=root, suite=suite, finished=root / "finished" / "store", values=[])
    ended = in_process(scene.typed("run", scene.finished, "--jobs", "0"))
    assert ended.code == 0, ended.printed
    return Scene(
        root=root, suite=suite, finished=scene.finished, values=leaderboard_values(scene.finished.parent / "out")
    )


def leaderboard_values(folder: Path) -> list[tuple[str, ...]]:
    """Return what a leaderboard says, without times and memory."""
    with (folder / "leaderboard.csv").open(encoding="utf-8") as file:
        return [tuple(row.get(name) or "" for name in COMPARED) for row in csv.DictReader(file)]


def in_process(arguments: list[str]) -> Ended:
    """Type a command in this process; a traceback stands in what it printed."""
    from balancebench.cli.main import main

    printed = io.StringIO()
    before = sys.argv
    sys.argv = ["balancebench", *arguments]
    code = 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except Exception:  # noqa: BLE001 - that is what is looked for
            code = 70
            printed.write(traceback.format_exc())
        finally:
            sys.argv = before
    return Ended(code=code, printed=printed.getvalue())


def wait(run: subprocess.Popen[str], seconds: float = 300) -> Ended:
    """Wait for a run; one that does not end is a promise broken."""
    try:
        printed = run.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        run.kill()
        raise Disturbed(f"a run did not end within {seconds:g} s:\n{run.communicate()[0][-2000:]}") from None
    return Ended(code=run.returncode, printed=printed)


def chance_of(seed: int, name: str, number: int) -> random.Random:
    """Return the generator of one round, the same for the same seed, disturbance and number."""
    return random.Random(f"{seed}/{name}/{number}")
