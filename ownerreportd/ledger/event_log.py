"""Owns the reading of events: in order, from any of them on, and never the same one twice.

All but `forget` only read.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ownerreportd.ledger.views import rfc3339

if TYPE_CHECKING:
    import sqlite3

Json: TypeAlias = dict[str, Any]

GAP: Final = "gap"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which events are asked for: of one report, and of one kind (or family, as `part`)."""

    rid: int | None = None
    kind: str | None = None

    def where(self) -> tuple[str, list[Any]]:
        """The condition in SQL, with its values."""
        text, values = "", list[Any]()
        if self.rid is not None:
            text, values = f"{text} AND e.rid = ?", [*values, self.rid]
        if self.kind is not None:
            text = f"{text} AND (e.kind = ? OR substr(e.kind, 1, ?) = ?)"
            values += [self.kind, len(self.kind) + 1, f"{self.kind}."]
        return text, values


def after(db: sqlite3.Connection, since: int, chosen: Chosen, limit: int) -> list[Json]:
    """The next events behind the one of that number, oldest first; a `gap` where some are gone."""
    where, values = chosen.where()
    rows = db.execute(
        "SELECT e.*, r.id AS report FROM events e LEFT JOIN reports r USING (rid) "  # noqa: S608 - our own words
        f"WHERE e.id > ?{where} ORDER BY e.id LIMIT ?",
        (since, *values, limit),
    ).fetchall()
    oldest = db.execute("SELECT min(id) FROM events").fetchone()[0]
    found = [_shown(row) for row in rows]
    if since > 0 and oldest is not None and oldest > since + 1:
        found.insert(0, {"id": oldest - 1, "kind": GAP, "from": since + 1, "to": oldest - 1})
    return found


def newest(db: sqlite3.Connection, chosen: Chosen, count: int) -> list[Json]:
    """The last so many, oldest first."""
    where, values = chosen.where()
    rows = db.execute(
        "SELECT e.*, r.id AS report FROM events e LEFT JOIN reports r USING (rid) "  # noqa: S608 - our own words
        f"WHERE e.id > 0{where} ORDER BY e.id DESC LIMIT ?",
        (*values, count),
    ).fetchall()
    return [_shown(row) for row in reversed(rows)]


def last_id(db: sqlite3.Connection) -> int:
    """The number of the newest event; 0 where there is none."""
    return int(db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])


def before_time(db: sqlite3.Connection, at: float) -> int:
    """The number of the last event before the first one at or after that time."""
    first = db.execute("SELECT min(id) FROM events WHERE at >= ?", (at,)).fetchone()[0]
    return last_id(db) if first is None else int(first) - 1


def forget(db: sqlite3.Connection, oldest: float, limit: int) -> int:
    """Delete the first so many events that are older than that time; how many there were.

    Only from the beginning, so that what is left has no hole: a reader that comes later is told
    of one gap. A clock that was wrong for a while keeps what lies behind it.
    """
    rows = db.execute("SELECT id, at FROM events ORDER BY id LIMIT ?", (limit,)).fetchall()
    old = list(itertools.takewhile(lambda row: row["at"] < oldest, rows))
    if old:
        db.execute("DELETE FROM events WHERE id <= ?", (old[-1]["id"],))
    return len(old)


def _shown(row: sqlite3.Row) -> Json:
    fields = json.loads(row["fields"])
    if row["report"] is not None:
        fields["report"] = row["report"]
    fields.pop("id", None)
    return {"id": row["id"], "at": rfc3339(row["at"]), "kind": row["kind"], **fields}
