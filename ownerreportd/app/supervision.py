"""Owns what a service manager is told while the daemon runs: its state, and that it is alive.

Rules: the state is told when it changes, and is the first line of `status`. Alive is told after a
round trip, never by a timer alone; more time is asked for on the same proof. Without a service
manager nothing runs here.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

import anyio

from ownerreportd import notify
from ownerreportd.daemon.liveness import Liveness
from ownerreportd.daemon.status import lane_state, leading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ownerreportd.daemon.engine import Engine

AGAIN_S: Final = 1.0  # to a manager whose socket was full
EXTEND_EVERY_S: Final = 5.0
EXTEND_S: Final = 20.0


@dataclass(slots=True)
class Supervision:
    """Talks to the service manager that these variables name, if they name one."""

    engine: Engine
    environ: Mapping[str, str]
    _liveness: Liveness = field(init=False)

    def __post_init__(self) -> None:
        self._liveness = Liveness(self.engine)

    async def run(self) -> None:
        """Tell until cancelled."""
        if not notify.is_listening(self.environ):
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell_status)
            every_s = notify.watchdog_interval_s(self.environ)
            if every_s is not None:
                tasks.start_soon(self._feed_watchdog, every_s)

    @asynccontextmanager
    async def more_time(self) -> AsyncIterator[None]:
        """Have the manager wait for what is done here, as long as the daemon is alive.

        A start may have to read a large backlog; a reload and a stop wait for the call in flight.
        """
        async with anyio.create_task_group() as tasks:
            if notify.is_listening(self.environ):
                tasks.start_soon(self._extend)
            yield
            tasks.cancel_scope.cancel()

    async def _tell_status(self) -> None:
        told = ""
        while True:
            changed = self.engine.changed
            line = status_line(self.engine)
            was_heard = line == told or notify.status(line, self.environ)
            told = line if was_heard else told
            with anyio.move_on_after(None if was_heard else AGAIN_S):
                await changed.wait()

    async def _feed_watchdog(self, every_s: float) -> None:
        while True:
            await self._liveness.round_trip()
            was_heard = notify.watchdog(self.environ)
            await anyio.sleep(every_s if was_heard else min(AGAIN_S, every_s))

    async def _extend(self) -> None:
        while True:
            await self._liveness.round_trip()
            notify.extend_timeout_usec(int(EXTEND_S * 1e6), self.environ)
            await anyio.sleep(EXTEND_EVERY_S)


def status_line(engine: Engine) -> str:
    """The state of the lane to look at first, and since when."""
    found = lane_state(leading(engine.lanes))
    if found.since is None:
        return found.state
    return f"{found.state} since {datetime.fromtimestamp(found.since).astimezone():%F %T}"
