"""The device of these tests: CUDA, or what BALANCEBENCH_CHECK_DEVICE names, "cpu" for a rehearsal without a GPU."""

from __future__ import annotations

import os

import pytest

from balancebench.execution.worker import CUBLAS_WORKSPACE
from balancebench.testing.subject import DEVICE_VARIABLE

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)  # read when CUDA starts


@pytest.fixture
def gpu():
    import torch

    device = os.environ.get(DEVICE_VARIABLE) or "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip(f"needs a CUDA device; {DEVICE_VARIABLE}=cpu rehearses it on the processor")
    return device
