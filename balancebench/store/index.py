"""What is known of a store's steps without reading them again: the main points of their records, in one file.

The records are the truth. What the index says of a step counts only while size and times of the step's files are what
they were when it was noted; anything else is read again. STORE/index.sqlite is never written in place: who learns
something new writes a copy and renames it, so that any number of processes may read it, on shared disks too. Of two
that write at once the later one stays, and what the other had learnt is learnt again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from balancebench.errors import StoreError
from balancebench.store.known_step import KnownStep, known_step
from balancebench.store.record import Record
from balancebench.store.step_files import SETTLED_NS, ParsedT, unparsable, verified_content
from balancebench.store.step_folders import Store

__all__ = ["StoreIndex"]

FILE = "index.sqlite"
FORMAT = 3
MISSING = -1  # no hash is
HASHED_ASIDE_BYTES = 2**20  # a step with so much to hash is worth a thread; handing over small ones costs more
FETCHED_TOGETHER = 500


TABLES = f"""
PRAGMA user_version = {FORMAT};
CREATE TABLE steps (name BLOB PRIMARY KEY, {", ".join(KnownStep._fields[1:])}, checksum) WITHOUT ROWID;
CREATE TABLE provenances (name INTEGER PRIMARY KEY, text);
"""
PROVENANCE = KnownStep._fields.index("provenance")
FIND_STEP = "SELECT * FROM steps WHERE name = ?"
REPLACE_STEP = f"REPLACE INTO steps VALUES ({', '.join('?' * (1 + len(KnownStep._fields)))})"  # noqa: S608


class StoreIndex:
    """Reads steps of a store, those that have not changed from its index. A context, which keeps what it learnt.

    Once that has ended, all is read from the records.

    What the index cannot say, or says wrongly because its own file is damaged, is read from the records; that it cannot
    be written, on a full disk or in another's store, changes no answer.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._path = store.root / FILE
        self._steps = os.path.join(store.root, "steps")
        self._draft: Path | None = None
        self._drafts_left = 2  # the second one is not copied from an index that may be damaged
        self._provenances: dict[int, str] = {}
        self._fetched: dict[bytes, Any] = {}
        self._rows = self._opened()

    def __enter__(self) -> StoreIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._draft is not None and self._rows is not None:
            try:
                self._rows.commit()
                self._rows.close()
                self._draft.replace(self._path)
            except (OSError, sqlite3.Error):
                pass  # the index stays as it was, and as true
        self._discard()
        self._drafts_left = 0

    def prefetched(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield the keys in the order of the index, each looked up before: one by one they take three times as long."""
        remaining = iter(sorted(keys))
        while together := list(islice(remaining, FETCHED_TOGETHER)):
            marks = ", ".join("?" * len(together))
            query = FIND_STEP.replace("= ?", f"IN ({marks})")
            self._fetched = {row[0]: row for row in self._all(query, *map(bytes.fromhex, together))}
            yield from together
        self._fetched = {}

    def step(self, key: str) -> KnownStep | None:
        """Return what is known of a step, or None where it has no record or that cannot be read."""
        folder = self._folder(key)
        record_state, changed_ns = _state(folder, ["record.json"])
        if record_state == MISSING:
            return None
        known = self._find(key)
        if known is not None and known.record_state == record_state:
            return known
        record = self._store.read(key)
        if record is None:
            return None
        files_state, files_changed_ns = _state(folder, record.files)
        known = known_step(record, record_state, files_state)
        if _is_settled(max(changed_ns, files_changed_ns)):
            self._keep(known)
        return known

    def parsed(self, known: KnownStep, name: str, parse: Callable[[bytes], ParsedT]) -> ParsedT:
        """Return parse(`content`), which may raise ValueError; raise StoreError then too."""
        content = self.content(known, name)
        try:
            return parse(content)
        except ValueError as error:
            raise unparsable(self._store.folder(known.key) / name, error) from error

    def content(self, known: KnownStep, name: str) -> bytes:
        """Return a small file of a finished step; raise StoreError where it is missing or not what the record says."""
        expected = known.sha256_of(name)
        if expected is None:
            raise StoreError(f"the step {known.key[:12]} ({known.stage}) left no {name}")
        return verified_content(f"{self._folder(known.key)}/{name}", expected)

    def survey(
        self, keys: Iterable[str], *, verify: bool = True, anew: bool = False
    ) -> tuple[set[str], dict[str, Record], dict[str, str]]:
        """Return which steps are done, the records of those that ended otherwise, and what is wrong with damaged ones.

        verify: files that have changed since they were last compared with their SHA-256 are compared again; otherwise
        nothing is found damaged. anew: they are compared whether they have changed or not.
        """
        done: set[str] = set()
        failed: dict[str, Record] = {}
        damaged: dict[str, str] = {}
        comparisons: list[Future[tuple[KnownStep, int, str | None]]] = []

        def take(known: KnownStep, changed_ns: int, problem: str | None) -> None:
            if problem is not None:
                damaged[known.key] = problem
                return
            done.add(known.key)  # and no more: the records of 100,000 cells are gigabytes
            if _is_settled(changed_ns):
                self._keep(known)

        with ThreadPoolExecutor(max_workers=4) as threads:
            for key in self.prefetched(keys):
                known = self.step(key)
                if known is None:
                    if verify and os.path.exists(self._folder(key)):
                        damaged[key] = self._store.record_problem(key) or "record.json was unreadable a moment ago"
                elif known.status != "done":
                    if (record := self._store.read(key)) is not None:
                        failed[key] = record
                elif not verify or (not anew and self._is_verified(known)):
                    done.add(key)
                elif known.size_bytes >= HASHED_ASIDE_BYTES:
                    comparisons.append(threads.submit(self._compare, known))
                else:
                    take(*self._compare(known))
            for comparison in comparisons:
                take(*comparison.result())
        return done, failed, damaged

    def _folder(self, key: str) -> str:
        return f"{self._steps}/{key[:2]}/{key}"  # as text: pathlib's joining would count

    def _is_verified(self, known: KnownStep) -> bool:
        files_state, _ = _state(self._folder(known.key), known.file_names)
        return known.verified == 1 and files_state == known.files_state

    def _compare(self, known: KnownStep) -> tuple[KnownStep, int, str | None]:
        """Return what is known of a step once its files are compared, when they last changed, and what is wrong."""
        files_state, changed_ns = _state(self._folder(known.key), known.file_names)  # as they are before
        record = self._store.read(known.key)
        problem = self._store.record_problem(known.key) if record is None else self._store.damage(record)
        return known._replace(files_state=files_state, verified=1), changed_ns, problem

    def _find(self, key: str) -> KnownStep | None:
        name = bytes.fromhex(key)
        row = self._fetched.get(name) or next(iter(self._all(FIND_STEP, name)), None)
        if row is None or row[-1] != _checksum(row[:-1]):
            return None
        provenance = self._provenance(row[PROVENANCE])
        if provenance is None:
            return None
        return KnownStep._make((key, *row[1:PROVENANCE], provenance, *row[PROVENANCE + 1 : -1]))

    def _provenance(self, name: int) -> str | None:
        """Return the text of a name; most steps share a few."""
        if name not in self._provenances:
            rows = self._all("SELECT text FROM provenances WHERE name = ?", name)
            if not rows or _name_of(rows[0][0]) != name:
                return None
            self._provenances[name] = rows[0][0]
        return self._provenances[name]

    def _keep(self, known: KnownStep) -> None:
        name = _name_of(known.provenance)
        if self._provenances.get(name) is None or self._draft is None:
            self._write("REPLACE INTO provenances VALUES (?, ?)", name, known.provenance)
            self._provenances[name] = known.provenance
        values = bytes.fromhex(known.key), *known[1:PROVENANCE], name, *known[PROVENANCE + 1 :]
        self._write(REPLACE_STEP, *values, _checksum(values))

    def _opened(self) -> sqlite3.Connection | None:
        """Return the index for reading; no lock is taken, since what is at its path is never written again."""
        if not self._path.is_file():
            return None
        try:
            rows = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        except sqlite3.Error:
            return None
        try:
            if rows.execute("PRAGMA user_version").fetchone() == (FORMAT,):
                rows.execute("PRAGMA cache_size = -32768")  # KiB
                return rows
        except sqlite3.Error:
            pass
        rows.close()
        return None

    def _all(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a query's answer, none where the index cannot be read."""
        if self._rows is None:
            return []
        try:
            return self._rows.execute(query, values).fetchall()
        except sqlite3.Error:
            self._discard()
            return []

    def _write(self, command: str, *values: Any) -> None:
        try:
            if self._draft is None and not self._begin_draft():
                return
            assert self._rows is not None  # noqa: S101 - drafts are open
            self._rows.execute(command, values)
        except (OSError, sqlite3.Error, StoreError):
            self._discard()

    def _begin_draft(self) -> bool:
        """Go on in a copy of the index that is this process's own; say whether there is one."""
        if self._drafts_left == 0:
            return False
        self._drafts_left -= 1
        draft = self._store.temporary_folder() / FILE
        self._draft = draft
        is_copy = self._rows is not None
        if self._rows is not None:
            self._rows.close()
            shutil.copyfile(self._path, draft)
        self._rows = sqlite3.connect(draft)
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("PRAGMA synchronous = OFF")
        if not is_copy:
            self._provenances.clear()
            self._rows.executescript(TABLES)
        return True

    def _discard(self) -> None:
        if self._rows is not None:
            self._rows.close()
            self._rows = None
        if self._draft is not None:
            shutil.rmtree(self._draft.parent, ignore_errors=True)
            self._draft = None


def _state(folder: str, names: Iterable[str]) -> tuple[int, int]:
    """Return a number for size and times of files, MISSING where one is not there, and when the last one changed (ns).

    Among the times is that of the last change of a file's entry, which no program can set: no copy looks unchanged.
    """
    numbers: list[int] = []
    changed_ns = 0
    try:
        for name in names:
            status = os.stat(f"{folder}/{name}")
            numbers += status.st_size, status.st_mtime_ns, status.st_ctime_ns
            changed_ns = max(changed_ns, status.st_mtime_ns, status.st_ctime_ns)
    except OSError:  # whoever needs the file learns why
        return MISSING, 0
    return hash(tuple(numbers)), changed_ns  # numbers, unlike texts, have the same hash in every process


def _is_settled(changed_ns: int) -> bool:
    return changed_ns < time.time_ns() - SETTLED_NS


def _checksum(values: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(values).encode())


def _name_of(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
