"""On a cluster of several nodes a suite leaves what it leaves on one machine, whatever becomes of the nodes."""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from balancebench import hookimpl
from balancebench.errors import BalancebenchError, StoreError
from balancebench.execution.executor import Site
from balancebench.plan import expand
from balancebench.registry import load_registry
from balancebench.store import Store
from balancebench.suite.bind import bind_suite

if find_spec("ray") is None:
    pytest.skip("Ray is not installed: pip install 'balancebench[ray]'", allow_module_level=True)

from balancebench.execution import ray_executor, ray_nodes
from balancebench.execution.ray_nodes import Node, installed_here
from balancebench.execution.ray_places import planned_slots
from balancebench.execution.step_parcels import packed_step, unpack_step

ray = ray_executor.ray  # which says how Ray starts before it is imported
FAKE_PLUGINS = Path(__file__).parents[1] / "fake_plugins"
GENERATING = '\n[[balancer]]\nuse = "generating"\n'
ONE_SEED = {"seeds = [0, 1]": "seeds = [0]"}
TYPED = "import sys\nsys.path.insert(0, sys.argv.pop(1))\nfrom balancebench.cli import main\nmain()\n"
NODE = {"object_store_memory": 80 * 2**20, "memory": 4 * 2**30, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs and two nodes of one each; their processes find the fake plugin."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(FAKE_PLUGINS))
        patch.setenv("RAY_worker_niceness", "0")  # 15 otherwise, behind all other tests
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **NODE})
        cluster.add_node(num_cpus=1, **NODE)
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
    """Return what every step left: status, inputs and identity of its record, and the SHA-256 of each other file."""
    records = {key: store.read(key) for key in plan.steps}
    return {
        key: (
            record.status,
            record.inputs,
            record.identity,
            {
                path.relative_to(store.folder(key)).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in store.folder(key).rglob("*")
                if path.is_file() and path.name != "record.json"
            },
        )
        for key, record in records.items()
    }


def left_here(harness, plan, folder):
    """Return what a plan leaves when it runs in this process."""
    store = Store.open(folder)
    assert not harness.run(plan, jobs=0, store=store).failed
    return left(store, plan)


@pytest.mark.slow
def test_a_cluster_leaves_of_the_quickstart_the_records_and_bytes_that_this_machine_leaves(cluster, harness, tmp_path):
    plan = expand(bind_suite(Path("quickstart"), load_registry(), "smoke"))
    outcome = harness.run(plan, executor="ray", jobs=None)
    assert (outcome.failed, outcome.ran) == ([], len(plan.steps))
    assert left(harness.store, plan) == left_here(harness, plan, tmp_path / "here")


def test_without_a_shared_disk_the_head_alone_writes_the_store_and_it_is_the_same(cluster, carried, harness, tmp_path):
    plan = harness.plan(GENERATING, replace=ONE_SEED)
    outcome = harness.run(plan, executor="ray", jobs=None)
    assert (outcome.failed, outcome.ran) == ([], len(plan.steps))
    assert left(harness.store, plan) == left_here(harness, plan, tmp_path / "here")
    assert not list(Path(tempfile.gettempdir()).glob("balancebench-ray-*"))


def test_data_is_loaded_where_the_heads_disk_is_seen_however_late_that_node_has_room(cluster, harness, monkeypatch):
    seeing, _ = ray_nodes.alive_nodes()
    reports_of = ray_executor.reports_of

    def mixed(nodes, marker, content):
        reports = reports_of(nodes, marker, content)
        return [replace(report, sees_store=node == seeing) for node, report in zip(nodes, reports, strict=True)]

    monkeypatch.setattr(ray_executor, "reports_of", mixed)
    busy = (
        ray.remote(lambda: time.sleep(4))
        .options(num_cpus=1, scheduling_strategy=ray_nodes.on_node(seeing.number))
        .remote()
    )
    waiting_for_ever = threading.Timer(240, os.kill, (os.getpid(), signal.SIGINT))
    waiting_for_ever.start()
    plan = harness.plan(replace=ONE_SEED)
    outcome = harness.run(plan, executor="ray", jobs=2)
    waiting_for_ever.cancel()
    assert (outcome.interrupted, outcome.ran) == (False, len(plan.steps))
    ray.cancel(busy, force=True)


def test_processes_on_nodes_have_the_nodes_environment_also_under_uv_run(cluster):
    assert not ray.get_runtime_context().runtime_env  # else Ray sends the working folder, and `uv run` builds another


def sleeping(plan_of, marker):
    """Return a plan with a balancer that sleeps for long until `marker` is there."""
    text = f'\n[[balancer]]\nuse = "misbehaving"\nhow = "sleep"\nseconds = 600\nonce = "{marker}"\n'
    return plan_of(text, replace=ONE_SEED)


def at_the_first_progress_of_the_sleeper(registry, act):
    """Call act() once, while the sleeping balancer sleeps on its node."""

    class Watcher:
        acted = False

        @hookimpl
        def balancebench_step_progress(self, message):
            if message == "about to misbehave" and not self.acted:
                self.acted = True
                act()

    watcher = Watcher()
    registry.hooks.register(watcher)
    return watcher


