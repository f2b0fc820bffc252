"""Owns the proof of life: one round trip through every worker thread and every lane.

Rules: a call within its deadline is alive, however long that is, and so is a person's act that
makes one call after the other; what does not come round is waited for as long as it takes, so that
who feeds a watchdog after it does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from ownerreportd.courier import Courier
    from ownerreportd.daemon.engine import Engine

LOOK_S: Final = 0.5
ACT_S_MAX: Final = 120.0  # so long a person's act may be at something else than a call


@dataclass(frozen=True, slots=True)
class Liveness:
    """Asks everything of the engine that can get stuck for a sign of life."""

    engine: Engine

    async def round_trip(self) -> None:
        """Return when all of it has answered; never, where something is stuck."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.engine.workers.come_round)
            for courier in self.engine.lanes:
                tasks.start_soon(self._come_round, courier)

    async def _come_round(self, courier: Courier) -> None:
        answered = courier.ping()
        while not (answered.is_set() or (courier.is_resting and self._act_goes_on())):
            with anyio.move_on_after(LOOK_S):
                await answered.wait()
        while courier.attempts.is_overdue:  # noqa: ASYNC110 - a stuck call tells nobody of its end
            await anyio.sleep(LOOK_S)

    def _act_goes_on(self) -> bool:
        """Whether the act that has a lane makes a call, or did something a short while ago."""
        lanes = tuple(self.engine.lanes)
        if any(courier.attempts.in_flight for courier in lanes):
            return True  # within its deadline, or its own lane says otherwise
        moved_at = max(courier.moved_at for courier in lanes)
        return self.engine.clock.monotonic() - moved_at < ACT_S_MAX
