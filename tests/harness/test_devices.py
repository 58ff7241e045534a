"""Slots of a run: GPUs take turns, a suite's hint counts for each GPU, and what --jobs says counts for all."""

import pytest

from balancebench import BalancebenchError
from balancebench.execution import devices


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(devices, "_cuda_count", lambda: 2)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("jobs", "jobs_per_gpu", "expected"),
    [
        (None, 1, ["cuda:0", "cuda:1"]),
        (None, 2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]),
        (3, 1, ["cuda:0", "cuda:1", "cuda:0"]),
        (1, 4, ["cuda:0"]),
    ],
)
def test_gpus_take_turns(jobs, jobs_per_gpu, expected):
    assert devices.slot_devices("auto", jobs, jobs_per_gpu) == expected


def test_the_hint_for_gpus_says_nothing_of_the_cpu():
    assert devices.slot_devices("cpu", None, 8) == ["cpu"] * devices.default_jobs()


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(devices, "_cuda_count", lambda: 0)
    with pytest.raises(BalancebenchError, match="no CUDA device"):
        devices.slot_devices("cuda", None)


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: 8)
    assert [devices.threads_for(slots) for slots in (1, 2, 3, 8, 100)] == [8, 4, 2, 1, 1]
