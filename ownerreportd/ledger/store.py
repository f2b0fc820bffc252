"""Owns the ledger's file: opening, beginning, refusing, transactions, and what its errors mean.

Rule: a ledger that is missing or damaged where one was is never replaced silently.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ownerreportd import fsio
from ownerreportd.core.errors import StorageError
from ownerreportd.core.report import shown_name
from ownerreportd.ledger.restored import doubt_what_is_found
from ownerreportd.ledger.schema import TABLES, UPGRADES, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ownerreportd.core.lane_words import BlockCode

FILE = "ledger.sqlite3"
CHECKED_BYTES_MAX = 64 << 20  # a larger one is not read whole at each start
_SUFFIXES = ("", "-wal", "-shm")


class LedgerError(Exception):
    """Raised when the ledger could not be read or written; `code` is the lane's blocked reason."""

    def __init__(self, message: str, code: BlockCode) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Ledger:
    """An open ledger. Calls come one at a time, from any thread.

    A transaction belongs to one thread at a time; the caller sees to that.
    """

    db: sqlite3.Connection
    path: Path

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable change, all or nothing.

        Raises:
            LedgerError: if it could not be committed. Nothing of it stays then.
        """
        with sqlite_errors():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view."""
        with sqlite_errors():
            self.db.execute("BEGIN")
            try:
                yield self.db
            finally:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file; nothing is lost by not doing so."""
        self.db.close()


def ledger_error(error: sqlite3.Error) -> LedgerError:
    """What SQLite's error means for the lane."""
    primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    code: BlockCode = "ledger"
    if primary == sqlite3.SQLITE_FULL:
        code = "disk_full"
    elif primary in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
        code = "disk_error"
    return LedgerError(f"the ledger: {error}", code)


@contextlib.contextmanager
def sqlite_errors() -> Iterator[None]:
    """SQLite's errors as what they mean.

    Raises:
        LedgerError: if SQLite raised.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise ledger_error(error) from error


def disk_code(error: OSError) -> BlockCode:
    """What an operating system's error means for the lane. A failed fsync is never a full disk."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT} and not isinstance(error, fsio.FsyncError)
    return "disk_full" if full else "disk_error"


def record(
    db: sqlite3.Connection, at: float, kind: str, rid: int | None = None, **fields: Any
) -> None:
    """Keep an event, in the transaction of the change that it tells of."""
    text = json.dumps(fields, ensure_ascii=False)
    db.execute(
        "INSERT INTO events (at, kind, rid, fields) VALUES (?, ?, ?, ?)", (at, kind, rid, text)
    )


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
    with _closed_by_an_error(db):
        db.row_factory = sqlite3.Row
        db.create_function("shown_name", 1, shown_name, deterministic=True)
        db.execute("PRAGMA cache_size = -2000")
        db.execute("PRAGMA temp_store = FILE")
    return db


