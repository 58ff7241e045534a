"""A finished run of the fake suite, whose data can be read back with NumPy alone."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from balancebench.execution.run_plan import run_plan
from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard
from balancebench.pictures.picture_files import write_pictures
from balancebench.pictures.scene import set_scene
from balancebench.plan import expand
from balancebench.registry import load_registry
from balancebench.store import Store
from balancebench.suite.bind import bind_suite

CAN_DRAW = find_spec("vl_convert") is not None
TESTS = Path(__file__).parents[1]
FAKE_PLUGINS = TESTS / "fake_plugins"
FAKE_SUITE = """
schema = 1
name = "fakes"
metrics = ["hits"]

[run]
seeds = [0, 1]

[[dataset]]
use = "tiny"

[[imbalancer]]
use = "halving"

[[balancer]]
use = "none"

[[classifier]]
use = "means"
"""

SYNTHESISING = """
[[balancer]]
use = "misbehaving"
how = "none"
label = "two more <&> of dark"
"""


def skip_without_drawing():
    if not CAN_DRAW:
        pytest.skip("pictures are drawn with vl-convert, which is not installed")


class Run:
    """A suite with a store and a folder for its leaderboard."""

    def __init__(self, plan, root):
        self.plan = plan
        self.store = Store.open(root / "store")
        self.folder = root / "out"

    def execute(self, registry):
        run_plan(self.plan, self.store, registry=registry, executor="inline", device="cpu")

    @property
    def board(self):
        return build_leaderboard(self.plan.suite, collect(self.plan, self.store))

    @property
    def scene(self):
        return set_scene(self.plan, self.store, self.board)

    def path(self, cell, stage, name):
        return self.store.folder(cell.steps[stage]) / name

    def draw(self, which="changed", folder=None):
        skip_without_drawing()
        drawn = []
        gallery = write_pictures(
            self.plan,
            self.store,
            folder or self.folder,
            self.board,
            which=which,
            on_picture=lambda done, total, title: drawn.append(title),
        )
        return gallery, [title for title in drawn if title]


@pytest.fixture
def run_suite(fakes, suite_file, tmp_path):
    """Run a suite into tmp_path/store."""

    def run(extra="", replace=None):
        suite_run = Run(expand(bind_suite(suite_file(extra, replace=replace), fakes)), tmp_path)
        suite_run.execute(fakes)
        return suite_run

    return run


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A run with its pictures, made once: tests get copies."""
    root = tmp_path_factory.mktemp("template")
    suite = root / "suite.toml"
    suite.write_text(
        FAKE_SUITE.replace("[run]", '[run]\nreport = ["last", "best_test"]') + SYNTHESISING, encoding="utf-8"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FAKE_PLUGINS))
        load_registry.cache_clear()
        suite_run = Run(expand(bind_suite(suite, load_registry())), root)
        suite_run.execute(load_registry())
        load_registry.cache_clear()
    if CAN_DRAW:
        gallery, _ = suite_run.draw()
        assert gallery.problems == ()
    return suite_run


@pytest.fixture
def finished(template, tmp_path):
    """Floor, a balancer that makes two images of class "dark", and ceiling, over two seeds, with test epochs."""
    shutil.copytree(template.store.root, tmp_path / "store")
    return Run(template.plan, tmp_path)


@pytest.fixture
def drawing():
    """Of tests that draw by a command."""
    skip_without_drawing()


@pytest.fixture
def drawn(finished, template):
    """The same, with its pictures."""
    skip_without_drawing()
    shutil.copytree(template.folder, finished.folder)
    return finished


@pytest.fixture
def no_drawing(monkeypatch):
    """Make importing what draws an error."""
    for name in ("altair", "vl_convert", "PIL", "PIL.Image"):
        monkeypatch.setitem(sys.modules, name, None)
