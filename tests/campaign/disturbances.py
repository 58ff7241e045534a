"""What a campaign does to runs and stores. Each disturbance is one round; it returns how the round ended."""

from __future__ import annotations

import errno
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from scene import TINY, Disturbed, Scene, in_process, wait
from surroundings import crowd, filled, head_killed, many

Disturbance = Callable[[Scene, random.Random], str]
MISBEHAVIOURS = ("raise", "refuse", "exit", "kill", "real_origin", "withheld", "meddle", "patch", "write_images",
                 "write_files", "steals_test", "foreign_repeats", "labels", "close_pipe", "nonsense", "steer", "leave",
                 "kill_beside_child", "out_of_memory", "sleep")  # fmt: skip
ERRORS = (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.ESTALE)
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")


def killed(scene: Scene, chance: random.Random) -> str:
    """Kill a run, a worker or both at a moment of chance; the next run must end as an undisturbed one."""
    store = scene.store(finished=False)
    run = scene.started(store)
    victims = chance.choice(("run", "worker", "both"))
    time.sleep(chance.uniform(0.5, 14.0))
    if run.poll() is None:
        workers = [child for child in psutil.Process(run.pid).children() if "spawn_main" in " ".join(_words(child))]
        for worker in workers[: 2 if victims == "both" else 1] if victims != "run" else []:
            worker.kill()
        if victims != "worker":
            run.send_signal(signal.SIGKILL)
    ended = wait(run)
    if "Traceback" in ended.printed:
        raise Disturbed(ended.printed[-3000:])
    again = in_process(scene.typed("run", store, "--jobs", "0"))
    left = [path for path in (store / "temporary").glob("*") if path.is_dir()]
    deadline = time.monotonic() + 10
    while left and time.monotonic() < deadline:  # orphans see that their run is gone within a moment
        time.sleep(0.5)
        in_process(scene.typed("run", store, "--jobs", "0"))
        left = [path for path in (store / "temporary").glob("*") if path.is_dir()]
    if left:
        raise Disturbed(f"temporary folders of the dead are left: {left}")
    return f"{victims}: {scene.check(again, store)}"


def crowded(scene: Scene, chance: random.Random) -> str:
    """Start two or three runs on one new store at once; all end, and no step is computed twice."""
    return crowd(scene, chance.choice((2, 3)), chance)


def damaged(scene: Scene, chance: random.Random) -> str:
    """Flip, cut, lengthen, empty, remove or swap a file of a finished store."""
    store = scene.store(finished=True)
    path = chance.choice(sorted(path for path in store.rglob("*") if path.is_file() and path.parent.name != "locks"))
    how = chance.choice(("flip", "cut", "lengthen", "empty", "remove", "swap", "folder", "loop"))
    _damage(path, how, chance, store)
    shown = scene.check(in_process(scene.typed("leaderboard", store)), store, complete=False)
    ended = in_process(scene.typed("run", store, "--jobs", "0"))
    if path.name == "store.json" and ended.code == 2:  # it does not say any more that it is a store
        return f"{how}: refused"
    return f"{how}: {shown}, then {scene.check(ended, store)}"


def refused(scene: Scene, chance: random.Random) -> str:
    """Let the disk refuse a change, and all after it, in the middle of a run; once it takes them, the next run ends."""
    store = scene.store(finished=False)
    with _refusing(store, chance.choice(ERRORS), after=chance.randrange(1, 120)):
        first = in_process(scene.typed("run", store, "--jobs", "0"))
        shown = scene.check(first, store, complete=False)
    return f"{shown}, then {scene.check(in_process(scene.typed('run', store, '--jobs', '0')), store)}"


def flickering(scene: Scene, chance: random.Random) -> str:
    """Let the disk refuse one change in twenty, and be slow; nothing that is said to be done is wrong."""
    store = scene.store(finished=False)
    with _refusing(store, chance.choice(ERRORS), after=1, share=0.05, chance=chance, delay=0.002):
        first = in_process(scene.typed("run", store, "--jobs", "0"))
        shown = scene.check(first, store, complete=False)
    return f"{shown}, then {scene.check(in_process(scene.typed('run', store, '--jobs', '0')), store)}"


