"""Where step results lie: one folder a step, written elsewhere and renamed into place.

    STORE/store.json                 what this folder is
    STORE/steps/ab/ab12.../          record.json and the step's files
    STORE/set_aside/                 failed attempts and damaged results that were replaced; never deleted
    STORE/cached/NAME/ab/ab12.../    an array that several steps need, by all that decides it
    STORE/checkpoints/ab12.../       what a step that did not finish left for its next attempt; deleted when it is done
    STORE/locks/, STORE/temporary/   of runs in progress

Arrays are .npy, weights safetensors, everything else JSON or plain images; nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil
from filelock import BaseFileLock, FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from balancebench.config import JSON
from balancebench.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Failure", "FileEntry", "Record", "Status", "StepFiles", "Store", "failure_record"]

Status = Literal["done", "failed", "out_of_memory", "timeout", "skipped"]
FORMAT = 1
HASHED_AT_ONCE_BYTES = 2**18  # file_digest clears so large a buffer for each file, however small
HASHED_ASIDE_BYTES = 2**20  # a step with so much to hash is worth a thread; handing over small ones costs more


class FileEntry(BaseModel):
    """A file of a step, by content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size_bytes: int


class Failure(BaseModel):
    """Why a step did not finish."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: str
    traceback: str = ""


class Record(BaseModel):
    """What a step leaves. Later versions may add fields; those that are missing in older records have defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    key: str
    stage: str
    label: str
    status: Status
    started_at: str
    duration_seconds: float
    peak_memory_bytes: int = 0
    identity: dict[str, JSON]
    inputs: dict[str, JSON] = Field(default_factory=dict)
    profile: str | None = None
    provenance: dict[str, JSON] = Field(default_factory=dict)
    files: dict[str, FileEntry] = Field(default_factory=dict)
    failure: Failure | None = None
    used_withheld_data: bool = False
    outside_data: tuple[str, ...] = ()
    images_seen: int = 0
    optimiser_steps: int = 0


