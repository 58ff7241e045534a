from __future__ import annotations

import math

import psutil
import pytest
import torch

from balancebench.device_sharing import WORKERS_VARIABLE
from balancebench.training import capacity
from balancebench.training.capacity import image_budget_bytes


def test_a_processor_gives_images_a_quarter_of_what_is_available(monkeypatch, tmp_path):
    monkeypatch.setattr(capacity, "CONTROL_GROUPS", tmp_path / "none")

    budget = image_budget_bytes(torch.device("cpu"))

    assert math.isclose(budget, psutil.virtual_memory().available / 4, rel_tol=0.2)


def test_a_containers_limit_counts_where_it_is_lower_and_its_file_cache_is_free(monkeypatch, tmp_path):
    monkeypatch.setattr(capacity, "CONTROL_GROUPS", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 400000\nfile 300000\nactive_file 100000\ninactive_file 150000\n")

    assert image_budget_bytes(torch.device("cpu")) == (1_000_000 - 700_000 + 250_000) // 4


GIB = 2**30


@pytest.mark.parametrize(
    ("workers", "free_gib", "budget_gib"),
    [("1", 100, 50), ("", 100, 50), ("8", 100, 6.25), ("8", 10, 5)],
    ids=["alone", "outside of a run", "among eight", "where little is free"],
)
def test_workers_on_one_gpu_divide_what_images_may_take(monkeypatch, workers, free_gib, budget_gib):
    monkeypatch.setenv(WORKERS_VARIABLE, workers)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free_gib * GIB, 100 * GIB))
    for name in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda _device: 0)

    assert image_budget_bytes(torch.device("cuda", 0)) == budget_gib * GIB


def test_a_container_without_a_limit_limits_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(capacity, "CONTROL_GROUPS", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")

    assert image_budget_bytes(torch.device("cpu")) > 2**20