@contextlib.contextmanager
def _closed_by_an_error(db: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        db.close()
        raise


def _set_durable(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")


def open_reader(root: Path) -> Ledger:
    """A second, read-only view of the ledger, for scanning and for `status` without a daemon.

    Raises:
        LedgerError: if there is none, or it cannot be read.
    """
    path = root / "state" / FILE
    try:
        return Ledger(_connect(path, read_only=True), path)
    except sqlite3.Error as error:
        raise ledger_error(error) from error


def open_ledger(root: Path, lock_fd: int) -> Ledger:
    """The spool's ledger; begun if no daemon ran here before.

    The lock's file says on its second line that a ledger was begun; only then a missing one is
    a lost one.

    Raises:
        StorageError: if there was one and it is missing or damaged.
    """
    path = root / "state" / FILE
    signed = b"\nledger " in os.pread(lock_fd, 200, 0)
    if path.exists() and (signed or _is_whole(path)):
        ledger = _open_checked(root, path)
    elif signed:
        raise _lost(root, "is missing")
    else:
        _remove_unfinished(path)
        ledger = begin_ledger(root)
    _sign(lock_fd)
    return ledger


def _sign(lock_fd: int) -> None:
    """Write who holds the lock, and that a ledger was begun; before anything is sent.

    Always the same length and in one write, so that no crash leaves the second line away.
    """
    os.pwrite(lock_fd, f"pid {os.getpid():<10}\nledger 1\n".encode(), 0)
    fsio.fsync(lock_fd)


def _is_whole(path: Path) -> bool:
    """Whether a ledger was begun to the end; its tables come into being in one transaction."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(path)) as db:
        return bool(db.execute("PRAGMA user_version").fetchone()[0])
    return False


def _remove_unfinished(path: Path) -> None:
    """What a first start that died left of a ledger, before anything could depend on it."""
    for suffix in _SUFFIXES:
        path.with_name(FILE + suffix).unlink(missing_ok=True)


def _open_checked(root: Path, path: Path) -> Ledger:
    try:
        db = _connect(path)
        with _closed_by_an_error(db):
            _check(db, root, path)
    except sqlite3.Error as error:
        raise _lost(root, f"cannot be read ({error})") from error
    return Ledger(db, path)


def _check(db: sqlite3.Connection, root: Path, path: Path) -> None:
    """Make sure that it is whole, and of this version."""
    _set_durable(db)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if path.stat().st_size <= CHECKED_BYTES_MAX:
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _lost(root, f"is damaged ({found})")
    version = _upgraded(db, version)
    if version != VERSION:
        what = f"has version {version}, and this program knows {VERSION}"
        raise _newer(root, what) if version > VERSION else _lost(root, what)


def _upgraded(db: sqlite3.Connection, version: int) -> int:
    """The ledger's version, after what an older one lacks was added; all or nothing."""
    if version not in UPGRADES:
        return version
    db.execute("BEGIN IMMEDIATE")
    while version in UPGRADES:
        for statement in UPGRADES[version]:
            db.execute(statement)
        version += 1
    db.execute(f"PRAGMA user_version = {version}")
    db.execute("COMMIT")
    return version


def _newer(root: Path, what: str) -> StorageError:
    return StorageError(
        f"the ledger {root / 'state' / FILE} {what}",
        hint="install the newer ownerreportd again, or restore the backup that was made before it "
        "(then: ownerreportd doctor --restored)",
        code="ledger",
    )


def _lost(root: Path, what: str) -> StorageError:
    return StorageError(
        f"the ledger {root / 'state' / FILE} {what}, and a daemon ran on this spool before",
        hint="restore it from a backup (then: ownerreportd doctor --restored), or: "
        "ownerreportd doctor --new-ledger  # begins one in which everything pending is in doubt",
        code="ledger",
    )


def begin_ledger(root: Path, *, everything_in_doubt: bool = False) -> Ledger:
    """A new ledger, whole on the disk when this returns.

    With `everything_in_doubt`, every report that is found may have been delivered before.
    """
    path = root / "state" / FILE
    try:
        db = _connect(path)
        with _closed_by_an_error(db):
            _set_durable(db)
            db.execute("BEGIN IMMEDIATE")
            for statement in TABLES.split(";\n"):
                if statement.strip():
                    db.execute(statement)
            db.execute("INSERT INTO meta VALUES ('uuid', ?)", (str(uuid.uuid4()),))
            db.execute("INSERT INTO meta VALUES ('begun_at', ?)", (time.time(),))
            if everything_in_doubt:
                doubt_what_is_found(db, time.time())
            db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise ledger_error(error) from error
    with fsio.directory(root / "state") as fd:
        fsio.fsync(fd)
    return Ledger(db, path)


def set_aside_ledger(root: Path, lock_fd: int) -> list[str]:
    """Rename the ledger's files, so that a new one can be begun; their new names.

    A crash in between leaves a spool without a ledger, which is refused at the next start and
    can be set aside again.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = []
    with fsio.directory(root / "state") as fd:
        for suffix in _SUFFIXES:
            old = (FILE + suffix).encode()
            if fsio.lstat(fd, old) is None:
                continue
            new = f"{FILE}{suffix}.set-aside-{stamp}".encode()
            fsio.move(fd, old, fd, new)
            names.append(new.decode())
    begin_ledger(root, everything_in_doubt=True).close()
    _sign(lock_fd)
    return names
