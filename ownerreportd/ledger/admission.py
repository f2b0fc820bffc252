"""Owns how a report comes into the ledger, and how it leaves it unsent.

Every function works inside a transaction of its caller; `at` is UTC in seconds.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ownerreportd.core import events
from ownerreportd.core.report import Report, derived_id, shown_name
from ownerreportd.ledger.store import record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from ownerreportd.fsio import FileStat


def take_numbers(db: sqlite3.Connection, count: int) -> int:
    """Reserve so many places at the queue's end; the first of them."""
    first = db.execute("SELECT value FROM totals WHERE name = 'next_seq'").fetchone()[0]
    db.execute("UPDATE totals SET value = value + ? WHERE name = 'next_seq'", (count,))
    return int(first)


def add_total(db: sqlite3.Connection, name: str, count: int) -> None:
    """Change one of the running totals."""
    db.execute("UPDATE totals SET value = value + ? WHERE name = ?", (count, name))


def admit(db: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], at: float) -> int:
    """Give sequence numbers to files in this order: `(name, dev, ino, size, mtime_ns, ctime_ns)`.

    A name that waits already is passed over. Answers how many were admitted.
    """
    first = take_numbers(db, len(rows))
    doubtful = _doubtful(db)
    before = db.execute("SELECT coalesce(max(rid), 0) FROM reports").fetchone()[0]
    cursor = db.executemany(
        "INSERT OR IGNORE INTO reports (seq, name, dev, ino, size, mtime_ns, ctime_ns, doubt, "
        "admitted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(first + n, *row, doubtful(row[-1]), at) for n, row in enumerate(rows)],
    )
    db.execute(
        "INSERT INTO events (at, kind, rid, fields) SELECT ?, ?, rid, "
        "json_object('id', id, 'name', shown_name(name)) FROM reports WHERE rid > ? ORDER BY rid",
        (at, events.REPORT_ADMITTED, before),
    )
    add_total(db, "waiting", cursor.rowcount)
    return cursor.rowcount


def admit_submitted(
    db: sqlite3.Connection, name: bytes, found: FileStat, report_id: str, at: float,
    *, who: str, uid: int | None,
) -> int:  # fmt: skip
    """Admit a report that `submit` has just written through the daemon; its row."""
    row = (name, found.dev, found.ino, found.size, found.mtime_ns, found.ctime_ns)
    if admit(db, [row], at):
        db.execute(
            "UPDATE reports SET id = ?, submitted_by = ?, submitted_uid = ?, doubt = 0 "
            "WHERE name = ? AND state = 'waiting'",
            (report_id, who, uid, name),
        )
    return int(waiting_row(db, name)["rid"])


def waiting_row(db: sqlite3.Connection, name: bytes) -> sqlite3.Row:
    """The waiting report of that name."""
    query = "SELECT * FROM reports WHERE name = ? AND state = 'waiting'"
    row: sqlite3.Row = db.execute(query, (name,)).fetchone()
    return row


def _doubtful(db: sqlite3.Connection) -> Callable[[int], bool]:
    """Whether a file with this ctime was pending when an earlier ledger was lost.

    Everything that the first scan finds was; later, what has not changed since.
    """
    lost = dict(db.execute("SELECT key, value FROM meta WHERE key LIKE 'doubt%'").fetchall())
    if not lost:
        return lambda _: False
    if "doubt_scanned" not in lost:
        return lambda _: True
    lost_ns = int(float(lost["doubt_at"]) * 1e9)
    return lambda ctime_ns: ctime_ns <= lost_ns


def end_of_doubtful_scan(db: sqlite3.Connection) -> None:
    """Everything that was pending when the earlier ledger was lost is admitted now."""
    db.execute("INSERT INTO meta VALUES ('doubt_scanned', 1)")


