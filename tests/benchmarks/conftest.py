"""Benchmarks are no part of a distribution: they are imported from the repository."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))


@pytest.fixture
def run_benchmark(monkeypatch, capsys):
    """Run a benchmark in this process as it is run from a shell; return what --json printed."""

    def run(name, *options):
        monkeypatch.setattr(sys, "argv", [name, "--json", *options])
        import_module(f"benchmarks.{name}").main()
        return json.loads(capsys.readouterr().out)

    return run
