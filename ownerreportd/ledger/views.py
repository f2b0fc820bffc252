"""Owns how the ledger is shown: reports as JSON, figures for the status, finding one by a word.

Reading functions. Times leave as RFC 3339 in UTC.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ownerreportd.core import events
from ownerreportd.core.errors import NotFoundError, UsageError
from ownerreportd.core.report import is_valid_id, shown_name

if TYPE_CHECKING:
    import sqlite3

Json: TypeAlias = dict[str, Any]
PREFIX_MIN = 4
REJECTED_SHOWN = 5
FINAL = ("sent", "held", "withdrawn", "rejected")


def rfc3339(at: float | None) -> str | None:
    """Seconds since the epoch as text; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def find(db: sqlite3.Connection, ref: str) -> int:
    """The row of the report that `ref` means: id, `head`, file name, or a unique prefix of an id.

    Raises:
        NotFoundError: if there is none. UsageError: if several begin like this.
    """
    if ref == "head":
        query = "SELECT rid FROM reports WHERE state = 'waiting' ORDER BY seq LIMIT 1"
        row = db.execute(query).fetchone()
        if row is None:
            raise NotFoundError("nothing is waiting, so there is no head", hint="ownerreportd list")
        return int(row[0])
    row = None
    if is_valid_id(ref):
        row = db.execute("SELECT rid FROM reports WHERE id = ?", (ref,)).fetchone()
    row = row or _by_name(db, ref)
    return int(row[0]) if row is not None else _by_prefix(db, ref)


def _by_name(db: sqlite3.Connection, ref: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT rid FROM reports WHERE name = ? "
        "ORDER BY state = 'waiting' DESC, state = 'held' DESC, rid DESC LIMIT 1",
        (_bytes_of(ref),),
    ).fetchone()
    return row


def _bytes_of(name: str) -> bytes:
    """A name as the command line gives it; bytes that are no UTF-8 stand in it as surrogates."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return b""  # a surrogate that stands for no byte: no file is called so


def _by_prefix(db: sqlite3.Connection, ref: str) -> int:
    if len(ref) >= PREFIX_MIN and is_valid_id(ref):
        upper = ref[:-1] + chr(ord(ref[-1]) + 1)
        found = db.execute(
            "SELECT rid, id FROM reports WHERE id >= ? AND id < ? LIMIT 2", (ref, upper)
        ).fetchall()
        if len(found) == 1:
            return int(found[0]["rid"])
        if found:
            ids = " and ".join(row["id"] for row in found)
            raise UsageError(f"several reports begin with {ref!r}: {ids}", hint="type more of it")
    raise NotFoundError(
        f"no report {ref!r}",
        hint="ownerreportd list  # an ID is the id, 4 characters or more of it, or the file's name",
    )


class Wanted(NamedTuple):
    """Which reports: in a state, of a team, admitted since then (seconds since the epoch)."""

    state: str | None = None
    team: str | None = None
    since: float | None = None


def list_reports(db: sqlite3.Connection, wanted: Wanted, limit: int, after: int) -> list[Json]:
    """Reports with a sequence number above `after`, oldest first."""
    waits = wanted.state in {"waiting", "sending", "blocked"}
    rows = db.execute(
        "SELECT * FROM reports WHERE seq > :after AND (:state IS NULL OR state = :state) "
        "AND (:team IS NULL OR json_extract(fields, '$.team') = :team) "
        "AND (:since IS NULL OR admitted_at >= :since) ORDER BY seq LIMIT :limit",
        {**wanted._asdict(), "state": "waiting" if waits else wanted.state,
         "after": after, "limit": limit},
    ).fetchall()  # fmt: skip
    return [report_json(db, row, parts=False) for row in rows]


def one_report(db: sqlite3.Connection, rid: int) -> Json:
    """One report with everything that the ledger knows of it.

    Raises:
        NotFoundError: if it was taken out of the queue meanwhile.
    """
    row = db.execute("SELECT * FROM reports WHERE rid = ?", (rid,)).fetchone()
    if row is None:
        raise NotFoundError("the report is not in the queue any more", hint="ownerreportd list")
    return report_json(db, row, parts=True)


def report_json(db: sqlite3.Connection, row: sqlite3.Row, *, parts: bool) -> Json:
    """A report's row as the socket shows it."""
    fields = json.loads(row["fields"]) if row["fields"] else {}
    names = ("title", "team", "worker", "task_id", "progress", "status")
    position = None
    if row["state"] == "waiting" and parts:
        query = "SELECT count(*) FROM reports WHERE state = 'waiting' AND seq <= ?"
        position = db.execute(query, (row["seq"],)).fetchone()[0]
    rows = db.execute(
        "SELECT * FROM deliveries WHERE rid = ? ORDER BY ordinal, id", (row["rid"],)
    ).fetchall()
    return {
        "id": row["id"], "seq": row["seq"], "name": shown_name(row["name"]),
        "state": row["state"], "folder": row["folder"],
        **{name: fields.get(name, "") for name in names}, "to": fields.get("to", []),
        "sha256": row["sha256"], "size": row["size"], "corrected": bool(row["corrected"]),
        "admitted_at": rfc3339(row["admitted_at"]), "settled_at": rfc3339(row["settled_at"]),
        "position": position, "reason": row["reason"],
        "submitted_by": row["submitted_by"], "submitted_by_uid": row["submitted_uid"],
        "warnings": _warnings(db, row["rid"]) if parts else [],
        "deliveries": [_delivery_json(db, delivery, parts=parts) for delivery in rows],
    }  # fmt: skip


