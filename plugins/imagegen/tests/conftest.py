from __future__ import annotations

import pytest
import torch

from balancebench_imagegen.tiny_pipeline import save_tiny_pipeline


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The folder of a pipeline of random weights."""
    path = tmp_path_factory.mktemp("pipelines") / "tiny"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_tiny_pipeline(path)
    return path
