"""Owns what `submit --id` must know when no daemon is there to ask: was this id used before?

Rule: reads only; the ledger is opened read-only, and a report in pending/ is read whole.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from ownerreportd.core.errors import IdConflictError
from ownerreportd.core.report import id_in_name, shown_name

if TYPE_CHECKING:
    from pathlib import Path

    from ownerreportd.client import Json


def submitted_before(root: Path, report_id: str, data: bytes) -> Json | None:
    """The answer for a report that was submitted under this id before, None if there is none.

    Raises:
        IdConflictError: if the id belongs to other bytes.
    """
    found = _in_ledger(root, report_id) or _in_pending(root, report_id)
    if found is None:
        return None
    name, state, sha256 = found
    if sha256 != hashlib.sha256(data).hexdigest():
        raise IdConflictError(
            f"the id {report_id!r} belongs to a report with other bytes ({state})",
            hint="use another --id",
        )
    shown: dict[str, Any] = {"id": report_id, "name": shown_name(name), "state": state}
    return {**shown, "position": None, "via": "spool"}


def _in_ledger(root: Path, report_id: str) -> tuple[bytes, str, str] | None:
    path = root / "state" / "ledger.sqlite3"
    query = "SELECT name, state, sha256 FROM reports WHERE id = ?"
    with suppress(sqlite3.Error):
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            row: tuple[bytes, str, str] | None = db.execute(query, (report_id,)).fetchone()
            return row
    return None


def _in_pending(root: Path, report_id: str) -> tuple[bytes, str, str] | None:
    """The first that no daemon has read yet: its name ends in the id, and its fields agree."""
    for path in sorted((root / "pending").glob(f"*-{report_id}.md")):
        with suppress(OSError):
            data = path.read_bytes()
            if _id_of(path.name, data) == report_id:
                return path.name.encode(), "waiting", hashlib.sha256(data).hexdigest()
    return None


def _id_of(name: str, data: bytes) -> str | None:
    from ownerreportd.render.front_matter import read_report

    said = read_report(data).report
    return id_in_name(name, said.team, said.task_id)
