"""Owns what the queue asks of the ledger: the head, its parts, what is near it, what is complete.

Reading functions; they change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ownerreportd.core.channel import Form, Part
from ownerreportd.fsio import FileStat
from ownerreportd.ledger.deliveries import ACCEPTED, Bound

if TYPE_CHECKING:
    import sqlite3


@dataclass(frozen=True, slots=True)
class QueuedReport:
    """A waiting report's row, as far as the queue needs it."""

    rid: int
    seq: int
    id: str | None
    name: bytes
    found: FileStat
    sha256: str | None
    frozen: bool
    corrected: bool
    doubt: bool
    admitted_at: float

    @property
    def earliest_at(self) -> float:
        """UTC of the earliest sign of it: nothing of it was sent before."""
        return min(self.found.mtime_ns / 1e9, self.found.ctime_ns / 1e9, self.admitted_at)


@dataclass(frozen=True, slots=True)
class QueuedPart:
    """A part that is not confirmed, with its doubt as the ledger keeps it (UTC, 0: unknown).

    `accepted` says that the channel has it, by a receipt that proves too little.
    """

    number: int
    form: Form
    doubt_since: float | None
    doubt_last: float | None
    accepted: bool


@dataclass(frozen=True, slots=True)
class QueuedDelivery:
    """A delivery that is not ended, with its unconfirmed parts in order."""

    id: int
    rid: int
    bound: Bound
    parts: tuple[QueuedPart, ...]
    direct: bool = False


def first_waiting(db: sqlite3.Connection) -> QueuedReport | None:
    """The report whose turn it is."""
    found = near_head(db, 1)
    return found[0] if found else None


def near_head(db: sqlite3.Connection, limit: int) -> list[QueuedReport]:
    """The first waiting reports, in order."""
    query = "SELECT * FROM reports WHERE state = 'waiting' ORDER BY seq LIMIT ?"
    return [queued_report(row) for row in db.execute(query, (limit,))]


def first_for(db: sqlite3.Connection, destination: str) -> QueuedReport | None:
    """The report whose turn it is at that destination: the first that goes there, or may.

    One that was not read yet may. What waits at other destinations only is passed by.
    """
    unread = _one(db, "SELECT * FROM reports WHERE state = 'waiting' AND fields IS NULL "
                      "ORDER BY seq LIMIT 1")  # fmt: skip
    first = _one(db, _few(db, destination) or _MANY, destination)
    if unread is None or (first is not None and first.seq < unread.seq):
        return first
    return unread


FEW = 200
# Through the destination's deliveries, which come in no order; or through the queue.
_FEW = (
    "SELECT r.* FROM deliveries d JOIN reports r USING (rid) WHERE d.state = 'waiting' "
    "AND d.destination = ? AND r.state = 'waiting' ORDER BY r.seq LIMIT 1"
)
_MANY = (
    "SELECT * FROM reports r WHERE state = 'waiting' AND EXISTS (SELECT 1 FROM deliveries d "
    "WHERE d.rid = r.rid AND d.state = 'waiting' AND d.destination = ?) ORDER BY seq LIMIT 1"
)


def _few(db: sqlite3.Connection, destination: str) -> str:
    """The query for a destination where few reports wait, however many wait elsewhere."""
    query = "SELECT 1 FROM deliveries WHERE state = 'waiting' AND destination = ? LIMIT 1 OFFSET ?"
    return "" if db.execute(query, (destination, FEW)).fetchone() else _FEW


def _one(db: sqlite3.Connection, query: str, *values: object) -> QueuedReport | None:
    row = db.execute(query, values).fetchone()
    return None if row is None else queued_report(row)


def complete(db: sqlite3.Connection) -> list[int]:
    """The rows of waiting reports that were read, and have no delivery that waits: to settle."""
    rows = db.execute(
        "SELECT rid FROM reports r WHERE state = 'waiting' AND fields IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM deliveries d WHERE d.rid = r.rid AND d.state = 'waiting') ORDER BY seq"
    )
    return [row[0] for row in rows]


def waiting_destinations(db: sqlite3.Connection) -> list[str]:
    """The destinations with a delivery that waits, configured or not."""
    query = "SELECT DISTINCT destination FROM deliveries WHERE state = 'waiting'"
    return [row[0] for row in db.execute(query)]


def by_rid(db: sqlite3.Connection, rid: int) -> QueuedReport | None:
    """A report's row, None if it is not there any more, or is final."""
    query = "SELECT * FROM reports WHERE rid = ? AND state = 'waiting'"
    row = db.execute(query, (rid,)).fetchone()
    return None if row is None else queued_report(row)


def queued_report(row: sqlite3.Row) -> QueuedReport:
    """The row as a value."""
    found = FileStat(row["dev"], row["ino"], row["size"], row["mtime_ns"], row["ctime_ns"])
    return QueuedReport(
        row["rid"], row["seq"], row["id"], row["name"], found, row["sha256"],
        row["fields"] is not None, bool(row["corrected"]), bool(row["doubt"]),
        row["admitted_at"],
    )  # fmt: skip


def next_delivery(
    db: sqlite3.Connection, rid: int, destination: str | None = None
) -> QueuedDelivery | None:
    """The report's first delivery that is not ended (there); one by `send` stands first."""
    row = db.execute(
        "SELECT * FROM deliveries WHERE rid = ? AND state = 'waiting' "
        "AND destination = coalesce(?, destination) ORDER BY direct DESC, ordinal, id LIMIT 1",
        (rid, destination),
    ).fetchone()
    return None if row is None else _queued_delivery(db, row)


