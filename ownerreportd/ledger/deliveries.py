"""Owns what happens to a report's deliveries: frozen parts, attempts, outcomes, doubt, receipts.

Every function works inside a transaction of its caller; `at` is UTC in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ownerreportd.core import events
from ownerreportd.core.outcome import (
    Confirmed,
    InDoubt,
    Outcome,
    Receipt,
    Rejected,
    Throttled,
    outcome_name,
)
from ownerreportd.core.report import part_key
from ownerreportd.ledger.store import record

if TYPE_CHECKING:
    import sqlite3

    from ownerreportd.core.channel import Form

ACCEPTED = "accepted"  # the code of an attempt whose receipt proves too little


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a delivery goes: a destination's name, and what it meant when it was frozen."""

    destination: str
    channel: str
    target: str


def begin_attempt(db: sqlite3.Connection, delivery: int, number: int, form: Form, at: float) -> int:
    """Open an attempt; committed before a connection is opened. Its row."""
    db.execute(
        "UPDATE parts SET form = ? WHERE delivery = ? AND number = ?", (form, delivery, number)
    )
    cursor = db.execute(
        "INSERT INTO attempts (delivery, number, key, form, started_at) SELECT delivery, number, "
        "key, ?, ? FROM parts WHERE delivery = ? AND number = ?",
        (form, at, delivery, number),
    )
    attempt = int(cursor.lastrowid or 0)
    _tell(db, at, events.PART_SENDING, delivery, number, form=form, attempt=attempt)
    return attempt


def cancel_attempt(db: sqlite3.Connection, attempt: int) -> None:
    """Take back an attempt that was opened, and never reached the channel."""
    db.execute("DELETE FROM attempts WHERE id = ?", (attempt,))


def end_attempt(db: sqlite3.Connection, attempt: int, outcome: Outcome, at: float) -> None:
    """Close an attempt with its outcome, and all that follows from it for the part."""
    row = db.execute("SELECT * FROM attempts WHERE id = ?", (attempt,)).fetchone()
    delivery, number = row["delivery"], row["number"]
    code = _code(outcome)
    detail = "" if isinstance(outcome, Confirmed) else outcome.detail
    db.execute(
        "UPDATE attempts SET ended_at = ?, outcome = ?, code = ?, detail = ? WHERE id = ?",
        (at, outcome_name(outcome), code, detail, attempt),
    )
    if isinstance(outcome, Confirmed):
        confirm_part(db, delivery, number, outcome.receipt, at)
        if outcome.pause_s > 0:
            throttle(db, _destination(db, delivery), Pause(outcome.pause_s, paced=True), at)
        return
    if isinstance(outcome, InDoubt):
        set_doubt(db, delivery, number, since=row["started_at"], last=at)
    if isinstance(outcome, Throttled):
        throttle(db, _destination(db, delivery), Pause(outcome.retry_after_s), at)
    name = outcome_name(outcome)
    _tell(db, at, events.PART_FAILED, delivery, number, outcome=name, code=code, detail=detail)


def _code(outcome: Outcome) -> str:
    if isinstance(outcome, InDoubt) and outcome.accepted:
        return ACCEPTED
    return outcome.code if isinstance(outcome, Rejected) else ""


def note_accepted(db: sqlite3.Connection, delivery: int, number: int) -> None:
    """Keep that the part in doubt is there, by a receipt that proves too little."""
    db.execute(
        "UPDATE attempts SET code = ? WHERE id = (SELECT max(a.id) FROM attempts a "
        "JOIN parts p USING (delivery, number, key) "
        "WHERE delivery = ? AND number = ? AND outcome = 'in_doubt')",
        (ACCEPTED, delivery, number),
    )


def set_doubt(
    db: sqlite3.Connection, delivery: int, number: int, *, since: float, last: float
) -> None:
    """Put a part in doubt; the first doubtful attempt counts, and the end of the last."""
    db.execute(
        "UPDATE parts SET doubt_since = coalesce(doubt_since, ?), doubt_last = ? "
        "WHERE delivery = ? AND number = ? AND state = 'waiting'",
        (since, last, delivery, number),
    )


