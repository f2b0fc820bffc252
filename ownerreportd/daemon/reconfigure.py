"""Owns the change to other settings while the queue works: between two attempts, whole or not.

Rule: nothing that was read or rendered for the earlier destinations is frozen afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.daemon.engine import Engine, Settled
    from ownerreportd.outlets import Outlets


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """What the queue takes of a configuration; `rest` gives the other parts theirs."""

    outlets: Outlets
    values: Settled
    free_bytes_min: int
    report_bytes_max: int
    rest: Callable[[], None]


async def reconfigure(engine: Engine, new: Reconfigured) -> None:
    """Work by the new settings. To be run while every lane is at rest.

    Reports without an attempt go where the new routes say; those that wait for a changed target
    get it. Afterwards `new.outlets` are the earlier ones, for the caller to close.

    Raises:
        LedgerError: if that could not be recorded; then nothing has changed.
    """
    workers = engine.workers
    await workers.read(engine.outlets.exchange, new.outlets)  # while no report is being read
    try:
        await engine.rebind_all()
    except BaseException:
        await workers.read(engine.outlets.exchange, new.outlets)
        raise
    engine.values = new.values
    engine.intake.settle_s = new.values.settle_s
    engine.intake.freezer.language = new.values.language
    engine.custody.free_bytes_min = new.free_bytes_min
    engine.custody.report_bytes_max = new.report_bytes_max
    new.rest()
    engine.nudge()
