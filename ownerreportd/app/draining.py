"""Owns one pass over the queue without a daemon, as a cron job wants it.

Rules: oldest first; at most so many; the first failure ends it, and decides the exit code.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from ownerreportd.core.errors import (
    NeedsPersonError,
    NotDeliveredError,
    OperatorError,
    StorageError,
)
from ownerreportd.core.lane_words import Phase
from ownerreportd.core.report import shown_name
from ownerreportd.hindrance import Hindrance
from ownerreportd.ledger import queue, views

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.app.assembly import House
    from ownerreportd.courier import Courier, Fetcher, Next
    from ownerreportd.daemon.engine import Engine

THROTTLE_WAIT_MAX_S = 60.0
_GRAVITY = (NotDeliveredError, NeedsPersonError, StorageError)
_DISK = ("disk_full", "disk_error", "ledger", "spool_replaced")


@dataclass(slots=True)
class Drain:
    """Settles the first `count` waiting reports (0: all), then ends. `say` gets a line for each."""

    house: House
    count: int
    say: Callable[[str], None]
    failure: OperatorError | None = None
    _taken: dict[int, str] = field(default_factory=dict)
    _chosen: set[int] = field(default_factory=set)
    _ended: set[str] = field(default_factory=set)
    _stopped: anyio.Event = field(default_factory=anyio.Event)

    @property
    def engine(self) -> Engine:
        """The queue at work."""
        return self.house.engine

    async def run(self) -> int:
        """The pass; 0 when everything that was to be settled is settled.

        Raises:
            OperatorError: if it ended at a failure, with the exit status of that.
        """
        engine = self.engine
        await engine.start()
        await self._rest()
        self._chosen = await engine.workers.ask(self._oldest) if self.count else set()
        for courier in engine.lanes:
            courier.fetch = partial(self._fetch, courier, courier.fetch)
            courier.changed = partial(self._look, courier)
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._end_by_signal)
            tasks.start_soon(self._work, tasks)
            await self._stopped.wait()
            await engine.stop()
        await self.house.outlets.aclose()
        if self.failure is not None:
            raise self.failure
        return 0

    async def _work(self, tasks: anyio.abc.TaskGroup) -> None:
        await self.engine.lanes.run()
        self._stopped.set()
        tasks.cancel_scope.cancel()

    async def _rest(self) -> None:
        """Scan; files that are too fresh get `settle_s` to come to rest, and no more."""
        due_s = await self.engine.scan()
        if due_s is not None and due_s <= self.engine.values.settle_s + 0.1:
            await anyio.sleep(due_s)
            await self.engine.scan()

    async def _fetch(self, courier: Courier, fetch: Fetcher) -> Next | Hindrance | None:
        found = await fetch()
        await self._tell_settled(courier)
        if isinstance(found, Hindrance):
            return found
        if found is None or not self._may_take(found.report.rid):
            self._end(courier)
            return None
        self._taken.setdefault(found.report.rid, found.report.id or shown_name(found.report.name))
        return found

    def _may_take(self, rid: int) -> bool:
        """Among several lanes the oldest are chosen at the start: else the faster lane would."""
        if not self.count or rid in self._taken:
            return True
        if self.engine.lanes.separate:
            return rid in self._chosen
        return len(self._taken) < self.count

    def _oldest(self) -> set[int]:
        with self.engine.asking.reading() as db:
            return {report.rid for report in queue.near_head(db, self.count)}

    def _end(self, courier: Courier) -> None:
        """This lane has done its part; the pass ends with the last one."""
        self._ended.add(courier.name)
        if self._ended >= {each.name for each in self.engine.lanes}:
            self._stopped.set()

    async def _tell_settled(self, courier: Courier) -> None:
        """Say what became of the last head, if it is final: the ledger knows."""
        head = courier.head
        shown = self._taken.get(head.report.rid) if head is not None else None
        if head is None or not shown:
            return
        state = await self.engine.workers.ask(self._state, head.report.rid)
        if state in views.FINAL and self._taken[head.report.rid]:
            self._taken[head.report.rid] = ""
            self.say(f"{state} {shown}")

    def _state(self, rid: int) -> str:
        with self.engine.asking.reading() as db:
            row = views.raw_report(db, rid)
            return str(row["state"]) if row else ""

    def _look(self, courier: Courier) -> None:
        """Called after every step of a lane: whether this is its first failure."""
        self.engine.tell()
        if courier.name in self._ended or courier.lane.phase not in (
            Phase.READY,
            Phase.WAITING,
            Phase.BLOCKED,
        ):
            return
        failure = self._failure(courier)
        if failure is not None:
            self.failure = self._worse(failure)
            courier.retire()
            self._end(courier)

    def _worse(self, failure: OperatorError) -> OperatorError:
        """Of two lanes' failures, the one that needs a person sooner."""
        if self.failure is None:
            return failure
        return max(self.failure, failure, key=lambda each: _GRAVITY.index(type(each)))

    def _failure(self, courier: Courier) -> OperatorError | None:
        lane, name = courier.lane, self._head(courier)
        if lane.block is not None:
            kind = StorageError if lane.block.code in _DISK else NeedsPersonError
            return kind(f"{name}: {lane.block.reason}", hint=lane.block.hint)
        if lane.phase is Phase.READY:
            return NotDeliveredError("the queue is paused", hint="ownerreportd resume")
        now = self.engine.clock.monotonic()
        head = lane.head
        if head is not None and now < head.not_before <= now + THROTTLE_WAIT_MAX_S:
            return None
        if head is not None and head.parts and head.parts[0].doubt is not None:
            hint = "the next run finds out; or ownerreportd resolve head --sent, or --resend"
            return NeedsPersonError(f"{name} is in doubt: {lane.reason}", hint=hint)
        hint = "it keeps its place, and the next run tries again"
        return NotDeliveredError(f"{name}: {lane.reason}", hint=hint)

    @staticmethod
    def _head(courier: Courier) -> str:
        head = courier.head
        return "the queue" if head is None else head.report.id or shown_name(head.report.name)

    async def _end_by_signal(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                hint = "it goes on at the next run"
                self.failure = self.failure or NotDeliveredError("stopped by a signal", hint=hint)
                self._stopped.set()