def clear_doubt(db: sqlite3.Connection, delivery: int, number: int, at: float, how: str) -> None:
    """The part is surely not at the channel: it can be sent as if for the first time."""
    _end_doubt(db, delivery, number, at)
    _tell(db, at, events.PART_RESOLVED, delivery, number, how=how)


def _end_doubt(db: sqlite3.Connection, delivery: int, number: int, at: float) -> None:
    """No doubt any more, nor from an attempt whose answer could not be recorded."""
    db.execute(
        "UPDATE attempts SET ended_at = ?, outcome = 'in_doubt', detail = 'its answer was lost' "
        "WHERE delivery = ? AND number = ? AND outcome IS NULL",
        (at, delivery, number),
    )
    db.execute(
        "UPDATE parts SET doubt_since = NULL, doubt_last = NULL, form = 'plain' "
        "WHERE delivery = ? AND number = ?",
        (delivery, number),
    )


def confirm_part(
    db: sqlite3.Connection, delivery: int, number: int, receipt: Receipt, at: float,
    *, resolved: str = "",
) -> None:  # fmt: skip
    """The channel has the part. The last one ends the delivery."""
    db.execute(
        "UPDATE parts SET state = 'confirmed', doubt_since = NULL, doubt_last = NULL, "
        "receipt_id = ?, receipt_link = ?, receipt_proof = ?, receipt_note = ?, confirmed_at = ? "
        "WHERE delivery = ? AND number = ?",
        (receipt.id, receipt.link, receipt.proof, receipt.note, at, delivery, number),
    )
    if resolved:
        _tell(db, at, events.PART_RESOLVED, delivery, number, how=resolved)
    fields = {"receipt": receipt.id, "link": receipt.link, "proof": receipt.proof}
    _tell(db, at, events.PART_CONFIRMED, delivery, number, note=receipt.note, **fields)
    _end_if_complete(db, delivery, at, "")


def assert_part(db: sqlite3.Connection, delivery: int, number: int, at: float, who: str) -> None:
    """A person says that the channel has the part."""
    db.execute(
        "UPDATE parts SET state = 'asserted', doubt_since = NULL, doubt_last = NULL, "
        "confirmed_at = ? WHERE delivery = ? AND number = ?",
        (at, delivery, number),
    )
    _tell(db, at, events.PART_RESOLVED, delivery, number, how="sent", who=who)
    _end_if_complete(db, delivery, at, who)


def _end_if_complete(db: sqlite3.Connection, delivery: int, at: float, who: str) -> None:
    count = "SELECT count(*) FROM parts WHERE delivery = ? AND state = ?"
    if db.execute(count, (delivery, "waiting")).fetchone()[0]:
        return
    asserted = db.execute(count, (delivery, "asserted")).fetchone()[0]
    end_delivery(db, delivery, "asserted" if asserted else "confirmed", at, who)


def end_delivery(
    db: sqlite3.Connection, delivery: int, state: str, at: float, who: str = ""
) -> None:
    """Close a delivery: `confirmed`, `asserted`, `skipped` or `withdrawn`."""
    db.execute(
        "UPDATE deliveries SET state = ?, ended_at = ?, ended_by = ? WHERE id = ?",
        (state, at, who, delivery),
    )


def raise_generation(
    db: sqlite3.Connection, delivery: int, number: int, at: float, who: str
) -> None:
    """A person wants the part sent again: new keys, no doubt any more, and the marked form."""
    row = db.execute(
        "SELECT d.*, r.id AS report_id, r.sha256 FROM deliveries d JOIN reports r USING (rid) "
        "WHERE d.id = ?",
        (delivery,),
    ).fetchone()
    generation = row["generation"] + 1
    db.execute("UPDATE deliveries SET generation = ? WHERE id = ?", (generation, delivery))
    waiting = db.execute(
        "SELECT number FROM parts WHERE delivery = ? AND state = 'waiting'", (delivery,)
    ).fetchall()
    for (part,) in waiting:
        key = part_key(row["report_id"], row["sha256"], row["channel"], row["target"],
                       number=part, generation=generation)  # fmt: skip
        db.execute(
            "UPDATE parts SET key = ? WHERE delivery = ? AND number = ?", (key, delivery, part)
        )
    _end_doubt(db, delivery, number, at)
    db.execute(
        "UPDATE parts SET form = 'marked' WHERE delivery = ? AND number = ?", (delivery, number)
    )
    _tell(db, at, events.PART_RESOLVED, delivery, number, how="resend", who=who)