def limited(scene: Scene, chance: random.Random) -> str:
    """Run with a limit on the size of files, so that writes fail half way (EFBIG), as on a disk that fills up."""
    import resource

    store = scene.store(finished=False)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (chance.choice((64, 256, 600, 1500, 4000)), before[1]))
    try:
        ended = in_process(scene.typed("run", store, "--jobs", "0"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    shown = scene.check(ended, store, complete=False)
    return f"{shown}, then {scene.check(in_process(scene.typed('run', store, '--jobs', '0')), store)}"


def read_only(scene: Scene, chance: random.Random) -> str:
    """Show a finished store that cannot be written."""
    store = scene.store(finished=True)
    with _refusing(store, errno.EROFS, after=0):
        return scene.check(in_process(scene.typed(chance.choice(("run", "leaderboard")), store)), store)


def misbehaving(scene: Scene, chance: random.Random) -> str:
    """Run beside a balancer that misbehaves; its rows are its own, and every other row is as it was."""
    store = scene.store(finished=True)
    how = chance.choice(MISBEHAVIOURS)
    suite = store.parent / "beside.toml"
    added = f'\n[[balancer]]\nuse = "misbehaving"\nlabel = "beside"\nhow = "{how}"\nseconds = 40\n'
    suite.write_text(scene.suite.read_text(encoding="utf-8") + added, encoding="utf-8")
    beside = Scene(root=scene.root, suite=suite, finished=scene.finished, values=scene.values)
    ended = wait(beside.started(store, "--time-limit", "15s"))
    if "Traceback (most" in ended.printed or ended.code not in (0, 1):
        raise Disturbed(f"{how}: exit code {ended.code}\n{ended.printed[-3000:]}")
    return f"{how}: {scene.check(in_process(scene.typed('leaderboard', store)), store)}"


def fuzzed_records(scene: Scene, chance: random.Random) -> str:
    """Flip bytes of committed records; the check finds them."""
    store = scene.store(finished=True)
    folder = store.parent / "committed"
    in_process([*scene.typed("leaderboard", store), "--records", str(folder)])
    if (intact := in_process(["leaderboard", str(folder), "--check"])).code != 0:
        raise Disturbed(f"the folder is refused before it is damaged:\n{intact.printed[-2000:]}")
    path = chance.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    _damage(path, chance.choice(("flip", "cut", "lengthen", "empty", "remove")), chance, folder)
    ended = in_process(["leaderboard", str(folder), "--check"])
    if ended.code != 2 or "Traceback" in ended.printed:
        raise Disturbed(f"damage of {path.name} was not found:\n{ended.printed[-2000:]}")
    return "found"


def fuzzed_images(scene: Scene, chance: random.Random) -> str:
    """Load a folder of images of which one is damaged, in content or name."""
    from PIL import Image

    store = scene.store(finished=False)
    images = store.parent / "images"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (images / split / name).mkdir(parents=True)
            for number in range(3):
                Image.new("L", (8, 8), 40 * number).save(images / split / name / f"{number}.png")
    suite = store.parent / "images.toml"
    table = f'use = "image_folder"\nroot = "{images}"\nsize = 8\n'
    suite.write_text(scene.suite.read_text(encoding="utf-8").replace(TINY, table), encoding="utf-8")
    if (intact := in_process(["validate", str(suite)])).code != 0:
        raise Disturbed(f"the folder is refused before it is damaged:\n{intact.printed[-2000:]}")
    path = chance.choice(sorted(images.rglob("*.png")))
    how = chance.choice(("flip", "cut", "empty", "remove", "loop", "folder", "name", "class"))
    if how == "name":
        path.rename(path.with_name("\x1b[2J\n.png"))
    elif how == "class":
        for split in ("train", "test"):
            (images / split / "dog").rename(images / split / "do\x1bg")
    else:
        _damage(path, how, chance, images)
    ended = in_process(["run", str(suite), "--store", str(store), "--output", str(store.parent / "out"), "--jobs", "0"])
    if "Traceback" in ended.printed or "\x1b" in ended.printed or ended.code not in (0, 1, 2):
        raise Disturbed(f"{how}: exit code {ended.code}\n{ended.printed[-3000:]}")
    return f"{how}: {'ran' if ended.code == 0 else 'said'}"


DISTURBANCES: dict[str, tuple[Disturbance, int]] = {
    "killed": (killed, 6),
    "crowded": (crowded, 1),
    "many": (many, 1),
    "head_killed": (head_killed, 3),
    "damaged": (damaged, 60),
    "refused": (refused, 25),
    "flickering": (flickering, 10),
    "limited": (limited, 5),
    "filled": (filled, 10),
    "read_only": (read_only, 2),
    "misbehaving": (misbehaving, 5),
    "fuzzed_records": (fuzzed_records, 10),
    "fuzzed_images": (fuzzed_images, 16),
}
"""Name -> what one round does, and how many rounds there are where nobody says otherwise."""


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _damage(path: Path, how: str, chance: random.Random, store: Path) -> None:
    content = path.read_bytes()
    at = chance.randrange(max(1, len(content)))
    if how == "flip" and content:
        path.write_bytes(content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :])
    elif how == "cut":
        path.write_bytes(content[:at])
    elif how == "lengthen":
        path.write_bytes(content + chance.randbytes(7))
    elif how == "swap":
        others = [other for other in store.rglob(f"*{path.suffix}") if other.is_file() and other != path]
        path.write_bytes(chance.choice(sorted(others)).read_bytes() if others else b"")
    elif how in ("remove", "folder", "loop"):
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how == "loop":
            path.symlink_to(path.name)
    else:
        path.write_bytes(b"")


_RULE: dict[str, Any] = {}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _RULE:
        return
    is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if not (is_write or event in CHANGES):
        return
    below = [name for name in arguments[:2] if isinstance(name, (str, bytes, os.PathLike))]
    if not any(os.fsdecode(name).startswith(_RULE["root"]) for name in below):
        return
    time.sleep(_RULE["delay"])
    _RULE["after"] -= 1
    if _RULE["after"] < 0 and _RULE["chance"].random() < _RULE["share"]:
        raise OSError(_RULE["errno"], os.strerror(_RULE["errno"]), os.fsdecode(below[0]))


sys.addaudithook(_hook)


@contextmanager
def _refusing(
    root: Path, number: int, *, after: int, share: float = 1.0, chance: random.Random | None = None, delay: float = 0.0
) -> Iterator[None]:
    """Refuse changes below a folder with an errno inside the block, this process's alone, after so many went well."""
    _RULE.update(root=str(root), errno=number, after=after, share=share, chance=chance or random.Random(0), delay=delay)
    try:
        yield
    finally:
        _RULE.clear()
