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
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import BaseFileLock, FileLock, Timeout

from balancebench.config import JSON
from balancebench.errors import StoreError
from balancebench.plain_text import visible
from balancebench.store.answers import ANSWERS, answers_opened
from balancebench.store.permissions import is_shared, make_folder, share, writing
from balancebench.store.record import FORMAT, Failure, FileEntry, Record
from balancebench.store.sealed import read_record, record_text
from balancebench.store.step_files import StepFiles, sha256_of
from balancebench.store.temporary import abandoned_folders, clear_temporary, lock_mode, owned_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KEY", "Answers", "Store", "commit_failure"]

KEY = re.compile("[0-9a-f]{64}")
UNFINISHED_MARKER = re.compile(r"\.[0-9a-f]{32}")  # of processes that open a store, or died at it


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
            foreign = _foreign_entry(root)
            if marker.is_file():  # looked for after the entries: another process may have made it meanwhile
                _check_format(marker)
                return cls(root)
            if foreign is not None:
                raise StoreError(
                    f"{root} is not a balancebench store and not empty ({visible(foreign)} is there); choose another "
                    "with --store"
                )
            if not create:
                raise StoreError(f"there is no store at {root}; name one with --store, or run the suite first")
            root.mkdir(parents=True, exist_ok=True)
            unfinished = root / f".{uuid.uuid4().hex}"
            try:
                unfinished.write_text(json.dumps({"balancebench_store": FORMAT}), encoding="utf-8")
                unfinished.replace(marker)
            finally:
                unfinished.unlink(missing_ok=True)
        except (OSError, ValueError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            raise StoreError(f"the store at {root} cannot be used: {reason}; name another with --store") from error
        return cls(root)

    def folder(self, key: str) -> Path:
        """Return where the step at `key` lies once it ended."""
        return self.root / "steps" / key[:2] / key

    def read(self, key: str) -> Record | None:
        """Return the record of a step, or None where there is none or it cannot be read."""
        try:
            return read_record((self.folder(key) / "record.json").read_bytes(), key)
        except (OSError, StoreError):
            return None

    def record_problem(self, key: str) -> str:
        """Return what is wrong with a record that `read` does not return, or "" where nothing is any more."""
        try:
            read_record((self.folder(key) / "record.json").read_bytes(), key)
        except (FileNotFoundError, NotADirectoryError):
            return "record.json is missing"
        except OSError as error:
            return f"record.json cannot be read: {error.strerror}"
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
            try:
                if (size_bytes := os.path.getsize(path)) != entry.size_bytes:
                    return f"{name} has {size_bytes} bytes instead of {entry.size_bytes}"
                if sha256_of(path) != entry.sha256:
                    return f"{name} was altered"
            except OSError as error:
                return f"{name} cannot be read: {error.strerror}"
        return self.answers.missing(record.key) if record.has_answers else None

    def lock(self, key: str) -> BaseFileLock | None:
        """Take the right to work on a step, or return None while another process has it. Ends with the process.

        Raises StoreError where the store cannot be written.
        """
        folder = self.root / "locks"
        lock = FileLock(folder / f"{key}.lock", mode=lock_mode(self.root))
        with writing(folder):
            make_folder(folder, self.root)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                return None
        return lock

    def temporary_folder(self) -> Path:
        """Make an empty folder on the store's disk, this process's own (see `balancebench.store.temporary`).

        Raises StoreError where the store cannot be written.
        """
        with writing(self.root):
            return owned_folder(self.root)

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
        make_folder(folder.parent, self.root)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            temporary.rename(folder)
        except OSError:  # another process was quicker
            shutil.rmtree(temporary, ignore_errors=True)
        return array

    def checkpoint_folder(self, key: str) -> Path:
        """Return the folder that attempts at a step share, made by who writes there; gone once the step is done."""
        folder = self.root / "checkpoints" / key
        if is_shared(self.root):  # then its rights are not left to whoever writes first
            with writing(folder):
                make_folder(folder, self.root)
        return folder

    def abandoned_temporary(self) -> list[Path]:
        """Return the temporary folders of processes that have ended."""
        return [*abandoned_folders(self.root), *abandoned_folders(self.answers.root)]

    def clear_temporary(self) -> None:
        """Delete them, as far as the store can be written."""
        with suppress(OSError):
            clear_temporary(self.root)
            clear_temporary(self.answers.root)

    def commit(self, record: Record, folder: Path | None = None) -> Record:
        """Put a step's folder in place with its record; returns the record that stands there afterwards.

        Where another process finished the same step meanwhile, its result stays and this one is set aside. Raises
        StoreError where the store cannot be written.
        """
        folder = folder or self.temporary_folder()
        with writing(self.root):
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

        A finished result that stands there whole stays, and the folder is set aside. Raises StoreError where the store
        cannot be written.
        """
        with writing(self.root):
            return self._place(record, folder)

    def _place(self, record: Record, folder: Path) -> Record:
        target = self.folder(record.key)
        make_folder(target.parent, self.root)
        if is_shared(self.root):
            for path in (folder, *folder.rglob("*")):
                share(path)
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
                self._move_aside(target, record.key)  # alone: answers that were placed before it stay
            else:
                if record.status == "done":
                    shutil.rmtree(self.root / "checkpoints" / record.key, ignore_errors=True)
                return record

    def set_aside(self, key: str) -> None:
        """Move what lies at `key` away, so that the step counts as missing.

        Raises StoreError where the store cannot be written.
        """
        if os.path.exists(self.folder(key)):
            self._move_aside(self.folder(key), key)
        if os.path.exists(self.answers.folder(key)):
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
        with writing(target.parent):
            make_folder(target.parent, self.root)
            try:
                folder.rename(target)
            except FileNotFoundError:  # another process was quicker
                return


def commit_failure(store: Store, record: Record) -> Record:
    """Commit the record of a step that did not finish; where the store cannot be written, the message says that too.

    Returns the record that stands there afterwards, which may be of a success, or the one that could not be written.
    """
    try:
        return store.commit(record)
    except StoreError as error:
        said = "" if record.failure is None else record.failure.message
        message = said if str(error) in said else f"{said}; and no record was kept of it: {error}"
        return record.model_copy(update={"failure": Failure(message=message)})


def _foreign_entry(root: Path) -> str | None:
    """Return the name of an entry of a folder that no opening of a store leaves there, or None."""
    try:
        return next((name for name in os.listdir(root) if not UNFINISHED_MARKER.fullmatch(name)), None)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return root.name


def _check_format(marker: Path) -> None:
    """Raise StoreError where a store is of another version, and ValueError where its marker is none."""
    document: Any = json.loads(marker.read_bytes())
    if not isinstance(document, dict) or "balancebench_store" not in document:
        raise ValueError(f"{marker.name} is damaged: it does not say what the folder is")
    store_format: Any = document["balancebench_store"]
    if store_format != FORMAT:
        raise StoreError(
            f"{marker.parent} has store format {visible(str(store_format))}, and this version reads {FORMAT}: its "
            "results would be computed again anyway; name another folder with --store"
        )


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
