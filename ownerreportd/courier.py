"""Owns the work of one lane: feeds it events, performs its commands.

Rules: at most one call of the lane is in flight; a person's acts run while the lane is at rest,
between calls and never beside one; the lane alone decides.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio
import structlog

from ownerreportd.attempt import Attempts, hindered, moment
from ownerreportd.core.channel import Problem
from ownerreportd.core.lane import step
from ownerreportd.core.lane_words import (
    Answered,
    Arrived,
    Cleared,
    Command,
    Doubt,
    Event,
    Fetch,
    Head,
    Hindered,
    Lane,
    Left,
    Look,
    Looked,
    PartState,
    Paused,
    Phase,
    Postponed,
    Probe,
    Probed,
    Resumed,
    Retried,
    Send,
    Settle,
    Settled,
    WakeAt,
    Woke,
)
from ownerreportd.core.outcome import Absent, Confirmed, Found
from ownerreportd.hindrance import RECHECK_S, Hindrance, NotNow, ledger_hindrance
from ownerreportd.ledger import deliveries, lanes, queue
from ownerreportd.ledger.lanes import KeptLane, KeptState
from ownerreportd.ledger.store import LedgerError
from ownerreportd.outlets import NoOutlet, Outlet, Outlets

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from ownerreportd.core.clock import Clock
    from ownerreportd.custody import Custody
    from ownerreportd.ledger.queue import QueuedDelivery, QueuedPart, QueuedReport
    from ownerreportd.workers import Workers

log = structlog.get_logger("ownerreportd.courier")
_GO_ON = (Cleared, Probed, Resumed, Retried, Woke)  # after which something may be sent
STILL = (Phase.EMPTY, Phase.READY, Phase.WAITING, Phase.BLOCKED)


@dataclass(frozen=True, slots=True)
class Next:
    """What has come to the head: a delivery to make, or none where the report is to be settled.

    `trouble` says why it can neither be delivered nor passed over.
    """

    report: QueuedReport
    delivery: QueuedDelivery | None
    trouble: Hindrance | None = None


Fetcher = Callable[[], Awaitable["Next | Hindrance | None"]]


@dataclass(slots=True)
class Rest:
    """A stretch in which a lane begins nothing.

    `begun` is set when no call is in flight, or will never be again (then the lane is `gone`).
    Whoever asked for it sets `over`, and `left` where the head may be another now.
    """

    begun: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)
    left: bool = False
    gone: bool = False


@dataclass(slots=True)
class Courier:
    """One lane at work. `fetch` brings the next head; `changed` is called after every step."""

    name: str
    custody: Custody
    outlets: Outlets
    workers: Workers
    clock: Clock
    attempts: Attempts
    fetch: Fetcher
    changed: Callable[[], None] = lambda: None
    rebind: Callable[[int], None] = lambda rid: None  # noqa: ARG005 - decides nothing
    unsettled: Callable[[int], None] = lambda rid: None  # noqa: ARG005 - the ledger is asked
    lane: Lane = field(default_factory=Lane)
    kept: KeptLane = field(default_factory=KeptLane)
    head: Next | None = None
    held: bool = False
    _events: list[Event] = field(default_factory=list)
    _rests: list[Rest] = field(default_factory=list)
    _pings: list[anyio.Event] = field(default_factory=list)
    _woken: anyio.Event = field(default_factory=anyio.Event)
    _in_flight: bool = False
    _stopping: bool = False
    _resting: bool = False
    _rested_at: float = -math.inf
    _ended: bool = False

    # --- asked from outside -----------------------------------------------------------------

    def hold(self) -> None:
        """Run a person's acts only: fetch nothing."""
        self.held = True

    def nudge(self) -> None:
        """There may be something to fetch."""
        self._woken.set()

    def post(self, event: Event) -> None:
        """Let the lane know."""
        self._events.append(event)
        self._woken.set()

    def is_head(self, rid: int) -> bool:
        """Whether it is this report's turn."""
        return self.head is not None and self.head.report.rid == rid

    def rest_soon(self) -> Rest:
        """Come to rest as soon as no call is in flight, until the rest is over."""
        rest = Rest()
        if self._ended:
            self._let_go(rest)
        else:
            self._rests.append(rest)
            self._woken.set()
        return rest

    @property
    def is_asked_to_rest(self) -> bool:
        """Whether somebody relies on this lane being at rest, or coming to it."""
        return self._resting or bool(self._rests)

    @staticmethod
    def _let_go(rest: Rest) -> None:
        rest.gone = True
        rest.begun.set()

    def ping(self) -> anyio.Event:
        """Set when the lane comes round; a call in flight delays that not, a rest does."""
        answered = anyio.Event()
        self._pings.append(answered)
        if self._ended:
            self._answer_pings()
        self._woken.set()
        return answered

    def _answer_pings(self) -> None:
        while self._pings:
            self._pings.pop().set()

    @property
    def is_resting(self) -> bool:
        """Whether a person's act has the lane now."""
        return self._resting

    @property
    def moved_at(self) -> float:
        """When a call last ended or a rest last began here, on the lane's clock."""
        return max(self._rested_at, self.attempts.ended_at)

    def leave_soon(self) -> None:
        """Give up the head as soon as no call is in flight."""
        rest = self.rest_soon()
        rest.left = True
        rest.over.set()

    def retire(self) -> None:
        """Begin nothing new, and end."""
        self._stopping = True
        self._woken.set()

    async def stop(self, grace_s: float) -> None:
        """Begin nothing new; give the call in flight that long, then cut it off."""
        self.retire()
        with anyio.move_on_after(grace_s):
            while self._in_flight:  # noqa: ASYNC110 - once in a process's life
                await anyio.sleep(0.01)
        self.attempts.cut_off()

    # --- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until stopped; the call in flight is ended and recorded first."""
        self.kept = await self.workers.write(self._load)
        self.lane = replace(self.lane, paused=self.kept.paused)
        async with anyio.create_task_group() as calls:
            while self._events or self._in_flight or not self._stopping:
                await self._turn(calls)
        self._ended = True
        self._answer_pings()
        for rest in self._rests:
            self._let_go(rest)

    def _load(self) -> KeptLane:
        with self.custody.ledger.reading() as db:
            return lanes.load(db, self.name)

    async def _turn(self, calls: TaskGroup) -> None:
        self._answer_pings()
        if self._events:
            await self._step(self._events.pop(0), calls)
        elif self._rests and not self._in_flight:
            await self._rest(calls)
        elif self._may_fetch() and await self._arrive(calls):
            pass
        else:
            await self._idle(calls)

    def _may_fetch(self) -> bool:
        return self.lane.phase is Phase.EMPTY and not (self._stopping or self.held)

    async def _rest(self, calls: TaskGroup) -> None:
        rest = self._rests.pop(0)
        self._in_flight = True  # what is done meanwhile may send; a stop gives it the same grace
        self._resting = True
        self._rested_at = self.clock.monotonic()
        rest.begun.set()
        try:
            await rest.over.wait()
        finally:
            self._in_flight = self._resting = False
        if rest.left:
            await self._step(Left(self.clock.monotonic()), calls)

    async def _idle(self, calls: TaskGroup) -> None:
        """Wait for an event, an act, a nudge, or the lane's own time."""
        wake_at = math.inf if self._in_flight else self.lane.wake_at or math.inf
        left_s = wake_at - self.clock.monotonic()
        if left_s > 0:
            with anyio.move_on_after(left_s):
                await self._woken.wait()
        if self._woken.is_set():
            self._woken = anyio.Event()
        elif self.lane.phase in (Phase.WAITING, Phase.BLOCKED):
            await self._step(Woke(self.clock.monotonic()), calls)

    async def _step(self, event: Event, calls: TaskGroup) -> None:
        if isinstance(event, Hindered | Retried) and self._in_flight:
            return  # seen again, or in vain, when the call has ended
        if isinstance(event, Cleared) and self.lane.phase is not Phase.BLOCKED:
            return
        if isinstance(event, _GO_ON):
            await self._read_pause()
        self.lane, commands = step(self.lane, event)
        await self._keep()
        self.changed()
        for command in commands:
            await self._perform(command, calls)

    async def _read_pause(self) -> None:
        """Somebody may have sent there directly since the head arrived."""
        head = self.lane.head
        if head is None or self.head is None or self.head.delivery is None:
            return
        try:
            until, paced = await self._not_before(self.head.delivery.bound.destination)
        except LedgerError:
            return  # what comes next meets it too, and says so
        if until > head.not_before:
            self.lane = replace(self.lane, head=replace(head, not_before=until, paced=paced))

    async def _perform(self, command: Command, calls: TaskGroup) -> None:
        match command:
            case WakeAt() | Fetch():
                pass  # `_idle` reads the time in the lane; `_turn` fetches for an empty one
            case Settle() if not self._rests:
                await self._settle(calls)
            case _ if self._rests or self._stopping:
                self._put_off()
            case Settle():
                pass  # cannot be: one of the cases above took it
            case Send() | Look() | Probe():
                self._in_flight = True
                calls.start_soon(self._call, command)

    def _put_off(self) -> None:
        """Nothing of the command was begun: forget the head, and fetch it again later."""
        self.lane = Lane(paused=self.lane.paused, probes=self.lane.probes)
        if self.head is not None:
            self.unsettled(self.head.report.rid)
        self.head = None

    # --- the head ---------------------------------------------------------------------------

    async def _arrive(self, calls: TaskGroup) -> bool:
        found = await self.fetch()
        now = self.clock.monotonic()
        if isinstance(found, Hindrance):
            await self._step(hindered(found, now), calls)
            return True
        self.head = found
        if found is None:
            await self._keep()
            return False
        try:
            event = Arrived(await self._head(found), now)
        except LedgerError as error:
            found = replace(found, trouble=ledger_hindrance(error))
        await self._step(hindered(found.trouble, now) if found.trouble else event, calls)
        return True

    async def _head(self, found: Next) -> Head:
        if found.delivery is None:
            return Head(0, ())
        outlet = self.outlets.get(found.delivery.bound)
        parts = tuple(
            PartState(part.number, self._doubt(part), part.form) for part in found.delivery.parts
        )
        destination = found.delivery.bound.destination
        not_before, paced = await self._not_before(destination)
        head = Head(found.delivery.id, parts, not_before=not_before, paced=paced)
        return head if isinstance(outlet, NoOutlet) else replace(head, policy=outlet.policy)

    def _doubt(self, part: QueuedPart) -> Doubt | None:
        """The doubt on the lane's clock. A time that is unknown, or lies ahead, is long ago."""
        since, last = part.doubt_since, part.doubt_last
        if since is None:
            return None
        now, utc = self.clock.monotonic(), self.clock.utc()
        ago_s = utc - since
        known = since > 0 and ago_s >= 0
        last_ago_s = max(0.0, utc - (last or 0.0))
        return Doubt(now - ago_s if known else -math.inf, now - last_ago_s, part.accepted)

    async def _not_before(self, destination: str) -> tuple[float, bool]:
        """Until when it is left alone, on the lane's clock, and whether by its limit alone."""
        pause, at = await self.workers.write(self._pause, destination)
        left_s = pause.left_s - (self.clock.utc() - at)
        return (self.clock.monotonic() + left_s if left_s > 0 else -math.inf), pause.paced

    def _pause(self, destination: str) -> tuple[deliveries.Pause, float]:
        at = self.clock.utc()
        with self.custody.ledger.reading() as db:
            return deliveries.pause(db, destination, at), at

    # --- commands ---------------------------------------------------------------------------

    async def _call(self, command: Send | Look | Probe) -> None:
        events: list[Event] = []
        try:
            events = await self._events_of(command)
        finally:
            self._in_flight = False
            self._events[:0] = events
            self._woken.set()

    async def _events_of(self, command: Send | Look | Probe) -> list[Event]:
        assert self.head is not None  # noqa: S101 - commands are given for a head
        assert self.head.delivery is not None  # noqa: S101 - likewise
        outlet = self.outlets.get(self.head.delivery.bound)
        now = self.clock.monotonic()
        if isinstance(outlet, NoOutlet):
            if isinstance(command, Probe):
                return [Probed((Problem("config", outlet.reason, outlet.hint),), now)]
            return [Hindered("config", outlet.reason, outlet.hint, now)]
        match command:
            case Send():
                return await self._send(outlet, command)
            case Look():
                return await self._look(outlet, command)
            case Probe():
                return await self.attempts.probe(outlet)

    async def _send(self, outlet: Outlet, command: Send) -> list[Event]:
        events = await self.attempts.send(outlet, command)
        first = events[0]
        if isinstance(first, Answered) and isinstance(first.outcome, Confirmed):
            await self._freed(command.part)
        return events

    async def _look(self, outlet: Outlet, command: Look) -> list[Event]:
        since = moment(self._look_from(command))
        events = await self.attempts.look(outlet, command, since)
        first = events[0]
        if isinstance(first, Looked) and isinstance(first.result, Absent | Found):
            await self._freed(command.part)
        return events

    async def _freed(self, number: int) -> None:
        """A delivery that is free of its doubt is free of a target that is configured no more."""
        assert self.head is not None  # noqa: S101 - commands are given for a head
        parts = self.head.delivery.parts if self.head.delivery else ()
        if not any(part.number == number and part.doubt_since is not None for part in parts):
            return
        try:
            await self.workers.write(self.rebind, self.head.report.rid)
        except LedgerError as error:
            log.warning("ledger.failed", reason=str(error))

    def _look_from(self, command: Look) -> float:
        """UTC of where a look begins. The courier, not the lane, knows the wall clock.

        An unknown time is the report's own, and one that lies ahead proves that the clock was
        wrong: the look has no beginning then.
        """
        now = self.clock.utc()
        if math.isinf(command.since):
            assert self.head is not None  # noqa: S101 - commands are given for a head
            since = self.head.report.earliest_at
            return since if since <= now else 0.0
        return now - (self.clock.monotonic() - command.since)

    async def _settle(self, calls: TaskGroup) -> None:
        assert self.head is not None  # noqa: S101 - commands are given for a head
        rid = self.head.report.rid
        with anyio.CancelScope(shield=True):
            trouble, is_final = await self.workers.write(self._settled, rid)
        now = self.clock.monotonic()
        match trouble:
            case None:
                if is_final:
                    log.info("report.settled", id=self.head.report.id)
                await self._step(Settled(now), calls)
            case NotNow():
                await self._step(Postponed(now + RECHECK_S, trouble.reason, now), calls)
            case Hindrance():
                await self._step(hindered(trouble, now), calls)

    def _settled(self, rid: int) -> tuple[Hindrance | NotNow | None, bool]:
        """What hinders it, and whether the report waits no more: other lanes may have it too."""
        try:
            trouble = self.custody.settle(rid)
            with self.custody.ledger.reading() as db:
                return trouble, queue.by_rid(db, rid) is None
        except LedgerError as error:
            return ledger_hindrance(error), False

    # --- what is kept -----------------------------------------------------------------------

    async def _keep(self) -> None:
        """Write down when the lane begins or ceases to be in trouble, since when, and why."""
        lane = self.lane
        state: KeptState
        if lane.phase is Phase.BLOCKED and lane.block is not None:
            state, code = "blocked", str(lane.block.code)
        elif lane.phase is Phase.WAITING and not lane.paced:
            state, code = "waiting", ""
        elif lane.phase in (Phase.SETTLING, Phase.EMPTY, Phase.WAITING) and not lane.failures:
            state, code = "idle", ""
        else:
            return  # a call in flight: nobody knows yet whether the trouble has ended
        if (state, code) == (self.kept.state, self.kept.code):
            return
        in_trouble = state != "idle"
        since = self.kept.since if self.kept.since and in_trouble else self.clock.utc()
        fresh = not in_trouble or state != self.kept.state
        kept = replace(
            self.kept, state=state, code=code, since=self.clock.utc() if fresh else since
        )
        hint = lane.block.hint if lane.block else ""
        await self.workers.write(self._write, kept, lane.reason, hint)
        self.kept = kept
        say = log.error if state == "blocked" else log.info
        kind = {"blocked": "lane.blocked", "waiting": "lane.waiting", "idle": "lane.resumed"}[state]
        told = {"code": code, "reason": lane.reason, "hint": hint}
        say(kind, lane=self.name, **{name: text for name, text in told.items() if text})

    def _write(self, kept: KeptLane, reason: str, hint: str) -> None:
        try:
            with self.custody.ledger.transaction() as db:
                at = self.clock.utc()
                lanes.keep(db, self.name, kept, at=at, reason=reason, hint=hint)
        except LedgerError as error:
            log.warning("ledger.failed", reason=str(error))

    def set_paused(self, *, paused: bool, at: float) -> None:
        """Let the lane know of the pause that the ledger keeps since `at`."""
        self.kept = replace(self.kept, paused_at=at)
        now = self.clock.monotonic()
        self.post(Paused(now) if paused else Resumed(now))
