"""Carries finished steps from one store to another in one file: a tar archive, compressed where its name ends in .gz.

    steps/KEY/record.json      first of each step
    steps/KEY/NAME             the files that the record names, sorted
    answers/KEY/...            the same of the labels of a data set's test images, before the data set's step

The same steps give the same bytes. What an archive brings is believed as little as a damaged disk: only plain files of
these names are taken, each must have the size and SHA-256 that its record says, and a step is put in place once whole.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from balancebench.errors import StoreError
from balancebench.store.answers import ANSWERS
from balancebench.store.record import Record
from balancebench.store.sealed import read_record
from balancebench.store.step_folders import KEY, Store

__all__ = ["Imported", "export_steps", "import_steps"]

RECORD, STEPS = "record.json", "steps"
LARGEST_RECORD_BYTES = 2**26
CHUNK_BYTES = 2**20


@dataclass(slots=True, kw_only=True)
class Imported:
    """What an archive brought: keys of steps that are new here, and of those that were done here already."""

    new: list[str] = field(default_factory=list[str])
    present: list[str] = field(default_factory=list[str])


def export_steps(store: Store, keys: Sequence[str], archive: Path, exported: Callable[[int], object]) -> None:
    """Write finished steps to an archive that is not there yet; exported(count) is called after each.

    Raises StoreError where the archive exists or cannot be written, or where a step is damaged.
    """
    if archive.exists():
        raise StoreError(f"{archive} exists already; choose another name, or delete it first")
    unfinished = archive.with_name(f".{archive.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            if archive.suffix in (".gz", ".tgz"):
                with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as compressed:
                    _write(store, keys, compressed, exported)
            else:
                _write(store, keys, file, exported)
        unfinished.rename(archive)
    except OSError as error:
        raise StoreError(f"{archive} cannot be written: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _write(
    store: Store, keys: Sequence[str], file: IO[bytes] | gzip.GzipFile, exported: Callable[[int], object]
) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for count, key in enumerate(sorted(set(keys)), start=1):
            if store.files(key).record.has_answers:
                with store.answers.opened():
                    _add(tar, ANSWERS, store.answers, key)
            _add(tar, STEPS, store, key)
            exported(count)


def _add(tar: tarfile.TarFile, top: str, store: Store, key: str) -> None:
    files = store.files(key)
    content = (files.folder / RECORD).read_bytes()
    tar.addfile(_entry(top, key, RECORD, len(content)), io.BytesIO(content))
    for name in sorted(files.record.files):
        path = files.mapped(name)  # compared with its SHA-256
        with path.open("rb") as file:
            tar.addfile(_entry(top, key, name, path.stat().st_size), file)


def _entry(top: str, key: str, name: str, size_bytes: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(f"{top}/{key}/{name}")
    entry.size, entry.mode = size_bytes, 0o644
    return entry


def import_steps(store: Store, archive: Path, imported: Callable[[int], object]) -> Imported:
    """Put the steps of an archive into a store; imported(count) is called after each.

    A step that is done in the store, and whole, stays as it is. Raises StoreError at the first thing that is not as it
    must be; the steps before it are in the store then, whole.
    """
    outcome = Imported()
    folder = store.temporary_folder()
    try:
        with tarfile.open(archive, "r|*") as tar:
            reading = _Reading(store, archive, folder, outcome)
            for entry in tar:
                reading.take(entry, tar)
                imported(len(outcome.new) + len(outcome.present))
            reading.end_step()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise StoreError(f"{archive} cannot be read as an archive of steps: {error}; export it again") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


class _Reading:
    """An archive while it is read: the step that is being put together, if any."""

    def __init__(self, store: Store, archive: Path, folder: Path, outcome: Imported) -> None:
        self._answers = store.answers
        self._stores: dict[str, Store] = {STEPS: store, ANSWERS: store.answers}
        self._top = STEPS  # of the step that is being put together
        self._archive = archive
        self._folder = folder
        self._outcome = outcome
        self._record: Record | None = None
        self._awaited: set[str] = set()

    def take(self, entry: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
        """Take the next file."""
        top, key, name = self._named(entry)
        file = tar.extractfile(entry)
        if file is None:
            raise self._refused(entry.name, "it is no plain file")
        if name == RECORD:
            self.end_step()
            self._begin_step(top, key, entry, file)
            return
        record = self._record
        if record is None or (self._top, record.key) != (top, key) or name not in self._awaited:
            raise self._refused(entry.name, "no record before it names it, or it comes twice")
        self._awaited.remove(name)
        if entry.size != record.files[name].size_bytes:
            raise self._refused(
                entry.name, f"it has {entry.size} bytes, its record says {record.files[name].size_bytes}"
            )
        path = self._folder / key / name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("xb") as target:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != record.files[name].sha256:
            raise self._refused(entry.name, "it is not what its record says: its SHA-256 differs")

    def end_step(self) -> None:
        """Put the step in place, of which no more is to come."""
        record, self._record = self._record, None
        if record is None:
            return
        store, is_step = self._stores[self._top], self._top == STEPS
        if self._awaited:
            raise self._refused(f"{self._top}/{record.key}", f"it lacks {min(self._awaited)}")
        folder = self._folder / record.key
        if store.read_whole(record.key) is not None:
            shutil.rmtree(folder)
            self._outcome.present += [record.key] * is_step
            return
        if record.has_answers and self._answers.missing(record.key) is not None:
            raise self._refused(f"steps/{record.key}", "the labels of its test images do not come before it")
        store.place(record, folder)
        self._outcome.new += [record.key] * is_step

    def _begin_step(self, top: str, key: str, entry: tarfile.TarInfo, file: IO[bytes]) -> None:
        if entry.size > LARGEST_RECORD_BYTES:
            raise self._refused(entry.name, "it is too large for a record")
        content = file.read()
        try:
            record = read_record(content, key)
        except StoreError as error:
            raise self._refused(entry.name, f"it {error}") from None
        if record.status != "done" or key in self._outcome.new:
            raise self._refused(entry.name, "it is no record of this step, finished, and for the first time")
        (self._folder / key).mkdir()
        (self._folder / key / RECORD).write_bytes(content)
        self._top, self._record, self._awaited = top, record, set(record.files)

    def _named(self, entry: tarfile.TarInfo) -> tuple[str, str, str]:
        """Return store, key and file name of an entry; refuse links, devices and names that lead elsewhere."""
        if not entry.isreg():
            raise self._refused(entry.name, "it is no plain file")
        top, _, rest = entry.name.partition("/")
        key, _, name = rest.partition("/")
        path = PurePosixPath(name)
        leads_elsewhere = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
        if (
            top not in self._stores
            or not KEY.fullmatch(key)
            or not path.parts
            or leads_elsewhere
            or path.as_posix() != name
        ):
            raise self._refused(entry.name, "it is no file of a step")
        return top, key, name

    def _refused(self, name: str, reason: str) -> StoreError:
        return StoreError(
            f"{self._archive}: {name!r} is refused: {reason}; export the archive again, or fetch it again"
        )