def forget(db: sqlite3.Connection, rid: int, reason: str, at: float) -> None:
    """Take a report back out of the queue that was admitted too early; it will come again.

    Nothing of it was ever attempted. An empty `reason` is not told: it was told before.
    """
    row = db.execute("SELECT id, name FROM reports WHERE rid = ?", (rid,)).fetchone()
    db.execute(
        "DELETE FROM parts WHERE delivery IN (SELECT id FROM deliveries WHERE rid = ?)", (rid,)
    )
    db.execute("DELETE FROM deliveries WHERE rid = ?", (rid,))
    db.execute("DELETE FROM reports WHERE rid = ?", (rid,))
    db.execute("DELETE FROM events WHERE rid = ? AND kind = ?", (rid, events.REPORT_ADMITTED))
    if reason:
        name = shown_name(row["name"])
        record(db, at, events.REPORT_WARNING, None, id=row["id"], name=name, detail=reason)
    add_total(db, "waiting", -1)


@dataclass(frozen=True, slots=True)
class Identity:
    """The id that a report shall have, and whether another report's bytes are the same."""

    id: str
    duplicate_of: int | None = None
    conflict: str = ""


def choose_id(
    db: sqlite3.Connection, row: sqlite3.Row, data: bytes, sha256: str,
    *, name_id: str | None, front_id: str | None,
) -> Identity:  # fmt: skip
    """The report's id: its row's, else from `submit`'s name, else its front matter's, else derived.

    Only ids from `submit` are compared with earlier ones for the same bytes: a dropped file is
    never taken for a duplicate, since agents copy examples with their ids.
    """
    if row["id"]:
        return Identity(row["id"])
    own = _free_id(db, row, data)
    if name_id is not None:
        other = db.execute("SELECT rid, sha256 FROM reports WHERE id = ?", (name_id,)).fetchone()
        if other is None:
            return Identity(name_id)
        if other["sha256"] == sha256:
            return Identity(own, duplicate_of=other["rid"])
        return Identity(own, conflict=name_id)
    if front_id is not None:
        taken = db.execute("SELECT 1 FROM reports WHERE id = ?", (front_id,)).fetchone()
        return Identity(front_id) if taken is None else Identity(own, conflict=front_id)
    return Identity(own)


def _free_id(db: sqlite3.Connection, row: sqlite3.Row, data: bytes) -> str:
    report_id = derived_id(row["name"], row["mtime_ns"], data)
    while db.execute("SELECT 1 FROM reports WHERE id = ?", (report_id,)).fetchone():
        report_id = secrets.token_hex(13)
    return report_id


def identify(db: sqlite3.Connection, rid: int, identity: Identity, at: float) -> None:
    """Write the id down, and say where it is not the one that the file asked for."""
    db.execute("UPDATE reports SET id = ? WHERE rid = ?", (identity.id, rid))
    if identity.conflict:
        wanted = identity.conflict
        record(db, at, events.REPORT_ID_CONFLICT, rid, id=identity.id, wanted=wanted)


def set_content(
    db: sqlite3.Connection, rid: int, found: FileStat, sha256: str, report: Report | None
) -> None:
    """Note which bytes of the file count, and what its front matter says."""
    fields = None if report is None else json.dumps(report_fields(report), ensure_ascii=False)
    db.execute(
        "UPDATE reports SET dev = ?, ino = ?, size = ?, mtime_ns = ?, ctime_ns = ?, sha256 = ?, "
        "fields = coalesce(?, fields) WHERE rid = ?",
        (found.dev, found.ino, found.size, found.mtime_ns, found.ctime_ns, sha256, fields, rid),
    )


def report_fields(report: Report) -> dict[str, Any]:
    """The report's fields as JSON keeps them."""
    names = ("title", "team", "worker", "task_id", "progress", "status", "source", "created")
    return {name: getattr(report, name) for name in names} | {"to": list(report.to)}


def end_unsent(
    db: sqlite3.Connection,
    rid: int,
    state: str,
    at: float,
    *,
    reason: str,
    folder: str,
    name: bytes,
) -> None:
    """Close a report as `rejected`, `withdrawn` or `held` (and, as the state, say why)."""
    row = db.execute("SELECT id, name FROM reports WHERE rid = ?", (rid,)).fetchone()
    db.execute(
        "UPDATE deliveries SET state = 'withdrawn', ended_at = ? "
        "WHERE rid = ? AND state = 'waiting'",
        (at, rid),
    )
    close_report(db, rid, state, at, reason=reason, folder=folder, name=name)
    kind = {
        "rejected": events.REPORT_REJECTED,
        "withdrawn": events.REPORT_WITHDRAWN,
        "held": events.REPORT_HELD,
    }[state]
    record(db, at, kind, rid, id=row["id"], name=shown_name(row["name"]), reason=reason)


