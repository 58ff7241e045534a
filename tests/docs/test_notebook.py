"""The tutorial notebook runs from its first cell to its last, in an empty folder."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "tutorial.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_and_balances_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "smote" in str(notebook.cells[3].outputs)
    assert "random_oversampling" in str(notebook.cells[5].outputs)
    assert "{'0': 40, '1': 40, '2': 40}" in str(notebook.cells[-1].outputs)


def test_the_notebook_is_committed_without_outputs():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert all(not cell.get("outputs") for cell in cells)
