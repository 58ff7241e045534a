"""Disturbances of what lies around a run: a disk that is really full, many runs at once, a cluster whose head dies."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from scene import FAKE_PLUGINS, Disturbed, Scene, in_process, wait

KIB = 1024
MANY = 10
PAGE_BYTES = 4096  # of which a disk in memory gives whole ones to files
NODE = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "memory": 4 * 2**30, "include_dashboard": False}


def filled(scene: Scene, chance: random.Random) -> str:
    """Run on a disk of its own that has room for a part of the store; once it has more, the next run ends."""
    sizes = [path.stat().st_size for path in scene.finished.rglob("*") if path.is_file()]
    needed = sum(PAGE_BYTES * -(-size // PAGE_BYTES) for size in sizes)
    disk = scene.store(finished=False).parent / "disk"
    disk.mkdir()
    try:
        _mount(disk, "size", round(needed * chance.uniform(0.05, 0.95)))
    except (OSError, subprocess.CalledProcessError):
        return "skipped: no disk can be mounted here"
    try:
        store = disk / "store"
        first = in_process(scene.typed("run", store, "--jobs", "0"))
        shown = scene.check(first, store, complete=False)
        _mount(disk, "remount,size", 64 * KIB * KIB)
        return f"{shown}, then {scene.check(in_process(scene.typed('run', store, '--jobs', '0')), store)}"
    finally:
        # At once for everybody else: this process still maps arrays of that store, and holds a lock in it.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def many(scene: Scene, chance: random.Random) -> str:
    """Start ten runs on one new store within a second; all end, and no step is computed twice."""
    return crowd(scene, MANY, chance)


def crowd(scene: Scene, count: int, chance: random.Random) -> str:
    """Start so many runs on one new store at once; all end, and no step is computed twice."""
    store = scene.store(finished=False)
    runs: list[subprocess.Popen[str]] = []
    for number in range(count):
        runs.append(scene.started(store, "--output", str(store.parent / f"out{number}")))
        time.sleep(chance.uniform(0, 1 / count))
    for run in runs:
        ended = wait(run)
        if ended.code != 0:
            raise Disturbed(f"exit code {ended.code}:\n{ended.printed[-3000:]}")
    if (store / "set_aside").exists():
        raise Disturbed("a step was computed twice")
    return scene.check(in_process(scene.typed("leaderboard", store)), store)


def head_killed(scene: Scene, chance: random.Random) -> str:
    """Kill the command of a run on a Ray cluster at a moment of chance; typed again it goes on to the end."""
    if find_spec("ray") is None:
        return "skipped: Ray is not installed"
    store = scene.store(finished=False)
    with _cluster() as address:
        on_ray = ("--executor", "ray", "--ray-address", address)
        run = scene.started(store, *on_ray)
        steps = chance.randrange(1, len(list(scene.finished.glob("steps/*/*"))))
        deadline = time.monotonic() + 120
        while len(list(store.glob("steps/*/*/record.json"))) < steps and run.poll() is None:
            if time.monotonic() > deadline:
                raise Disturbed(f"{steps} steps are not done after 120 s")
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        wait(run)
        kept = {path: path.read_bytes() for path in store.glob("steps/*/*/record.json")}
        again = wait(scene.started(store, *on_ray))
    if again.code != 0:
        raise Disturbed(f"exit code {again.code}:\n{again.printed[-3000:]}")
    if any(path.read_bytes() != content for path, content in kept.items()):
        raise Disturbed("a finished step was run again")
    return scene.check(again, store)


def _mount(folder: Path, option: str, size_bytes: int) -> None:
    """Mount a disk in memory, or change the size of the one that is there."""
    mount = shutil.which("mount")
    if mount is None:
        raise OSError("there is no mount")
    command = [mount, "-t", "tmpfs", "-o", f"{option}={max(4, size_bytes // KIB)}k", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def _cluster() -> Iterator[str]:
    """Start a Ray cluster of one node on this machine, whose processes find the fake plugin; yield its address."""
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(FAKE_PLUGINS)
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