@dataclass(frozen=True, slots=True)
class Pause:
    """For how long a destination is left alone: by its own word, or `paced` within its limit."""

    left_s: float = 0.0
    paced: bool = False


def throttle(db: sqlite3.Connection, destination: str, pause: Pause, at: float) -> None:
    """Nothing to this destination while the pause lasts, over restarts too."""
    db.execute(
        "INSERT OR REPLACE INTO throttles VALUES (?, ?, ?, ?)",
        (destination, at, pause.left_s, pause.paced),
    )


def pause(db: sqlite3.Connection, destination: str, now: float) -> Pause:
    """What is left of the destination's pause.

    Never longer than the pause itself, so that a wrong clock delays nothing for ever.
    """
    row = db.execute("SELECT * FROM throttles WHERE destination = ?", (destination,)).fetchone()
    if row is None:
        return Pause()
    left_s = row["began_at"] + row["delay_s"] - now
    return Pause(max(0.0, min(left_s, row["delay_s"])), bool(row["paced"]))


def end_open_attempts(db: sqlite3.Connection, at: float, detail: str) -> int:
    """Every attempt that a dead process left open puts its part in doubt; how many there were."""
    rows = db.execute("SELECT id FROM attempts WHERE outcome IS NULL").fetchall()
    for (attempt,) in rows:
        end_attempt(db, attempt, InDoubt(detail), at)
    return len(rows)


def withdraw_unused_direct(db: sqlite3.Connection, at: float) -> None:
    """A `send` that died before its first attempt leaves the report as it was."""
    db.execute(
        "UPDATE deliveries SET state = 'withdrawn', ended_at = ? "
        "WHERE direct AND state = 'waiting' AND NOT EXISTS "
        "(SELECT 1 FROM parts p WHERE p.delivery = deliveries.id "
        "AND (p.doubt_since IS NOT NULL OR p.state != 'waiting'))",
        (at,),
    )


def known_receipts(
    db: sqlite3.Connection, channel: str, target: str, *, except_delivery: int, except_number: int
) -> frozenset[str]:
    """The newest 1,000 receipt ids of other parts at this target."""
    rows = db.execute(
        "SELECT p.receipt_id FROM parts p JOIN deliveries d ON d.id = p.delivery "
        "WHERE p.receipt_id IS NOT NULL AND d.channel = ? AND d.target = ? "
        "AND NOT (p.delivery = ? AND p.number = ?) ORDER BY p.confirmed_at DESC LIMIT 1000",
        (channel, target, except_delivery, except_number),
    )
    return frozenset(row[0] for row in rows if row[0])


def asserted_twin(db: sqlite3.Connection, delivery: int, number: int) -> bool:
    """Whether a part with the same text at the same target was asserted, so without a receipt."""
    row = db.execute(
        "SELECT 1 FROM parts p JOIN deliveries d ON d.id = p.delivery, parts me "
        "JOIN deliveries mine ON mine.id = me.delivery WHERE me.delivery = ? AND me.number = ? "
        "AND p.state = 'asserted' AND p.plain_sha256 = me.plain_sha256 "
        "AND d.channel = mine.channel AND d.target = mine.target LIMIT 1",
        (delivery, number),
    ).fetchone()
    return row is not None


def _destination(db: sqlite3.Connection, delivery: int) -> str:
    row = db.execute("SELECT destination FROM deliveries WHERE id = ?", (delivery,)).fetchone()
    return str(row["destination"])


def _tell(
    db: sqlite3.Connection, at: float, kind: str, delivery: int, number: int, **fields: object
) -> None:
    row = db.execute(
        "SELECT r.rid, r.id, d.destination, p.count, p.key FROM deliveries d "
        "JOIN reports r USING (rid) JOIN parts p ON p.delivery = d.id AND p.number = ? "
        "WHERE d.id = ?",
        (number, delivery),
    ).fetchone()
    record(
        db, at, kind, row["rid"], id=row["id"], destination=row["destination"],
        part=number, parts=row["count"], key=row["key"], **fields,
    )  # fmt: skip
