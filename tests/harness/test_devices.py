"""Slots of a run: GPUs take turns, a suite's hint counts for each GPU, and what --jobs says counts for all.

And what is said of the precision that a processor is asked for.
"""

from types import SimpleNamespace

import pytest

from balancebench import BalancebenchError
from balancebench.execution import devices
from balancebench.execution.precision import precision_advice


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(devices, "_cuda_count", lambda: 2)
    monkeypatch.setattr(devices, "_signs_of_cuda", lambda: True)


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
    assert devices.slot_devices("auto", jobs, jobs_per_gpu=jobs_per_gpu) == expected


def test_the_hint_for_gpus_says_nothing_of_the_cpu():
    assert devices.slot_devices("cpu", None, jobs_per_gpu=8) == ["cpu"] * devices.default_jobs(1)


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(devices, "_cuda_count", lambda: 0)
    with pytest.raises(BalancebenchError, match="no CUDA device"):
        devices.slot_devices("cuda", None)


def test_a_gpu_that_is_asked_for_by_name_is_looked_for_without_signs(monkeypatch, two_gpus):
    monkeypatch.setattr(devices, "_signs_of_cuda", lambda: False)
    assert devices.slot_devices("cuda", None) == ["cuda:0", "cuda:1"]
    assert devices.slot_devices("auto", 1) == ["cpu"]


def test_a_drivers_file_is_a_sign_of_a_gpu_without_nvidia_smi(monkeypatch, tmp_path):
    monkeypatch.setattr(devices.shutil, "which", lambda _name: None)
    monkeypatch.setattr(devices, "SIGNS_OF_GPUS", (tmp_path / "nvidiactl",))
    assert not devices._signs_of_cuda()
    (tmp_path / "nvidiactl").touch()
    assert devices._signs_of_cuda()


def test_there_are_as_many_workers_as_cores_and_memory_take(monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: 8)
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: SimpleNamespace(total=100 * 2**30))
    assert [devices.default_jobs(threads) for threads in (1, 2, 3, 8, 100)] == [8, 4, 2, 1, 1]
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: SimpleNamespace(total=6 * 2**30))
    assert devices.default_jobs(1) == 3


@pytest.fixture
def cpuinfo(monkeypatch, tmp_path):
    """Make this machine's processor one with these flags."""

    def write(text):
        (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
        monkeypatch.setattr(devices, "CPUINFO", tmp_path / "cpuinfo")

    return write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 sse\n", True),
        ("processor\t: 0\nflags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_vnni\nbugs\t\t: avx512_bf16\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd\n", None),
    ],
)
def test_the_flags_say_whether_a_processor_has_bf16(cpuinfo, text, expected):
    cpuinfo(text)
    assert devices.processor_has_bf16() is expected


def test_nobody_knows_the_processor_where_the_system_does_not_say(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "nowhere")
    assert devices.processor_has_bf16() is None


HAS, HAS_NOT = "flags : fpu avx512_bf16\n", "flags : fpu avx2\n"


@pytest.mark.parametrize(
    ("flags", "precision", "device", "said"),
    [
        (HAS, "fp32", "cpu", "This processor has bf16"),
        (HAS, "fp32", "auto", "This processor has bf16"),
        (HAS, "bf16", "cpu", None),
        (HAS, None, "cpu", None),
        (HAS, "fp32", "cuda", None),
        (HAS_NOT, "bf16", "cpu", "no bf16 in hardware"),
        (HAS_NOT, "fp32", "cpu", None),
        (HAS_NOT, "bf16", "cuda", None),
        ("Features : fp\n", "bf16", "cpu", None),
    ],
)
def test_advice_is_given_where_the_processor_would_rather_compute_otherwise(
    cpuinfo, monkeypatch, flags, precision, device, said
):
    cpuinfo(flags)
    monkeypatch.setattr(devices, "_signs_of_cuda", lambda: False)
    monkeypatch.setattr(devices.platform, "system", lambda: "Linux")
    settings = {} if precision is None else {"precision": precision}
    advice = precision_advice([SimpleNamespace(settings=settings)], device)
    assert (advice is None) == (said is None)
    if advice is not None:
        assert said in advice.text
        assert advice.is_warning == (precision == "bf16")


def test_there_is_no_advice_where_a_gpu_may_do_the_work(cpuinfo, monkeypatch):
    cpuinfo(HAS)
    monkeypatch.setattr(devices, "_signs_of_cuda", lambda: True)
    assert precision_advice([SimpleNamespace(settings={"precision": "fp32"})], "auto") is None
