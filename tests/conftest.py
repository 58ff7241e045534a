"""Fixtures of the harness's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from balancebench.cli.main import main
from balancebench.registry import load_registry

FAKE_PLUGINS = Path(__file__).parent / "fake_plugins"

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


@pytest.fixture
def fakes(monkeypatch):
    """The registry with the fake plugin installed; worker processes find it too, through sys.path."""
    monkeypatch.syspath_prepend(str(FAKE_PLUGINS))
    load_registry.cache_clear()
    yield load_registry()
    load_registry.cache_clear()


@pytest.fixture
def suite_file(tmp_path):
    """Write a suite: the fake one, with text added at its end or replaced."""

    def write(extra: str = "", name: str = "suite.toml", replace: dict[str, str] | None = None) -> Path:
        text = FAKE_SUITE
        for old, new in (replace or {}).items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text + extra, encoding="utf-8")
        return path

    return write


@pytest.fixture
def call(fakes, monkeypatch, tmp_path, capsys):
    """Type a command in a folder of its own, on a terminal of 120 columns; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BALANCEBENCH_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def typed(*arguments):
        monkeypatch.setattr("sys.argv", ["balancebench", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return typed
