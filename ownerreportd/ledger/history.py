"""Owns how reports that were delivered before this ledger began come into it, as history.

Functions that change work inside a transaction of their caller.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, NamedTuple

from ownerreportd.ledger.admission import add_total, report_fields, take_numbers

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from ownerreportd.core.report import Report
    from ownerreportd.fsio import FileStat


class Past(NamedTuple):
    """A file of `sent/` from before; what could not be read has no id, sha256 or report."""

    name: bytes
    found: FileStat
    id: str | None = None
    sha256: str | None = None
    report: Report | None = None


def is_known(db: sqlite3.Connection, name: bytes) -> bool:
    """Whether the ledger has a report that lies in `sent/` under this name."""
    query = "SELECT 1 FROM reports WHERE name = ? AND folder = 'sent'"
    return db.execute(query, (name,)).fetchone() is not None


def waiting_inodes(db: sqlite3.Connection) -> frozenset[int]:
    """The files of the waiting reports; one of them may just have been moved to `sent/`."""
    rows = db.execute("SELECT ino FROM reports WHERE state = 'waiting'")
    return frozenset(row[0] for row in rows)


def keep(db: sqlite3.Connection, past: Sequence[Past], reason: str) -> None:
    """Give each a row as sent, in this order, written then and moved to `sent/` then."""
    first = take_numbers(db, len(past))
    db.executemany(
        "INSERT INTO reports (seq, id, name, folder, dev, ino, size, mtime_ns, ctime_ns, sha256, "
        "fields, state, reason, admitted_at, settled_at) "
        "VALUES (?, ?, ?, 'sent', ?, ?, ?, ?, ?, ?, ?, 'sent', ?, ?, ?)",
        [
            (first + n, _free_id(db, one.id), one.name, one.found.dev, one.found.ino,
             one.found.size, one.found.mtime_ns, one.found.ctime_ns, one.sha256, _fields(one),
             reason, one.found.mtime_ns / 1e9, one.found.ctime_ns / 1e9)
            for n, one in enumerate(past)
        ],
    )  # fmt: skip
    add_total(db, "sent", len(past))


def _free_id(db: sqlite3.Connection, wanted: str | None) -> str | None:
    taken = db.execute("SELECT 1 FROM reports WHERE id = ?", (wanted,)).fetchone()
    return secrets.token_hex(13) if taken else wanted


def _fields(one: Past) -> str | None:
    said = one.report
    return None if said is None else json.dumps(report_fields(said), ensure_ascii=False)