@dataclass(frozen=True, slots=True)
class StepFiles:
    """The files of a finished step, by name; each is compared with its SHA-256 before it is read.

    Every method raises StoreError where the file is missing or not what the record says.
    """

    folder: Path
    record: Record

    def has(self, name: str) -> bool:
        """Say whether the step left a file of this name."""
        return name in self.record.files

    def names(self, prefix: str = "", suffix: str = "") -> list[str]:
        """Return the names of the files that begin and end so, sorted."""
        return sorted(name for name in self.record.files if name.startswith(prefix) and name.endswith(suffix))

    @property
    def digest(self) -> str:
        """The SHA-256 of all that the step left."""
        content = sorted((name, entry.sha256) for name, entry in self.record.files.items())
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def json(self, name: str) -> Any:
        """Return a file's JSON."""
        return json.loads(self._content(name))

    def array(self, name: str) -> NDArray[Any]:
        """Return a .npy file, read whole."""
        import numpy as np

        return np.load(io.BytesIO(self._content(name)), allow_pickle=False)

    def mapped(self, name: str) -> Path:
        """Return the path of a file that is too large to be read whole, to be mapped.

        It is compared with its SHA-256 once in a process, and again where its size or time has changed.
        """
        path, entry = self.folder / name, self._entry(name)
        try:
            status = os.stat(path)
            file_state = (str(path), status.st_size, status.st_mtime_ns, entry.sha256)
            if file_state not in _VERIFIED and _sha256(path) != entry.sha256:
                raise StoreError(f"{path} is damaged: it is not what its record says")
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        _VERIFIED.add(file_state)
        return path

    def _entry(self, name: str) -> FileEntry:
        if name not in self.record.files:
            raise StoreError(f"the step {self.record.key[:12]} ({self.record.stage}) left no {name}")
        return self.record.files[name]

    def _content(self, name: str) -> bytes:
        path, entry = self.folder / name, self._entry(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise StoreError(f"{path} is damaged: it is not what its record says")
        return content


_VERIFIED: set[tuple[str, int, int, str]] = set()  # mapped files: path, size, time of change, SHA-256


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of step results that several processes may use at once."""

    root: Path

    @classmethod
    def open(cls, root: Path, *, create: bool = True) -> Store:
        """Open the store at `root`, making it where there is none; refuse a folder that holds something else."""
        marker = root / "store.json"
        try:
            if marker.is_file():
                store_format = json.loads(marker.read_text(encoding="utf-8")).get("balancebench_store")
                if store_format != FORMAT:
                    raise StoreError(f"{root} has store format {store_format}; this version reads {FORMAT}")
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
        return Path(self._folder(key))

    def _folder(self, key: str) -> str:
        # As text: 10,000 cells look at so many files that pathlib's joining would count.
        return os.path.join(self.root, "steps", key[:2], key)

    def read(self, key: str) -> Record | None:
        """Return the record of a step, or None where there is none or it cannot be read."""
        try:
            with open(os.path.join(self._folder(key), "record.json"), "rb") as file:
                return Record.model_validate_json(file.read())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None

    def read_done(self, key: str) -> Record | None:
        """Return the record of a step that finished."""
        record = self.read(key)
        return record if record is not None and record.status == "done" else None

    def files(self, key: str) -> StepFiles:
        """Return the files of a finished step; raise StoreError where it is not there."""
        record = self.read_done(key)
        if record is None:
            raise StoreError(f"the step {key[:12]} is not in the store {self.root}")
        return StepFiles(self.folder(key), record)

    def damage(self, record: Record) -> str | None:
        """Return what is wrong with the files of a finished step, or None where size and SHA-256 are as recorded."""
        folder = self._folder(record.key)
        for name, entry in record.files.items():
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                return f"{name} is missing"
            if (size_bytes := os.path.getsize(path)) != entry.size_bytes:
                return f"{name} has {size_bytes} bytes instead of {entry.size_bytes}"
            if _sha256(path) != entry.sha256:
                return f"{name} was altered"
        return None

    def survey(self, keys: Iterable[str], *, verify: bool = True) -> tuple[set[str], dict[str, Record], dict[str, str]]:
        """Return which steps are done, the records of those that ended otherwise, and what is wrong with damaged ones.

        verify: compare files with their SHA-256; otherwise nothing is found damaged.
        """
        done: set[str] = set()
        failed: dict[str, Record] = {}
        damaged: dict[str, str] = {}
        checked: list[tuple[str, Future[str | None]]] = []
        with ThreadPoolExecutor(max_workers=4) as threads:
            for key in keys:
                record = self.read(key)
                if record is None:
                    if verify and os.path.exists(self._folder(key)):
                        damaged[key] = "record.json is missing or damaged"
                elif record.status != "done":
                    failed[key] = record
                elif verify and sum(entry.size_bytes for entry in record.files.values()) >= HASHED_ASIDE_BYTES:
                    checked.append((key, threads.submit(self.damage, record)))
                elif verify and (problem := self.damage(record)) is not None:
                    damaged[key] = problem
                else:
                    done.add(key)  # and no more: the records of 10,000 cells are hundreds of megabytes
            for key, check in checked:
                if (problem := check.result()) is None:
                    done.add(key)
                else:
                    damaged[key] = problem
        return done, failed, damaged

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
            if _sha256(path) == seal.read_text(encoding="ascii"):
                return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, UnicodeDecodeError):
            pass  # not there yet, or damaged
        array = compute()
        temporary = self.temporary_folder()
        np.save(temporary / "array.npy", array, allow_pickle=False)
        (temporary / "sha256").write_text(_sha256(temporary / "array.npy"), encoding="ascii")
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

    def clear_temporary(self) -> None:
        """Delete the temporary folders of this machine's processes that have ended."""
        for folder in (self.root / "temporary").glob(f"{socket.gethostname()}.*.*"):
            if not psutil.pid_exists(int(folder.name.split(".")[-2])):
                shutil.rmtree(folder, ignore_errors=True)

    def commit(self, record: Record, folder: Path | None = None) -> Record:
        """Put a step's folder in place with its record; returns the record that stands there afterwards.

        Where another process finished the same step meanwhile, its result stays and this one is set aside.
        """
        folder = folder or self.temporary_folder()
        files = {
            path.relative_to(folder).as_posix(): FileEntry(sha256=_sha256(path), size_bytes=path.stat().st_size)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        record = record.model_copy(update={"files": files})
        (folder / "record.json").write_text(record.model_dump_json(indent=1), encoding="utf-8")
        target = self.folder(record.key)
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                folder.rename(target)
            except OSError:
                standing = self.read(record.key)
                if standing is not None and standing.status == "done":
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

    def size_bytes(self) -> int:
        """Return how much disk the store takes."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def _move_aside(self, folder: Path, key: str) -> None:
        target = self.root / "set_aside" / f"{key}.{datetime.now(UTC):%Y%m%dT%H%M%S}.{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(exist_ok=True)
        try:
            folder.rename(target)
        except FileNotFoundError:  # another process was quicker
            return


def failure_record(
    step_fields: Mapping[str, JSON], status: Status, message: str, duration_seconds: float = 0.0, traceback: str = ""
) -> Record:
    """Return the record of a step that did not finish; `step_fields` are key, stage, label, identity, inputs."""
    return Record.model_validate(
        {
            **step_fields,
            "status": status,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "duration_seconds": duration_seconds,
            "failure": Failure(message=message, traceback=traceback),
        }
    )


def _sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size <= HASHED_AT_ONCE_BYTES:
            return hashlib.sha256(file.read()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()