def close_report(
    db: sqlite3.Connection, rid: int, state: str, at: float,
    *, reason: str | None, folder: str, name: bytes,
) -> None:  # fmt: skip
    """The report's final row: state, and where its file lies; the frozen texts are let go."""
    db.execute(
        "UPDATE reports SET state = ?, settled_at = ?, folder = ?, name = ?, missing_at = NULL, "
        "reason = coalesce(?, reason) WHERE rid = ?",
        (state, at, folder, name, reason, rid),
    )
    if state != "held":  # a held report may be tried again, its parts in doubt as they were
        db.execute(
            "UPDATE parts SET plain = x'', marked = x'' "
            "WHERE delivery IN (SELECT id FROM deliveries WHERE rid = ?)",
            (rid,),
        )
    add_total(db, "waiting", -1)
    if state in {"sent", "rejected"}:
        add_total(db, state, 1)


def reject_unadmitted(
    db: sqlite3.Connection, name: bytes, moved: bytes, reason: str, at: float
) -> None:
    """Keep a row for what was no report from the start (a link, a FIFO)."""
    db.execute(
        "INSERT INTO reports (seq, name, folder, dev, ino, size, mtime_ns, ctime_ns, state, "
        "reason, admitted_at, settled_at) VALUES (?, ?, 'rejected', 0, 0, 0, 0, 0, 'rejected', "
        "?, ?, ?)",
        (take_numbers(db, 1), moved, reason, at, at),
    )
    rid = db.execute("SELECT last_insert_rowid()").fetchone()[0]
    add_total(db, "rejected", 1)
    record(db, at, events.REPORT_REJECTED, rid, id=None, name=shown_name(name), reason=reason)


def drop_duplicate(db: sqlite3.Connection, rid: int, other: int, at: float) -> None:
    """Take out a second submission of the same id and bytes; its file is removed afterwards."""
    first = db.execute("SELECT id FROM reports WHERE rid = ?", (other,)).fetchone()
    row = db.execute("SELECT name FROM reports WHERE rid = ?", (rid,)).fetchone()
    db.execute("DELETE FROM reports WHERE rid = ?", (rid,))
    name = shown_name(row["name"])
    record(db, at, events.REPORT_DUPLICATE, other, id=first["id"], name=name)
    add_total(db, "waiting", -1)


def held_at(db: sqlite3.Connection, name: bytes, dev: int, ino: int) -> int | None:
    """The held report whose file this is: back by hand, or by a `retry` that a crash cut off."""
    row = db.execute(
        "SELECT rid FROM reports WHERE name = ? AND state = 'held' AND dev = ? AND ino = ?",
        (name, dev, ino),
    ).fetchone()
    return None if row is None else int(row["rid"])


def requeue(
    db: sqlite3.Connection, rid: int, name: bytes, at: float, destination: str | None = None
) -> None:
    """Put a held report back at the tail of the queue, with its skipped deliveries (there) open.

    What the ledger knows of its file stays as it was, so that an edited one is noticed.
    """
    opened = db.execute(
        "UPDATE deliveries SET state = 'waiting', ended_at = NULL, ended_by = '' "
        "WHERE rid = ? AND state = 'skipped' AND destination = coalesce(?, destination)",
        (rid, destination),
    )
    db.execute(
        "UPDATE reports SET state = 'waiting', seq = ?, name = ?, folder = 'pending', "
        "settled_at = NULL, reason = '' WHERE rid = ?",
        (take_numbers(db, 1), name, rid),
    )
    if not opened.rowcount:  # it was set aside unread, so it is frozen now
        db.execute("UPDATE reports SET fields = NULL WHERE rid = ?", (rid,))
    row = db.execute("SELECT id FROM reports WHERE rid = ?", (rid,)).fetchone()
    add_total(db, "waiting", 1)
    record(db, at, events.REPORT_ADMITTED, rid, id=row["id"], name=shown_name(name), again=True)
