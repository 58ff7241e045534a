"""Where step results lie: one folder a step, written elsewhere and renamed into place.

    STORE/store.json                 what this folder is
    STORE/steps/ab/ab12.../          record.json and the step's files
    STORE/set_aside/                 failed attempts and damaged results that were replaced; never deleted
    STORE/answers/                   a store like this one: the labels of test images, by the key of their data set
    STORE/cached/NAME/ab/ab12.../    an array that several steps need, by all that decides it
    STORE/checkpoints/ab12.../       what a step that did not finish left for its next attempt; deleted when it is done
    STORE/locks/, STORE/temporary/   of runs in progress
    STORE/index.sqlite               what `balancebench.store.index` knows of the steps; may be deleted at any time

Arrays are .npy, weights safetensors, everything else JSON or plain images; nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import BaseFileLock, FileLock, Timeout

from balancebench.config import JSON
from balancebench.errors import StoreError
from balancebench.store.answers import ANSWERS, answers_opened
from balancebench.store.record import FORMAT, FileEntry, Record
from balancebench.store.sealed import read_record, record_text
from balancebench.store.step_files import StepFiles, sha256_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KEY", "Answers", "Store"]

KEY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of step results that several processes may use at once."""

    root: Path

    @property
    def answers(self) -> Answers:
        """Where the labels of test images lie."""
        return Answers(self.root / ANSWERS)

    @classmethod
    def open(cls, root: Path, *, create: bool = True) -> Store:
        """Open the store at `root`, making it where there is none; refuse a folder that holds something else."""
        marker = root / "store.json"
        try:
            if marker.is_file():
                store_format = json.loads(marker.read_text(encoding="utf-8")).get("balancebench_store")
                if store_format != FORMAT:
                    raise StoreError(
                        f"{root} has store format {store_format}, and this version reads {FORMAT}: its results would "
                        "be computed again anyway; name another folder with --store"
                    )
                return cls(root)
            if root.exists() and (not root.is_dir() or any(root.iterdir())):
                raise StoreError(f"{root} is not a balancebench store and not empty; choose another with --store")
            if not create:
                raise StoreError(f"there is no store at {root}; name one with --store, or run the suite first")
            root.mkdir(parents=True, exist_ok=True)
            temporary = root / f".{uuid.uuid4().hex}"
            temporary.write_text(json.dumps({"balancebench_store": FORMAT}), encoding="utf-8")
            temporary.replace(marker)
        except (OSError, json.JSONDecodeError) as error:
            raise StoreError(f"the store at {root} cannot be used: {error}") from error
        return cls(root)

    def folder(self, key: str) -> Path:
        """Return where the step at `key` lies once it ended."""
        return self.root / "steps" / key[:2] / key

    def read(self, key: str) -> Record | None:
        """Return the record of a step, or None where there is none or it cannot be read."""
        try:
            return read_record((self.folder(key) / "record.json").read_bytes(), key)
        except (FileNotFoundError, NotADirectoryError, StoreError):
            return None

    def record_problem(self, key: str) -> str:
        """Return what is wrong with a record that `read` does not return, or "" where nothing is any more."""
        try:
            read_record((self.folder(key) / "record.json").read_bytes(), key)
        except OSError:
            return "record.json is missing"
        except StoreError as error:
            return f"record.json {error}"
        return ""

    def read_done(self, key: str) -> Record | None:
        """Return the record of a step that finished."""
        record = self.read(key)
        return record if record is not None and record.status == "done" else None

    def read_whole(self, key: str) -> Record | None:
        """Return the record of a step that finished, all of whose files are what it says: each is read and compared."""
        record = self.read_done(key)
        return record if record is not None and self.damage(record) is None else None

    def files(self, key: str) -> StepFiles:
        """Return the files of a finished step; raise StoreError where it is not there."""
        record = self.read_done(key)
        if record is None:
            raise StoreError(f"the step {key[:12]} is not in the store {self.root}")
        return StepFiles(self.folder(key), record)

    def damage(self, record: Record) -> str | None:
        """Return what is wrong with the files of a finished step, or None where size and SHA-256 are as recorded."""
        folder = self.folder(record.key)
        for name, entry in record.files.items():
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                return f"{name} is missing"
            if (size_bytes := os.path.getsize(path)) != entry.size_bytes:
                return f"{name} has {size_bytes} bytes instead of {entry.size_bytes}"
            if sha256_of(path) != entry.sha256:
                return f"{name} was altered"
        return self.answers.missing(record.key) if record.has_answers else None

    def lock(self, key: str) -> BaseFileLock | None:
        """Take the right to work on a step, or return None while another process has it. Ends with the process."""
        folder = self.root / "locks"
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / f"{key}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        return lock

    def temporary_folder(self) -> Path:
        """Make an empty folder on the store's disk; its name tells which process it belongs to."""
        folder = self.root / "temporary" / f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        return folder

    def cached(self, name: str, identity: JSON, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return compute(), kept under a name and the JSON of all that decides it, and mapped where it is there.

        What is kept holds its own SHA-256 in a file beside it; what does not fit that is computed again.
        """
        import numpy as np

        text = json.dumps([name, identity], sort_keys=True, separators=(",", ":"), allow_nan=False)
        key = hashlib.sha256(text.encode()).hexdigest()
        folder = self.root / "cached" / name / key[:2] / key
        path, seal = folder / "array.npy", folder / "sha256"
        try:
            if sha256_of(path) == seal.read_text(encoding="ascii"):
                return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, UnicodeDecodeError):
            pass  # not there yet, or damaged
        array = compute()
        temporary = self.temporary_folder()
        np.save(temporary / "array.npy", array, allow_pickle=False)
        (temporary / "sha256").write_text(sha256_of(temporary / "array.npy"), encoding="ascii")
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            temporary.rename(folder)
        except OSError:  # another process was quicker
            shutil.rmtree(temporary, ignore_errors=True)
        return array

    def checkpoint_folder(self, key: str) -> Path:
        """Return the folder that attempts at a step share, made by who writes there; gone once the step is done."""
        return self.root / "checkpoints" / key

    def abandoned_temporary(self) -> list[Path]:
        """Return the temporary folders of this machine's processes that have ended."""
        own = f"{socket.gethostname()}.*.*"
        folders = [*(self.root / "temporary").glob(own), *(self.answers.root / "temporary").glob(own)]
        return [folder for folder in folders if not psutil.pid_exists(int(folder.name.split(".")[-2]))]

    def clear_temporary(self) -> None:
        """Delete them."""
        for folder in self.abandoned_temporary():
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, record: Record, folder: Path | None = None) -> Record:
        """Put a step's folder in place with its record; returns the record that stands there afterwards.

        Where another process finished the same step meanwhile, its result stays and this one is set aside.
        """
        folder = folder or self.temporary_folder()
        files = {
            path.relative_to(folder).as_posix(): FileEntry(sha256=sha256_of(path), size_bytes=path.stat().st_size)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        record = record.model_copy(update={"files": files})
        (folder / "record.json").write_text(record_text(record), encoding="utf-8")
        return self.place(record, folder)

    def place(self, record: Record, folder: Path) -> Record:
        """Put a folder that holds a step's record and files in place; returns the record that stands there afterwards.

        A finished result that stands there whole stays, and the folder is set aside.
        """
        target = self.folder(record.key)
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                folder.rename(target)
            except OSError:
                standing = self.read_whole(record.key)
                if standing is not None:
                    self._move_aside(folder, record.key)
                    return standing
                if not target.exists():
                    raise
                self.set_aside(record.key)
            else:
                if record.status == "done":
                    shutil.rmtree(self.root / "checkpoints" / record.key, ignore_errors=True)
                return record

    def set_aside(self, key: str) -> None:
        """Move what lies at `key` away, so that the step counts as missing."""
        if self.folder(key).exists():
            self._move_aside(self.folder(key), key)
        if self.answers.folder(key).exists():
            self.answers.set_aside(key)

    def size_bytes(self) -> int:
        """Return how much disk the store takes."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def step_keys(self) -> list[str]:
        """Return the keys of all steps that have a folder, sorted."""
        shards = sorted((self.root / "steps").glob("[0-9a-f][0-9a-f]"))
        return [key for shard in shards for key in sorted(os.listdir(shard)) if KEY.fullmatch(key)]

    def _move_aside(self, folder: Path, key: str) -> None:
        target = self.root / "set_aside" / f"{key}.{datetime.now(UTC):%Y%m%dT%H%M%S}.{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(exist_ok=True)
        try:
            folder.rename(target)
        except FileNotFoundError:  # another process was quicker
            return


class Answers(Store):
    """The labels of test images: a store within a store, of which `balancebench.store.answers` guards the files."""

    def opened(self) -> AbstractContextManager[None]:
        """Let this process read them inside the block."""
        return answers_opened()

    def missing(self, key: str) -> str | None:
        """Return what is wrong with the answers of a data set, or None."""
        with self.opened():
            record = self.read_done(key)
            problem = "there is no record of them" if record is None else self.damage(record)
        return None if problem is None else f"the labels of the test images are damaged ({problem})"
