"""Owns the comparison of what a scan saw with what the ledger knows.

Rule: the names are compared inside SQLite, in temporary tables that spill to the disk, so that a
backlog of any size costs no memory. Works on a read-only ledger.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ownerreportd.ledger.store import sqlite_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TABLES = """
CREATE TABLE temp.seen (
    name BLOB, at_ns INTEGER, dev INTEGER, ino INTEGER, size INTEGER,
    mtime_ns INTEGER, ctime_ns INTEGER, ripe INTEGER
)
"""


class Census:
    """One scan's names against the ledger's waiting reports.

    The table of names has no key: filling a keyed one in the folder's order took longer than all
    the rest of a scan (measured with 100,000 names). Every method raises LedgerError if SQLite
    fails, also where the disk for temporary files is full.
    """

    @sqlite_errors()
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        if db.in_transaction:
            db.execute("ROLLBACK")  # an earlier census ended in an error
        db.execute("PRAGMA temp.journal_mode = OFF")
        db.execute("DROP TABLE IF EXISTS temp.seen")
        db.execute(_TABLES)
        self._newest = db.execute("SELECT coalesce(max(rid), 0) FROM main.reports").fetchone()[0]

    @sqlite_errors()
    def add(self, entries: Iterable[Sequence[Any]]) -> None:
        """Note a batch of `spool.scan.Entry`."""
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO temp.seen VALUES (?,?,?,?,?,?,?,?)", entries)
        self._db.execute("COMMIT")

    def new(self, batch: int) -> Iterable[list[tuple[Any, ...]]]:
        """What is ripe and unknown, oldest first, in batches of `(name, dev, ino, …)`."""
        with sqlite_errors():
            yield from self._new(batch)

    def _new(self, batch: int) -> Iterable[list[tuple[Any, ...]]]:
        rows = self._db.execute(
            "SELECT name, dev, ino, size, mtime_ns, ctime_ns FROM temp.seen s WHERE ripe AND NOT "
            "EXISTS (SELECT 1 FROM main.reports r WHERE r.name = s.name AND r.state = 'waiting') "
            "ORDER BY at_ns, mtime_ns, name"
        )
        try:
            while found := rows.fetchmany(batch):
                yield [tuple(row) for row in found]
        finally:
            with suppress(sqlite3.ProgrammingError):  # a scan that a stop cut off: it is closed
                rows.close()

    @sqlite_errors()
    def missing(self, limit: int) -> list[int]:
        """Rows of waiting reports, known before the scan began, whose names it did not see."""
        known = self._db.execute(
            "SELECT count(*) FROM main.reports WHERE state = 'waiting' AND rid <= ?",
            (self._newest,),
        ).fetchone()[0]
        found = self._db.execute(
            "SELECT count(*) FROM temp.seen s CROSS JOIN main.reports r "
            "ON r.name = s.name AND r.state = 'waiting' AND r.rid <= ?",
            (self._newest,),
        ).fetchone()[0]
        if known == found:
            return []  # the common case, without an index over everything that was seen
        rows = self._db.execute(
            "SELECT rid FROM main.reports WHERE state = 'waiting' AND rid <= ? "
            "AND name NOT IN (SELECT name FROM temp.seen) ORDER BY seq LIMIT ?",
            (self._newest, limit),
        )
        return [row[0] for row in rows]