def _warnings(db: sqlite3.Connection, rid: int) -> list[str]:
    """What was odd about the report."""
    rows = db.execute(
        "SELECT fields FROM events WHERE rid = ? AND kind = ? ORDER BY id",
        (rid, events.REPORT_WARNING),
    )
    return [json.loads(row["fields"]).get("detail", "") for row in rows]


def _delivery_json(db: sqlite3.Connection, row: sqlite3.Row, *, parts: bool) -> Json:
    shown: Json = {
        "destination": row["destination"], "channel": row["channel"], "target": row["target"],
        "state": row["state"], "generation": row["generation"], "direct": bool(row["direct"]),
        "ended_at": rfc3339(row["ended_at"]), "ended_by": row["ended_by"],
    }  # fmt: skip
    if parts:
        found = db.execute(
            "SELECT * FROM parts WHERE delivery = ? ORDER BY number", (row["id"],)
        ).fetchall()
        shown["parts"] = [_part_json(db, part) for part in found]
    return shown


def _part_json(db: sqlite3.Connection, row: sqlite3.Row) -> Json:
    attempts = db.execute(
        "SELECT * FROM attempts WHERE delivery = ? AND number = ? ORDER BY id",
        (row["delivery"], row["number"]),
    ).fetchall()
    receipt = None
    if row["receipt_id"] is not None:
        receipt = {
            "id": row["receipt_id"], "link": row["receipt_link"], "proof": row["receipt_proof"],
            "note": row["receipt_note"], "at": rfc3339(row["confirmed_at"]),
        }  # fmt: skip
    doubtful = row["doubt_since"] is not None
    return {
        "number": row["number"], "count": row["count"], "key": row["key"],
        "state": "in_doubt" if doubtful else row["state"], "form": row["form"],
        "doubt_since": rfc3339(row["doubt_since"]) if row["doubt_since"] else None,
        "receipt": receipt,
        "attempts": [_attempt_json(attempt) for attempt in attempts],
    }  # fmt: skip


def _attempt_json(row: sqlite3.Row) -> Json:
    ended = row["ended_at"]
    return {
        "started_at": rfc3339(row["started_at"]), "ended_at": rfc3339(ended),
        "duration_s": None if ended is None else round(ended - row["started_at"], 3),
        "form": row["form"], "outcome": row["outcome"], "code": row["code"],
        "detail": row["detail"],
    }  # fmt: skip


