"""On a cluster of several nodes a suite leaves what it leaves on one machine, whatever becomes of the nodes."""

import tempfile
from pathlib import Path

import pytest

from balancebench.store import Store

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'balancebench[ray]'")

from balancebench.execution import ray_executor  # noqa: E402 - after it is known that Ray is there

FAKE_PLUGINS = Path(__file__).parents[1] / "fake_plugins"
GENERATING = '\n[[balancer]]\nuse = "generating"\n'
NODE = {"object_store_memory": 80 * 2**20, "memory": 4 * 2**30, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each; their processes find the fake plugin."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(FAKE_PLUGINS))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **NODE})
        cluster.add_node(num_cpus=1, **NODE)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def carried(monkeypatch):
    """No node works on the head's store, though all of them could."""
    build = ray_executor.RayExecutor
    monkeypatch.setattr(ray_executor, "RayExecutor", lambda site: build(site, sees_store=False))


def left(store, plan):
    """Return status and SHA-256 of files of every step."""
    records = {key: store.read(key) for key in plan.steps}
    return {
        key: (record.status, {name: entry.sha256 for name, entry in record.files.items()}, record.inputs)
        for key, record in records.items()
    }


@pytest.fixture
def locally(harness, tmp_path):
    """What the suite with a generator leaves when it runs on this machine."""
    plan = harness.plan(GENERATING)
    store = Store.open(tmp_path / "local")
    assert not harness.run(plan, store=store).failed
    return left(store, plan)


def test_a_cluster_leaves_the_bytes_that_this_machine_leaves(cluster, harness, locally):
    plan = harness.plan(GENERATING)
    outcome = harness.run(plan, executor="ray", jobs=None)
    assert (outcome.failed, outcome.ran) == ([], len(plan.steps))
    assert left(harness.store, plan) == locally


def test_without_a_shared_disk_the_head_alone_writes_the_store_and_it_is_the_same(cluster, carried, harness, locally):
    plan = harness.plan(GENERATING)
    outcome = harness.run(plan, executor="ray", jobs=None)
    assert (outcome.failed, outcome.ran) == ([], len(plan.steps))
    assert left(harness.store, plan) == locally
    assert not list(Path(tempfile.gettempdir()).glob("balancebench-ray-*"))
