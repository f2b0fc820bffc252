"""Owns how a delivery's parts are written down before the first attempt, and dropped unsent.

Every function works inside a transaction of its caller.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, TypeAlias

from ownerreportd.core.report import part_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from ownerreportd.core.channel import Form, Part
    from ownerreportd.ledger.deliveries import Bound

UNKNOWN_TIME = 0.0
SHOWN: Literal["shown"] = "shown"
Place: TypeAlias = tuple[int, int, str]  # number, count, sha256 of the plain form


def freeze(
    db: sqlite3.Connection, rid: int, bound: Bound, parts: Sequence[Part],
    *, ordinal: int, generation: int = 0, direct: bool = False, doubtful: bool = True,
) -> int:  # fmt: skip
    """Write down every part of a delivery in both forms, with its key; the delivery's row.

    Parts that an earlier target of the same destination has are left out. With `doubtful`, the
    parts of a report that waited when an earlier ledger was lost are in doubt from the start.
    """
    generation = max(generation, _last_generation(db, rid, bound))
    report = db.execute("SELECT id, sha256, doubt FROM reports WHERE rid = ?", (rid,)).fetchone()
    cursor = db.execute(
        "INSERT INTO deliveries (rid, ordinal, destination, channel, target, generation, direct) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (rid, ordinal, bound.destination, bound.channel, bound.target, generation, direct),
    )
    delivery = int(cursor.lastrowid or 0)
    doubt = UNKNOWN_TIME if report["doubt"] and doubtful else None
    earlier = {} if direct else _at_earlier_targets(db, rid, bound.destination)
    db.executemany(
        "INSERT INTO parts (delivery, number, count, key, plain, marked, plain_sha256, form, "
        "doubt_since, doubt_last) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                delivery, part.number, part.count,
                part_key(report["id"], report["sha256"], bound.channel, bound.target,
                         number=part.number, generation=generation),
                part.plain, part.marked, _sha256(part.plain), earlier.get(_place(part), "plain"),
                doubt, doubt,
            )
            for part in parts
            if earlier.get(_place(part)) != SHOWN
        ],
    )  # fmt: skip
    return delivery


def _last_generation(db: sqlite3.Connection, rid: int, bound: Bound) -> int:
    """A target that comes back gets no key again that a person has given up."""
    row = db.execute(
        "SELECT coalesce(max(generation), 0) FROM deliveries WHERE rid = ? AND destination = ? "
        "AND channel = ? AND target = ?",
        (rid, bound.destination, bound.channel, bound.target),
    ).fetchone()
    return int(row[0])


def _at_earlier_targets(
    db: sqlite3.Connection, rid: int, destination: str
) -> dict[Place, Form | Literal["shown"]]:
    """What is known of the parts that an earlier target of this destination was to get.

    `shown`: it has the part, by its word or a person's; `marked`: a person wants it sent again.
    """
    rows = db.execute(
        "SELECT p.number, p.count, p.plain_sha256, p.state, p.form FROM parts p "
        "JOIN deliveries d ON d.id = p.delivery WHERE d.rid = ? AND d.destination = ? "
        "AND d.state = 'withdrawn' AND NOT d.direct ORDER BY d.id",
        (rid, destination),
    )
    return {
        (row["number"], row["count"], row["plain_sha256"]):
            row["form"] if row["state"] == "waiting" else SHOWN
        for row in rows
    }  # fmt: skip


def _place(part: Part) -> Place:
    return part.number, part.count, _sha256(part.plain)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def thaw(db: sqlite3.Connection, rid: int) -> None:
    """Drop a report's unfinished deliveries that nothing was ever attempted of."""
    ids = [
        row[0]
        for row in db.execute(
            "SELECT id FROM deliveries d WHERE rid = ? AND state = 'waiting' AND NOT EXISTS "
            "(SELECT 1 FROM attempts a WHERE a.delivery = d.id) AND NOT EXISTS "
            "(SELECT 1 FROM parts p WHERE p.delivery = d.id AND p.state != 'waiting')",
            (rid,),
        )
    ]
    for delivery in ids:
        db.execute("DELETE FROM parts WHERE delivery = ?", (delivery,))
        db.execute("DELETE FROM deliveries WHERE id = ?", (delivery,))