def figures(db: sqlite3.Connection) -> Json:
    """Totals, the oldest report that waits, and the last delivery."""
    totals = {row["name"]: row["value"] for row in db.execute("SELECT * FROM totals")}
    oldest = db.execute(
        "SELECT admitted_at FROM reports WHERE state = 'waiting' ORDER BY seq LIMIT 1"
    ).fetchone()
    return {
        "waiting": totals["waiting"], "sent_total": totals["sent"],
        "rejected_total": totals["rejected"],
        "oldest_at": None if oldest is None else oldest["admitted_at"],
        "last_delivery": _last_delivery(db),
    }  # fmt: skip


def waiting_for(db: sqlite3.Connection, destination: str) -> int:
    """How many reports wait for that destination; one that was not read yet may, and counts."""
    return int(
        db.execute(
            "SELECT (SELECT count(*) FROM deliveries WHERE state = 'waiting' AND destination = ?) "
            "+ (SELECT count(*) FROM reports WHERE state = 'waiting' AND fields IS NULL)",
            (destination,),
        ).fetchone()[0]
    )


def rejected_since(db: sqlite3.Connection, at: float) -> list[Json]:
    """What was set aside as no report since then, newest first: `{name, reason}`, a few of them."""
    rows = db.execute(
        "SELECT name, reason FROM reports WHERE state = 'rejected' AND settled_at >= ? "
        "ORDER BY rid DESC LIMIT ?",
        (at, REJECTED_SHOWN),
    )
    return [{"name": shown_name(row["name"]), "reason": row["reason"]} for row in rows]


def _last_delivery(db: sqlite3.Connection) -> Json | None:
    row = db.execute(
        "SELECT p.*, r.id FROM parts p JOIN deliveries d ON d.id = p.delivery "
        "JOIN reports r USING (rid) WHERE p.receipt_id IS NOT NULL "
        "ORDER BY p.confirmed_at DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    receipt = {name: row[f"receipt_{name}"] for name in ("id", "link", "proof", "note")}
    return {"id": row["id"], "at": rfc3339(row["confirmed_at"]), "receipt": receipt}


def head_figures(db: sqlite3.Connection, rid: int, delivery: int | None) -> Json:
    """How often the head was attempted, and what the last answer was."""
    row = db.execute("SELECT * FROM reports WHERE rid = ?", (rid,)).fetchone()
    if row is None:
        return {}
    fields = json.loads(row["fields"]) if row["fields"] else {}
    last = db.execute(
        "SELECT outcome, code, detail FROM attempts WHERE delivery = ? AND outcome IS NOT NULL "
        "ORDER BY id DESC LIMIT 1",
        (delivery,),
    ).fetchone()
    count = db.execute("SELECT count(*) FROM attempts WHERE delivery = ?", (delivery,)).fetchone()
    return {
        "id": row["id"], "name": shown_name(row["name"]),
        "title": fields.get("title") or fields.get("task_id") or "",
        "attempts": count[0],
        "last_outcome": last["outcome"] if last else None,
        "last_error": (last["detail"] or None) if last else None,
    }  # fmt: skip


def remote_delivery_known(db: sqlite3.Connection) -> str | None:
    """The channel of a delivery that left this machine, if there ever was one."""
    row = db.execute(
        "SELECT channel FROM deliveries WHERE channel NOT IN ('inbox', 'console') LIMIT 1"
    ).fetchone()
    return None if row is None else str(row["channel"])


def known_id(db: sqlite3.Connection, report_id: str) -> sqlite3.Row | None:
    """The report with this id."""
    row: sqlite3.Row | None = db.execute(
        "SELECT rid, id, name, sha256, folder, state FROM reports WHERE id = ?", (report_id,)
    ).fetchone()
    return row


def raw_report(db: sqlite3.Connection, rid: int) -> sqlite3.Row:
    """The report's row."""
    row: sqlite3.Row = db.execute("SELECT * FROM reports WHERE rid = ?", (rid,)).fetchone()
    return row


def receipts(db: sqlite3.Connection, delivery: int) -> list[Json]:
    """The receipts of a delivery's parts, in order."""
    rows = db.execute("SELECT * FROM parts WHERE delivery = ? ORDER BY number", (delivery,))
    shown = [_part_json(db, row)["receipt"] for row in rows.fetchall()]
    return [receipt for receipt in shown if receipt is not None]
