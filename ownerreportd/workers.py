"""Owns the threads that may wait for a disk, and the clock that they read.

Rule: the loop never waits for a disk. One thread at a time writes, one scans and reads, one
answers questions, so that a scan of a million files keeps nobody from asking; and one keeps the
gate's receipts, so that no disk under the spool's load keeps an agent from ending its turn.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")
Args = TypeVarTuple("Args")


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds since the machine started; never set back."""
        return time.monotonic()

    def utc(self) -> float:
        """Seconds since the epoch, as the machine believes."""
        return time.time()


class Workers:
    """Four queues of blocking work. What has begun is waited for, whatever is cancelled."""

    def __init__(self) -> None:
        self._writing = anyio.CapacityLimiter(1)
        self._reading = anyio.CapacityLimiter(1)
        self._asking = anyio.CapacityLimiter(1)
        self._receipts = anyio.CapacityLimiter(1)

    async def write(self, step: Callable[[*Args], Result], *args: *Args) -> Result:
        """Run a step that changes the ledger or moves a file."""
        return await anyio.to_thread.run_sync(step, *args, limiter=self._writing)

    async def read(self, step: Callable[[*Args], Result], *args: *Args) -> Result:
        """Run a step that scans the spool or reads reports."""
        return await anyio.to_thread.run_sync(step, *args, limiter=self._reading)

    async def ask(self, step: Callable[[*Args], Result], *args: *Args) -> Result:
        """Run a step that answers a question from the ledger."""
        return await anyio.to_thread.run_sync(step, *args, limiter=self._asking)

    async def keep(self, step: Callable[[*Args], Result], *args: *Args) -> Result:
        """Run a step that reads or writes the gate's receipts."""
        return await anyio.to_thread.run_sync(step, *args, limiter=self._receipts)

    async def come_round(self) -> None:
        """Return when every thread has ended what it had to do before, and one empty step."""
        async with anyio.create_task_group() as tasks:
            for queue in (self.write, self.read, self.ask, self.keep):
                tasks.start_soon(queue, _nothing)


def _nothing() -> None:
    """A step without work."""
