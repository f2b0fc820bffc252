"""Owns what the ledger says of the gate: its decisions and the receipts that were written.

Reading functions; they change nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from ownerreportd.core import events
from ownerreportd.core.errors import NotFoundError
from ownerreportd.ledger.views import rfc3339

if TYPE_CHECKING:
    import sqlite3

Json: TypeAlias = dict[str, Any]


def newest(
    db: sqlite3.Connection, limit: int, before: int | None, plan_id: str | None
) -> list[Json]:
    """The newest decisions, or those before one, of any plan or of one; newest first."""
    rows = db.execute(
        "SELECT * FROM events WHERE kind = ? AND id < ? "
        "AND (? IS NULL OR json_extract(fields, '$.planId') = ?) ORDER BY id DESC LIMIT ?",
        (events.GATE_DECIDED, before or 1 << 62, plan_id, plan_id, limit),
    )
    return [_shown(row) for row in rows]


def one(db: sqlite3.Connection, number: int) -> Json:
    """One decision.

    Raises:
        NotFoundError: if there is no decision of that number.
    """
    row = db.execute(
        "SELECT * FROM events WHERE kind = ? AND id = ?", (events.GATE_DECIDED, number)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"there is no decision {number}", hint="ownerreportd gate decisions")
    return _shown(row)


def _shown(row: sqlite3.Row) -> Json:
    return {"id": row["id"], "at": rfc3339(row["at"]), **json.loads(row["fields"])}
