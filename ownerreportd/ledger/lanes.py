"""Owns what a lane keeps over restarts: the pause, and since when it is blocked or waits.

Every function but `load` works inside a transaction of its caller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from ownerreportd.core import events
from ownerreportd.ledger.store import record

if TYPE_CHECKING:
    import sqlite3

MAIN = "main"  # the one lane; among several, what is said of all of them
KeptState: TypeAlias = Literal["idle", "waiting", "blocked"]


@dataclass(frozen=True, slots=True)
class KeptLane:
    """A lane as the ledger keeps it. `since` is UTC, None while nothing is wrong."""

    paused: bool = False
    state: KeptState = "idle"
    code: str = ""
    since: float | None = None
    paused_at: float | None = None


def load(db: sqlite3.Connection, name: str) -> KeptLane:
    """The lane as it was kept; as new where it was not.

    Of a pause or its end, the later word counts: the lane's own, or that for all lanes.
    """
    kept = _row(db, name)
    said = kept if name == MAIN else max(kept, _row(db, MAIN), key=lambda row: row.paused_at or 0.0)
    return replace(kept, paused=said.paused, paused_at=said.paused_at)


def _row(db: sqlite3.Connection, name: str) -> KeptLane:
    row = db.execute("SELECT * FROM lanes WHERE name = ?", (name,)).fetchone()
    if row is None:
        return KeptLane()
    return KeptLane(bool(row["paused"]), row["state"], row["code"], row["since"], row["paused_at"])


def set_paused(db: sqlite3.Connection, name: str, *, paused: bool, at: float, who: str) -> None:
    """Keep the pause, and who asked for it."""
    _ensure(db, name)
    db.execute("UPDATE lanes SET paused = ?, paused_at = ? WHERE name = ?", (paused, at, name))
    kind = events.QUEUE_PAUSED if paused else events.QUEUE_RESUMED
    record(db, at, kind, lane=name, who=who)


def keep(
    db: sqlite3.Connection, name: str, kept: KeptLane, *, at: float, reason: str, hint: str
) -> None:
    """Keep a change of state, and tell of it."""
    _ensure(db, name)
    db.execute(
        "UPDATE lanes SET state = ?, code = ?, since = ? WHERE name = ?",
        (kept.state, kept.code, kept.since, name),
    )
    kind = {
        "blocked": events.LANE_BLOCKED,
        "waiting": events.LANE_WAITING,
        "idle": events.LANE_RESUMED,
    }[kept.state]
    record(db, at, kind, lane=name, code=kept.code, reason=reason, hint=hint)


def _ensure(db: sqlite3.Connection, name: str) -> None:
    db.execute("INSERT OR IGNORE INTO lanes (name) VALUES (?)", (name,))
