"""Owns what is forgotten in time: old events. What was delivered, and its receipts, stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from ownerreportd.ledger import event_log
from ownerreportd.ledger.store import LedgerError

if TYPE_CHECKING:
    from ownerreportd.daemon.engine import Engine

EVERY_S: Final = 3600.0
BATCH: Final = 1000  # so many in one transaction, between which others get their turn
DAY_S: Final = 86_400.0
log = structlog.get_logger("ownerreportd")


@dataclass(slots=True)
class Housekeeper:
    """Forgets events that are over `retention_days`; 0 keeps them for ever."""

    engine: Engine
    retention_days: float

    async def run(self) -> None:
        """Keep house until cancelled."""
        while True:
            await self.forget()
            await anyio.sleep(EVERY_S)

    async def forget(self) -> int:
        """Forget what is over its time; how many events that were."""
        if not self.retention_days:
            return 0
        oldest = self.engine.clock.utc() - self.retention_days * DAY_S
        count = 0
        try:
            while found := await self.engine.workers.write(self._forget, oldest):
                count += found
        except LedgerError as error:
            log.warning("events.not_forgotten", reason=str(error), remedy="tried again in an hour")
        if count:
            log.info("events.forgotten", count=count, days=self.retention_days)
        return count

    def _forget(self, oldest: float) -> int:
        with self.engine.custody.ledger.transaction() as db:
            return event_log.forget(db, oldest, BATCH)
