"""Owns how events are read while the daemon works: from the ledger, by number, as fast as asked.

Rule: a reader pulls; nothing is kept for it, so that none can slow the daemon or miss an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio

from ownerreportd.ledger import event_log, views
from ownerreportd.ledger.event_log import Chosen

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from ownerreportd.daemon.engine import Engine

Json: TypeAlias = dict[str, Any]
Result = TypeVar("Result")


@dataclass(slots=True)
class EventFeed:
    """Answers the socket's questions about events. It is the `Events` of `api.daemon`."""

    engine: Engine

    async def position(
        self, *, last: int | None, at: float | None, ref: str | None, kind: str | None
    ) -> int:
        """The number behind which to begin: for the last so many, or from a time on, or now."""

        def ask(db: sqlite3.Connection) -> int:
            if at is not None:
                return event_log.before_time(db, at)
            found = event_log.newest(db, _chosen(db, ref, kind), last) if last else []
            return found[0]["id"] - 1 if found else event_log.last_id(db)

        return await self._ask(ask)

    async def after(
        self, since: int, *, ref: str | None, kind: str | None, limit: int
    ) -> tuple[list[Json], int]:
        """The next events, oldest first, and the number up to which all were looked at."""

        def ask(db: sqlite3.Connection) -> tuple[list[Json], int]:
            found = event_log.after(db, since, _chosen(db, ref, kind), limit)
            if len(found) >= limit:
                return found, int(found[-1]["id"])
            return found, max(since, event_log.last_id(db))

        return await self._ask(ask)

    async def more(self, *, timeout_s: float) -> None:
        """Return when something has changed, or at the timeout."""
        with anyio.move_on_after(timeout_s):
            await self.engine.changed.wait()

    async def _ask(self, question: Callable[[sqlite3.Connection], Result]) -> Result:
        def ask() -> Result:
            with self.engine.asking.reading() as db:
                return question(db)

        return await self.engine.workers.ask(ask)


def _chosen(db: sqlite3.Connection, ref: str | None, kind: str | None) -> Chosen:
    return Chosen(None if ref is None else views.find(db, ref), kind)
