"""Owns the gate's stored receipts: indexed, looked up, listed, retained.

Rules: the files are the truth and the index is made from them; a receipt that is written again is
the same file; a file that somebody else wrote is read and never changed or removed.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from ownerreportd import fsio
from ownerreportd.core.errors import StorageError
from ownerreportd.gate.receipt import AHEAD_MAX, ReceiptCheck, canonical, receipt_name
from ownerreportd.receipts.files import (
    Entry,
    Filter,
    entry_of,
    json_files,
    left_over,
    put,
    read,
    said_by,
    said_of,
)
from ownerreportd.receipts.index import Index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ownerreportd.gate.contract import LookUp

Json: TypeAlias = dict[str, Any]

FULL_SCAN_S: Final = 2.0  # how often every file's own time is looked at, not the directory's alone
UNFINISHED_NS: Final = 60_000_000_000  # so long a file that is no receipt is read again
RACY_NS: Final = 2_000_000_000  # a time so near says nothing: another change may bear it too


AHEAD: Final = "its dispatchedAt is over 5 minutes ahead of the clock"


class Written(NamedTuple):
    """What a write came to. `path` is the file; `created` is False where it was there before."""

    path: Path
    created: bool


@dataclass(slots=True)
class ReceiptStore:
    """The receipts in one directory. Calls come one at a time, from any thread.

    `retention_days` 0 keeps all. The directory need not exist before the first write.
    """

    folder: Path
    retention_days: float = 0.0
    _index: Index = field(default_factory=Index)
    _seen: tuple[int, int] | None = None  # the directory's inode and time at the last scan
    _full_scan_at: float = 0.0

    # --- write ------------------------------------------------------------------------------

    def write(self, receipt: Mapping[str, Any]) -> Written:
        """Put a valid receipt into its file, durably; the same one again changes nothing.

        Raises:
            StorageError: if the disk does not take it, or its name holds something else.
        """
        data = canonical(receipt)
        name = receipt_name(receipt).encode()
        path = self.folder / os.fsdecode(name)
        try:
            fsio.make_directory(self.folder)
            with fsio.directory(self.folder) as fd:
                created = put(fd, name, data)
                fsio.fsync(fd)  # also where it was there: who wrote it may have died before this
        except OSError as error:
            raise StorageError(
                f"cannot write the receipt {path}: {error.strerror or error}",
                hint=f"df -h {self.folder}; ls -ld {self.folder}",
            ) from error
        return Written(path, created)

    # --- look -------------------------------------------------------------------------------

    def surely_none(self, wanted: LookUp) -> bool:
        """Whether a glance is enough to know that there is no receipt for this look-up.

        One `stat` of a directory that is in use, so that it waits for no disk.
        """
        try:
            found = self.folder.stat()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        known = self._seen == (found.st_ino, found.st_mtime_ns)
        due = time.monotonic() - self._full_scan_at >= FULL_SCAN_S
        if not known or due:
            return False
        plan, task = wanted.plan_id, wanted.current_task
        return not self._index.has(plan, task, said_of(plan, task))

    def newest(self, wanted: LookUp, now: datetime) -> Json | None:
        """The newest receipt that answers a look-up; None where there is none.

        One from before `since` is told all the same, so that the answer can say that it is too
        old. What lies further ahead of the clock than a receipt may is passed over until its time.
        """
        self.refresh()
        self._read_unread(self._index.unread(said_of(wanted.plan_id, wanted.current_task)))
        chosen = Filter(wanted.plan_id, wanted.current_task)
        for entry in self._index.newest_first(chosen):
            if _is_ahead(entry, now):
                continue
            receipt = self._receipt(entry)
            if receipt is not None:
                return receipt
        return None

    def listed(self, wanted: Filter, limit: int, now: datetime) -> list[Json]:
        """Those that are asked for and count by now, newest first: `{file, receipt}`."""
        self.refresh()
        self._read_unread(self._index.unread())
        found: list[Json] = []
        for entry in self._index.newest_first(wanted):
            if len(found) >= limit:
                break
            if _is_ahead(entry, now):
                continue
            receipt = self._receipt(entry)
            if receipt is not None:
                found.append({"file": os.fsdecode(entry.name), "receipt": receipt})
        return found

    def invalid(self, now: datetime) -> list[Json]:
        """Files that are no receipt, or none yet, left where they are: `{file, reason}`."""
        return [
            {
                "file": os.fsdecode(each.name).encode("utf-8", "replace").decode(),
                "reason": each.why or AHEAD,
            }
            for each in sorted(self._index.entries.values(), key=lambda entry: entry.name)
            if each.why or _is_ahead(each, now)
        ]

    def _receipt(self, entry: Entry) -> Json | None:
        """The receipt in a file, None if it is not there any more or has become something else."""
        try:
            with fsio.directory(self.folder) as fd:
                checked = read(fd, entry.name)
        except OSError:
            return None
        return checked.receipt if isinstance(checked, ReceiptCheck) else None

    # --- the index --------------------------------------------------------------------------

    def refresh(self, now_s: float | None = None) -> None:
        """Bring the index up to what is in the directory; a glance where nothing has changed."""
        clock_s = time.monotonic() if now_s is None else now_s
        full = clock_s - self._full_scan_at >= FULL_SCAN_S or self._seen is None
        try:
            before = self.folder.stat()
            if not full and self._seen == (before.st_ino, before.st_mtime_ns):
                return
            self._seen = None  # until it is done, no glance is enough
            with fsio.directory(self.folder) as fd:
                self._scan(fd, full=full)
        except FileNotFoundError:
            self._index.clear()
            self._seen = None
            return
        except OSError as error:
            raise self._unreadable(error) from error
        if full:
            self._full_scan_at = clock_s
        racy = time.time_ns() - before.st_mtime_ns < RACY_NS or any(
            self._is_young(entry) for entry in self._index.entries.values()
        )
        self._seen = (before.st_ino, -1 if racy else before.st_mtime_ns)

    def _scan(self, fd: int, *, full: bool) -> None:
        there = dict(json_files(fd))
        known_names = self._index.names()
        for name in known_names - there.keys():
            self._index.forget(name)
        for name, ino in there.items():
            said = said_by(name) if not known_names else None
            if said is not None:  # at the first scan there may be many: read when they are wanted
                self._index.put_off(name, said)
                continue
            known = self._index.entries.get(name)
            if known is None and name in known_names:
                continue  # put off
            if known is None or known.ino != ino or full or self._is_young(known):
                self._take(fd, name, known)

    def read_on(self, limit: int) -> int:
        """Read some of the files that were put off; how many that were."""
        names = self._index.unread()[:limit]
        self._read_unread(names)
        return len(names)

    def _read_unread(self, names: Sequence[bytes]) -> None:
        if not names:
            return
        try:
            with fsio.directory(self.folder) as fd:
                for name in names:
                    self._index.forget(name)
                    self._take(fd, name, None)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> StorageError:
        return StorageError(
            f"cannot read the receipts in {self.folder}: {error.strerror or error}",
            hint=f"ls -ld {self.folder}",
        )

    @staticmethod
    def _is_young(known: Entry) -> bool:
        """Whether its writer may not have been done when it was read."""
        return time.time_ns() - known.mtime_ns < (UNFINISHED_NS if known.why else RACY_NS)

    def _take(self, fd: int, name: bytes, known: Entry | None) -> None:
        found = fsio.lstat(fd, name)
        if found is None:
            return
        same = known is not None and (known.ino, known.size, known.mtime_ns) == (
            found.st_ino, found.st_size, found.st_mtime_ns,
        )  # fmt: skip
        if same and not (known is not None and self._is_young(known)):
            return
        self._index.add(entry_of(fd, name, found))

    # --- retention --------------------------------------------------------------------------

    def sweep(self, now: datetime) -> int:
        """Remove receipts of ours that are over their time, and what dead writers left; how many.

        Raises:
            StorageError: if the directory cannot be read or changed.
        """
        self.refresh()
        if self._seen is None:
            return 0
        self._read_unread(self._old_by_name(now))
        old = self._over_time(now)
        try:
            with fsio.directory(self.folder) as fd:
                for name in (*old, *left_over(fd)):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=fd)
                fsio.fsync(fd)
        except OSError as error:
            raise StorageError(
                f"cannot remove old receipts in {self.folder}: {error.strerror or error}",
                hint=f"ls -ld {self.folder}",
            ) from error
        for name in old:
            self._index.forget(name)
        return len(old)

    def _old_by_name(self, now: datetime) -> list[bytes]:
        """Those that were put off and may be over their time."""
        if not self.retention_days:
            return []
        try:
            oldest = f"{now - timedelta(days=self.retention_days):%Y%m%dT%H%M%SZ}".encode()
        except OverflowError:
            return []
        return [name for name in self._index.unread() if name < oldest]

    def _over_time(self, now: datetime) -> list[bytes]:
        if not self.retention_days:
            return []
        try:
            oldest = now - timedelta(days=self.retention_days)
        except OverflowError:
            return []
        return [
            entry.name for entry in self._index.entries.values()
            if entry.ours and entry.at is not None and entry.at < oldest
            and entry.mtime_ns < oldest.timestamp() * 1e9  # what was written late is kept as long
        ]  # fmt: skip


def _is_ahead(entry: Entry, now: datetime) -> bool:
    return entry.at is not None and entry.at - now > AHEAD_MAX
