"""What a step does about its GPU, told without one: only its work starts CUDA, and what fails is on the record."""

import os
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from balancebench import BalancebenchError
from balancebench.device_sharing import WORKERS_VARIABLE
from balancebench.execution import inline, processes
from balancebench.execution.executor import Site
from balancebench.execution.run_plan import run_plan
from balancebench.execution.worker import CUBLAS_WORKSPACE
from balancebench.stages import memory, start_up
from balancebench.stages.process_state import guarded_process
from balancebench.stages.run_step import _is_out_of_memory
from balancebench.training.reproducibility import backend_settings

GPU = "cuda:0"


@pytest.fixture
def without_cuda(monkeypatch):
    """CUDA as it is before it begins: nothing may be asked of it."""

    def refuse(*_arguments, **_names):
        raise RuntimeError("Invalid device argument 0: did you call init?")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    for name in ("reset_peak_memory_stats", "max_memory_allocated", "max_memory_reserved", "get_device_name"):
        monkeypatch.setattr(torch.cuda, name, refuse)


@pytest.fixture
def with_cuda(monkeypatch):
    """CUDA as it is once it has begun."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _device: 5 * 2**30)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _device: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a GPU")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _device: None)
    monkeypatch.setattr(start_up, "_wake", lambda _device: None)


def run_here(harness, plan, monkeypatch):
    monkeypatch.setattr(inline, "slot_devices", lambda *_arguments, **_names: [GPU])
    return run_plan(plan, harness.store, executor="inline", device="cpu")


def test_peaks_are_asked_for_before_cuda_has_begun(without_cuda):
    memory.reset_peak_memory(GPU)
    assert memory.peak_memory_bytes(GPU) > 2**20
    assert memory.gpu_memory(GPU) == (0, 0)


def test_every_step_is_run_where_cuda_has_not_begun(harness, without_cuda, monkeypatch):
    monkeypatch.setattr(start_up, "_wake", lambda _device: None)
    plan = harness.plan()
    outcome = run_here(harness, plan, monkeypatch)
    assert outcome.failed == []
    assert "device_name" not in harness.record(plan, "train", "none").provenance


def test_a_device_that_does_not_wake_ends_its_step_and_not_the_run(harness, without_cuda, monkeypatch):
    def full(_device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(start_up, "_wake", full)
    monkeypatch.setattr(start_up, "_WOKEN", set())
    assert run_here(harness, harness.plan(), monkeypatch).failed == []  # none of these steps computes with torch
    assert GPU not in start_up._WOKEN


def test_steps_that_compute_on_no_gpu_say_nothing_of_one(harness, with_cuda, monkeypatch):
    plan = harness.plan()
    run_here(harness, plan, monkeypatch)
    load, train = (harness.record(plan, stage, "none") for stage in ("load", "train"))
    assert train.peak_memory_bytes == 5 * 2**30
    assert train.provenance["device_name"] == "a GPU"
    assert load.peak_memory_bytes != 5 * 2**30
    assert "device_name" not in load.provenance
    assert (train.provenance["tf32"], load.provenance.get("tf32")) == ("off", None)


def test_a_process_whose_cuda_refuses_all_work_is_given_up(harness, with_cuda, monkeypatch):
    def refuse(_device):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "synchronize", refuse)
    plan = harness.plan('[[balancer]]\nuse = "misbehaving"\nhow = "raise"\n', replace={"seeds = [0, 1]": "seeds = [0]"})
    with pytest.raises(BalancebenchError, match="CUDA, which refuses all work after such an error"):
        run_here(harness, plan, monkeypatch)
    assert "CUDA" in harness.record(plan, "synthesise", "misbehaving").provenance["process_replaced_for"]


@pytest.fixture
def tf32_allowed():
    """As torch has it, and as a careless program leaves it."""
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    yield
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_float32_matmul_precision(before[1])


def tf32():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_no_step_computes_float32_as_tf32_and_what_was_set_is_put_back(tf32_allowed):
    with guarded_process("0" * 64, 1, is_worker=False) as changes:
        assert tf32() == (False, False)
        torch.backends.cudnn.allow_tf32 = True
    assert changes.restored == ["cuDNN's TF32 flag"]
    assert tf32() == (True, True)


@pytest.mark.parametrize("deterministic", [False, True])
def test_no_training_computes_float32_as_tf32_and_what_was_set_is_put_back(tf32_allowed, deterministic):
    with backend_settings(deterministic=deterministic):
        assert tf32() == (False, False)
    assert tf32() == (True, True)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_memory_that_cuda_itself_lacks_counts_as_out_of_memory(message):
    assert _is_out_of_memory(RuntimeError(message))
    assert not _is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


@pytest.mark.parametrize(
    ("workers", "idle_mib", "given_back"),
    [(1, 100, 0), (1, 5000, 1), (2, 100, 1)],
    ids=["little", "much", "in company"],
)
def test_idle_memory_is_given_back_where_somebody_else_could_use_it(
    with_cuda, monkeypatch, workers, idle_mib, given_back
):
    calls = []
    monkeypatch.setenv(WORKERS_VARIABLE, str(workers))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _device: 2**33)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: (1000 + idle_mib) * 2**20)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: 1000 * 2**20)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: SimpleNamespace(total_memory=2**36))
    monkeypatch.setattr(torch.cuda, "device", lambda _device: nullcontext())
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("given back"))
    assert memory.gpu_memory(GPU) == (2**33, 2**36)
    assert len(calls) == given_back


def test_workers_are_told_how_many_share_their_gpu(harness, monkeypatch):
    monkeypatch.setattr(processes, "slot_devices", lambda *_arguments, **_names: [GPU, "cuda:1", GPU])
    executor = processes.ProcessExecutor(Site(store_root=harness.store.root, data_root=harness.store.root, most=3))
    assert [slot.settings["workers_on_device"] for slot in executor._slots] == [2, 1, 2]
    executor.close()


def test_matrix_products_repeat_in_a_run_without_workers_as_in_one_with_them(harness, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    inline.InlineExecutor(Site(store_root=harness.store.root, data_root=harness.store.root, device="cpu"))
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG") == CUBLAS_WORKSPACE