def delivery_by_id(db: sqlite3.Connection, delivery: int) -> QueuedDelivery | None:
    """One delivery, None if it is ended."""
    query = "SELECT * FROM deliveries WHERE id = ? AND state = 'waiting'"
    row = db.execute(query, (delivery,)).fetchone()
    return None if row is None else _queued_delivery(db, row)


def waiting_deliveries(db: sqlite3.Connection, rid: int) -> list[QueuedDelivery]:
    """The report's deliveries that are not ended, in order."""
    rows = db.execute(
        "SELECT * FROM deliveries WHERE rid = ? AND state = 'waiting' ORDER BY ordinal, id", (rid,)
    ).fetchall()
    return [_queued_delivery(db, row) for row in rows]


def _queued_delivery(db: sqlite3.Connection, row: sqlite3.Row) -> QueuedDelivery:
    # An attempt whose answer could not be recorded is still open: its part is in doubt too.
    parts = db.execute(
        "SELECT number, form, coalesce(doubt_since, opened_at), coalesce(doubt_last, opened_at), "
        "EXISTS (SELECT 1 FROM attempts a WHERE a.delivery = me.delivery "
        "AND a.number = me.number AND a.key = me.key AND outcome = 'in_doubt' AND code = ?) "
        "AS accepted "
        "FROM (SELECT *, (SELECT min(started_at) FROM attempts a WHERE a.delivery = p.delivery "
        "AND a.number = p.number AND outcome IS NULL) AS opened_at FROM parts p) me "
        "WHERE delivery = ? AND state = 'waiting' ORDER BY number",
        (ACCEPTED, row["id"]),
    )
    bound = Bound(row["destination"], row["channel"], row["target"])
    found = tuple(
        QueuedPart(number, form, since, last, bool(accepted))
        for number, form, since, last, accepted in parts
    )
    return QueuedDelivery(row["id"], row["rid"], bound, found, bool(row["direct"]))


def load_part(db: sqlite3.Connection, delivery: int, number: int, form: Form) -> Part:
    """The frozen part, in that form."""
    row = db.execute(
        "SELECT * FROM parts WHERE delivery = ? AND number = ?", (delivery, number)
    ).fetchone()
    return Part(number, row["count"], row["plain"], row["marked"], row["key"], form)


def attempted(db: sqlite3.Connection, rid: int) -> bool:
    """Whether anything of the report was ever attempted, or may have been."""
    row = db.execute(
        "SELECT EXISTS (SELECT 1 FROM attempts a JOIN deliveries d ON d.id = a.delivery "
        "WHERE d.rid = ?) OR EXISTS (SELECT 1 FROM parts p JOIN deliveries d ON d.id = p.delivery "
        "WHERE d.rid = ? AND (p.state != 'waiting' OR p.doubt_since IS NOT NULL))",
        (rid, rid),
    ).fetchone()
    return bool(row[0])


def maybe_seen(db: sqlite3.Connection, rid: int) -> bool:
    """Whether the owner has seen a part of the report, or may have."""
    row = db.execute(
        "SELECT 1 FROM parts p JOIN deliveries d ON d.id = p.delivery WHERE d.rid = ? "
        "AND (p.state != 'waiting' OR p.doubt_since IS NOT NULL) LIMIT 1",
        (rid,),
    ).fetchone()
    return row is not None


def open_attempt_exists(db: sqlite3.Connection, rid: int) -> bool:
    """Whether an attempt of the report is under way."""
    row = db.execute(
        "SELECT 1 FROM attempts a JOIN deliveries d ON d.id = a.delivery "
        "WHERE d.rid = ? AND a.outcome IS NULL LIMIT 1",
        (rid,),
    ).fetchone()
    return row is not None


def final_folder(db: sqlite3.Connection, rid: int) -> str | None:
    """Where the report belongs when every delivery is ended: `sent` or `held`; None before."""
    rows = db.execute("SELECT state, direct FROM deliveries WHERE rid = ?", (rid,)).fetchall()
    states = [row["state"] for row in rows if row["state"] != "withdrawn"]
    if not states or "waiting" in states:
        return None
    return "held" if "skipped" in states else "sent"


def served_destinations(db: sqlite3.Connection, rid: int) -> frozenset[str]:
    """The names of the destinations with a delivery that `send` did not add, ended or not."""
    rows = db.execute(
        "SELECT destination FROM deliveries WHERE rid = ? AND NOT direct AND state != 'withdrawn'",
        (rid,),
    )
    return frozenset(row[0] for row in rows)


def report_in_lost_doubt(db: sqlite3.Connection, delivery: int) -> str | None:
    """The sha256 of the delivery's report, if it waited when an earlier ledger was lost."""
    row = db.execute(
        "SELECT r.sha256 FROM reports r JOIN deliveries d USING (rid) "
        "WHERE d.id = ? AND r.doubt AND r.sha256 IS NOT NULL",
        (delivery,),
    ).fetchone()
    return None if row is None else str(row["sha256"])


def next_unfrozen(db: sqlite3.Connection, limit: int) -> list[QueuedReport]:
    """Which of the first reports in the queue were not read yet."""
    return [report for report in near_head(db, limit) if not report.frozen]


def ids_in_names(db: sqlite3.Connection, report_id: str) -> list[QueuedReport]:
    """Reports that were not read yet, and whose names could carry this id."""
    rows = db.execute(
        "SELECT * FROM reports WHERE state = 'waiting' AND id IS NULL AND fields IS NULL "
        "AND substr(name, -?) = ?",
        (len(report_id) + 4, f"-{report_id}.md".encode()),
    )
    return [queued_report(row) for row in rows]
