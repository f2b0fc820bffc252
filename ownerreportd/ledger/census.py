"""Owns the comparison of what a scan saw with what the ledger knows.

Rule: the names are compared inside SQLite, in temporary tables that spill to the disk, so that a
backlog of any size costs no memory. Works on a read-only ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

_TABLES = """
CREATE TABLE IF NOT EXISTS temp.seen (
    name BLOB PRIMARY KEY, at_ns INTEGER, dev INTEGER, ino INTEGER, size INTEGER,
    mtime_ns INTEGER, ctime_ns INTEGER, ripe INTEGER
) WITHOUT ROWID
"""


class Census:
    """One scan's names against the ledger's waiting reports."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.execute(_TABLES)
        db.execute("DELETE FROM temp.seen")
        self._newest = db.execute("SELECT coalesce(max(rid), 0) FROM main.reports").fetchone()[0]

    def add(self, entries: Iterable[Sequence[Any]]) -> None:
        """Note a batch of `spool.scan.Entry`."""
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO temp.seen VALUES (?,?,?,?,?,?,?,?)", entries)
        self._db.execute("COMMIT")

    def new(self, batch: int) -> Iterable[list[tuple[Any, ...]]]:
        """What is ripe and unknown, oldest first, in batches of `(name, dev, ino, …)`."""
        rows = self._db.execute(
            "SELECT name, dev, ino, size, mtime_ns, ctime_ns FROM temp.seen s WHERE ripe AND NOT "
            "EXISTS (SELECT 1 FROM main.reports r WHERE r.name = s.name AND r.state = 'waiting') "
            "ORDER BY at_ns, mtime_ns, name"
        )
        try:
            while found := rows.fetchmany(batch):
                yield [tuple(row) for row in found]
        finally:
            rows.close()

    def missing(self, limit: int) -> list[int]:
        """Rows of waiting reports, known before the scan began, whose names it did not see."""
        rows = self._db.execute(
            "SELECT rid FROM main.reports r WHERE state = 'waiting' AND rid <= ? AND NOT EXISTS "
            "(SELECT 1 FROM temp.seen s WHERE s.name = r.name) ORDER BY seq LIMIT ?",
            (self._newest, limit),
        )
        return [row[0] for row in rows]