def test_a_node_killed_in_mid_run_costs_its_step_one_retry(cluster, harness, fakes, tmp_path):
    marker = tmp_path / "awake"

    def kill_its_node():
        marker.touch()  # the second attempt does not sleep
        for node in cluster.worker_nodes.copy():
            raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
            if any("RaySlot" in " ".join(child.cmdline()) for child in raylet.children(recursive=True)):
                cluster.remove_node(node, allow_graceful=False)

    watcher = at_the_first_progress_of_the_sleeper(fakes, kill_its_node)
    plan = sleeping(harness.plan, marker)
    try:
        outcome = harness.run(plan, executor="ray", jobs=1)
    finally:
        cluster.add_node(num_cpus=1, **NODE)
    assert watcher.acted
    assert (outcome.failed, outcome.ran) == ([], len(plan.steps))


def test_ctrl_c_leaves_no_worker_on_any_node(cluster, harness, fakes, tmp_path):
    working = []

    def interrupt():
        working.extend(workers_on_nodes(cluster))
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    at_the_first_progress_of_the_sleeper(fakes, interrupt)
    outcome = harness.run(sleeping(harness.plan, tmp_path / "awake"), executor="ray", jobs=2)
    assert outcome.interrupted
    assert len(working) >= 3  # an actor on each node, and at least the worker that slept
    deadline = time.monotonic() + 15
    while any(is_alive(process) for process in working) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [process for process in working if is_alive(process)] == []


def test_a_killed_head_goes_on_when_it_is_started_again_and_no_finished_step_runs_twice(
    cluster, harness, call, tmp_path
):
    marker, store = tmp_path / "awake", harness.store
    plan = sleeping(harness.plan, marker)
    words = ["run", plan.suite.path, "--store", store.root, "--output", tmp_path / "out", "--no-pictures"]
    words = [*map(str, words), "--device", "cpu", "--jobs", "1", "--executor", "ray", "--ray-address", cluster.address]
    command = [sys.executable, "-c", TYPED, str(FAKE_PLUGINS), *words]
    with (tmp_path / "printed").open("wb") as printed:
        head = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while len(done := finished(store)) < 3 and time.monotonic() < deadline:
            assert head.poll() is None, (tmp_path / "printed").read_text()
            time.sleep(0.05)
        head.kill()
        head.wait()
    marker.touch()  # the next attempt does not sleep
    code, _, err = call(*words)
    assert code == 0, err
    assert len(done) >= 3
    assert {path: finished(store)[path] for path in done} == done
    assert not (store.root / "set_aside").exists()
    assert left(store, plan) == left_here(harness, plan, tmp_path / "undisturbed")


def finished(store):
    """Return the records that are in a store, by path."""
    return {path: path.read_bytes() for path in store.root.glob("steps/*/*/record.json")}


def workers_on_nodes(cluster):
    """Return the actors of slots, and the worker processes under them."""
    raylets = [psutil.Process(node.all_processes["raylet"][0].process.pid) for node in cluster.worker_nodes]
    actors = [child for raylet in raylets for child in raylet.children() if "RaySlot" in " ".join(child.cmdline())]
    return [*actors, *(child for actor in actors for child in actor.children() if "spawn" in str(child.cmdline()))]


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_nodes_with_other_versions_are_refused_with_both_named(cluster, harness, monkeypatch):
    here = {**installed_here(), "numpy": "0.1"}
    monkeypatch.setattr(ray_nodes, "installed_here", lambda: here)
    with pytest.raises(BalancebenchError, match=r"numpy \d\S+ there, 0\.1 here"):
        harness.run(harness.plan(), executor="ray", jobs=None)


def test_a_parcel_that_changed_on_its_way_is_not_taken(harness, tmp_path):
    plan = harness.plan()
    harness.run(plan, jobs=0, stages=frozenset({"load"}))
    (key,) = [step.key for step in plan.steps.values() if step.stage == "load"]
    parcel = packed_step(harness.store, key)
    whole, other = Store.open(tmp_path / "whole"), Store.open(tmp_path / "other")
    assert unpack_step(whole, key, parcel).files == harness.store.read(key).files
    where = parcel.rindex(b"NUMPY") + 200
    damaged = parcel[:where] + bytes([parcel[where] ^ 1]) + parcel[where + 1 :]
    with pytest.raises(StoreError, match="SHA-256 differs"):
        unpack_step(other, key, damaged)
    assert other.read(key) is None


def test_a_node_that_lacks_a_requirement_is_never_asked(harness, tmp_path):
    def node(number, **resources):
        return Node(number=number, host=number, resources={"CPU": 4, "memory": 2**36, **resources})

    plan = harness.plan('\n[[balancer]]\nuse = "needs_cuda"\n')
    site = Site(store_root=tmp_path, data_root=tmp_path, most=100, jobs_per_gpu=2)
    demanding = next(step for step in plan.steps.values() if step.requires)
    loading = next(step for step in plan.steps.values() if step.stage == "load")
    slots = planned_slots([node("plain"), node("gpu", GPU=1), node("wired", network=1)], site)
    assert [slot.node.number for slot in slots if slot.suits(demanding)] == ["gpu", "gpu"]  # shared by two
    assert {slot.gpus for slot in slots if slot.device == "cuda"} == {0.5}
    assert {slot.node.number for slot in slots if slot.suits(loading)} == {"plain", "gpu", "wired"}
    assert {slot.node.number for slot in slots if slot.has("network")} == {"wired"}
