"""Owns what must be said to a ledger that others may have outlived: everything open is in doubt.

Rules: a backup does not know what was delivered after it was made, so that nothing which it calls
unsent is sent without a look or the mark; and nothing of its history is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ownerreportd.ledger.frozen import UNKNOWN_TIME

if TYPE_CHECKING:
    import sqlite3


def doubt_everything_open(db: sqlite3.Connection, at: float) -> int:
    """Put all that waits or was set aside in doubt, and what the next scan finds; how many.

    Twice is harmless. The time of a doubt that is there is given up as well: what was sent later
    may have gone under another key, so that no window is to be trusted.
    """
    cursor = db.execute("UPDATE reports SET doubt = 1 WHERE state IN ('waiting', 'held')")
    db.execute(
        "UPDATE parts SET doubt_since = :unknown, doubt_last = :unknown "
        "WHERE state = 'waiting' AND delivery IN "
        "(SELECT d.id FROM deliveries d JOIN reports r USING (rid) "
        "WHERE d.state IN ('waiting', 'skipped') AND r.state IN ('waiting', 'held'))",
        {"unknown": UNKNOWN_TIME},
    )
    doubt_what_is_found(db, at)
    return cursor.rowcount


def doubt_what_is_found(db: sqlite3.Connection, at: float) -> None:
    """What lies in `pending/` now and is in no ledger may have been delivered before.

    The events go on from a number that no earlier ledger of this spool has reached (none has one
    in each millisecond), so that a reader who remembers its last one misses nothing.
    """
    db.execute("INSERT OR REPLACE INTO meta VALUES ('doubt_at', ?)", (at,))
    db.execute("DELETE FROM meta WHERE key = 'doubt_scanned'")
    number = int(at * 1000)
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    if last is None:
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (number,))
    elif last[0] < number:
        db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'events'", (number,))
