"""Owns one call to a channel: opened on record, bounded in time, its answer recorded.

Rules: the attempt is committed before the channel is called; the answer is committed before
anybody hears of it; an answer that cannot be recorded is kept and tried again while the disk is
full, and is a doubt in every other case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import anyio
import structlog

from ownerreportd.core.channel import Problem
from ownerreportd.core.figures import SendFigures
from ownerreportd.core.lane_words import (
    Answered,
    Broke,
    Event,
    Hindered,
    Left,
    Look,
    Looked,
    Postponed,
    Probed,
    Send,
)
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    LookResult,
    NotSent,
    Outcome,
    Rejected,
    Unknown,
    outcome_name,
)
from ownerreportd.custody import Custody, Opened
from ownerreportd.hindrance import (
    RECHECK_S,
    Hindrance,
    Moved,
    NotNow,
    disk_hindrance,
    ledger_hindrance,
    passing,
)
from ownerreportd.ledger import deliveries, queue
from ownerreportd.ledger.store import LedgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ownerreportd.core.channel import Part
    from ownerreportd.core.clock import Clock
    from ownerreportd.core.outcome import Receipt
    from ownerreportd.outlets import Outlet
    from ownerreportd.workers import Workers

Result = TypeVar("Result")
PAUSE_S_MAX = 86_400.0
GRACE_S = 1.0  # a channel bounds itself by `timeout_s`; this much later it is cut off
ACCEPTED = "the channel accepted it, and confirmed nothing"
OVERDUE_S = 5.0  # a call that is cut off and does not end within this time is stuck
log = structlog.get_logger("ownerreportd.courier")


class _BrokenChannelError(Exception):
    """Raised when the channel's code raised; `kind` is the exception's type."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(slots=True)
class Attempts:
    """Performs attempts, looks and probes, one at a time; each answers with events for the lane.

    `chance` gives jitter in [0, 1); `redact` takes secrets out of what a channel says.
    """

    custody: Custody
    workers: Workers
    clock: Clock
    chance: Callable[[], float]
    redact: Callable[[str], str]
    figures: SendFigures = field(default_factory=SendFigures)
    changed: Callable[[], None] = lambda: None
    stalled: Hindrance | None = None  # an answer that waits for room to be recorded
    ended_at: float = -math.inf  # when the last call ended, on the lane's clock
    _scope: anyio.CancelScope | None = field(default=None)
    _stopping: bool = field(default=False)

    def cut_off(self) -> None:
        """End the call in flight, if there is one; what it was about is in doubt then."""
        self._stopping = True
        if self._scope is not None:
            self._scope.cancel()

    @property
    def in_flight(self) -> bool:
        """Whether a channel was called, and has not answered."""
        return self._scope is not None

    @property
    def is_overdue(self) -> bool:
        """Whether the call in flight has outlived its deadline: it will not end by itself."""
        scope = self._scope
        return scope is not None and anyio.current_time() > scope.deadline + OVERDUE_S

    # --- send -------------------------------------------------------------------------------

    async def send(self, outlet: Outlet, command: Send) -> list[Event]:
        """One attempt at one part."""
        opened = await self.workers.write(
            self._opened, command.delivery, command.part, command.form
        )
        now = self.clock.monotonic()
        match opened:
            case Hindrance():
                return [hindered(opened, now)]
            case NotNow():
                return [Postponed(now + RECHECK_S, opened.reason, now)]
            case Moved():
                return [Left(now)]
            case Opened():
                return await self._send(outlet, opened)

    def _opened(self, *args: object) -> Opened | Hindrance | NotNow | Moved:
        try:
            return self.custody.open_attempt(*args)  # type: ignore[arg-type]  # a thread's call
        except LedgerError as error:
            return ledger_hindrance(error)
        except OSError as error:
            return NotNow(f"{error.strerror}") if passing(error) else disk_hindrance(error)

    async def _send(self, outlet: Outlet, opened: Opened) -> list[Event]:
        started = self.clock.monotonic()
        broken, stopped = "", self._stopping
        try:
            outcome = await self._bounded(outlet, lambda: outlet.channel.send(opened.part))
        except _BrokenChannelError as error:
            broken = error.kind
            outcome = InDoubt(f"the channel's code failed with {error.kind}")
        if stopped:
            outcome = NotSent("the program stops, and had not begun to send it")
        if outcome is None:
            outcome = InDoubt(self._cut_off_reason(outlet))
        outcome = self._checked(outlet, outcome)
        with anyio.CancelScope(shield=True):
            trouble = await self._record(opened.attempt, outcome)
        self._log(outlet, opened, outcome, self.clock.monotonic() - started)
        now = self.clock.monotonic()
        if trouble is not None:
            doubt = Answered(InDoubt("its answer could not be recorded"), started, now)
            return [doubt, hindered(trouble, now)]
        if broken:
            return [Broke(broken, started, now)]
        return [Answered(outcome, started, now, self.chance())]

    def _cut_off_reason(self, outlet: Outlet) -> str:
        if self._stopping:
            return "cut off by the stop of the program"
        return f"no answer within {outlet.policy.timeout_s:g} s"

    def _checked(self, outlet: Outlet, outcome: Outcome) -> Outcome:
        """The outcome without secrets; "accepted" is no confirmation unless that was asked for."""
        if isinstance(outcome, Confirmed):
            if _proves_too_little(outlet, outcome.receipt):
                return InDoubt(ACCEPTED, accepted=True)
            return replace(outcome, pause_s=min(max(0.0, outcome.pause_s), PAUSE_S_MAX))
        if isinstance(outcome, Rejected):
            return replace(
                outcome,
                code=self.redact(outcome.code),
                detail=self.redact(outcome.detail),
                hint=self.redact(outcome.hint),
            )
        return replace(outcome, detail=self.redact(outcome.detail))

    async def _record(self, attempt: int, outcome: Outcome) -> Hindrance | None:
        """Commit the outcome; wait for room as long as the disk is full and nobody stops us."""
        while True:
            trouble = await self.workers.write(self._close, attempt, outcome)
            stays = trouble is not None and trouble.code == "disk_full" and not self._stopping
            self._stall(trouble if stays else None)
            if not stays:
                return trouble
            await anyio.sleep(RECHECK_S)

    def _stall(self, trouble: Hindrance | None) -> None:
        """Let everybody know when an answer begins or ceases to wait for room."""
        changed = (self.stalled is None) != (trouble is None)
        self.stalled = trouble
        if changed:
            self.changed()

    def _close(self, attempt: int, outcome: Outcome) -> Hindrance | None:
        try:
            self.custody.close_attempt(attempt, outcome)
        except LedgerError as error:
            return ledger_hindrance(error)
        return None

    def _log(self, outlet: Outlet, opened: Opened, outcome: Outcome, took_s: float) -> None:
        part = opened.part
        name, at = outcome_name(outcome), self.clock.utc()
        self.figures.count(outlet.bound.destination, name, took_s, at)
        fields = {
            "id": opened.report_id,
            "destination": outlet.bound.destination,
            "part": f"{part.number}/{part.count}",
            "key": part.key,
            "took_s": round(took_s, 3),
        }
        if isinstance(outcome, Confirmed):
            log.info("part.confirmed", receipt=outcome.receipt.id, **fields)
        else:
            log.warning("part.failed", outcome=name, detail=outcome.detail, **fields)

    # --- look and probe ---------------------------------------------------------------------

    async def look(self, outlet: Outlet, command: Look, since: datetime) -> list[Event]:
        """Search the channel for a part in doubt."""
        args = (command.delivery, command.part)
        try:
            part, known, twin = await self.workers.write(self._look_up, outlet, *args)
        except LedgerError as error:
            return self._not_looked(ledger_hindrance(error))
        try:
            found = await self._bounded(outlet, lambda: outlet.channel.look(part, since, known))
        except _BrokenChannelError as error:
            now = self.clock.monotonic()
            return [Broke(error.kind, now, now)]
        result = self._weighed(outlet, found, twin=twin)
        with anyio.CancelScope(shield=True):
            trouble = await self.workers.write(self._note, command, result)
        log.info("part.looked", result=type(result).__name__, part=command.part, key=part.key)
        if trouble is not None:
            return self._not_looked(trouble)
        return [Looked(result, self.clock.monotonic(), self.chance())]

    def _not_looked(self, trouble: Hindrance) -> list[Event]:
        now = self.clock.monotonic()
        unknown = Unknown("a look could not be recorded", transient=True)
        return [Looked(unknown, now, self.chance()), hindered(trouble, now)]

    def _weighed(self, outlet: Outlet, found: LookResult | None, *, twin: bool) -> LookResult:
        if found is None:
            return Unknown("the look got no answer in time", transient=True)
        if isinstance(found, Found):
            if twin:
                return Unknown("the message may be that of another report with the same text")
            if _proves_too_little(outlet, found.receipt):
                return Unknown(ACCEPTED, accepted=True)
            return found
        return replace(found, detail=self.redact(found.detail))

    def _look_up(
        self, outlet: Outlet, delivery: int, number: int
    ) -> tuple[Part, frozenset[str], bool]:
        with self.custody.ledger.reading() as db:
            part = queue.load_part(db, delivery, number, "plain")
            known = deliveries.known_receipts(
                db, outlet.bound.channel, outlet.bound.target,
                except_delivery=delivery, except_number=number,
            )  # fmt: skip
            twin = deliveries.asserted_twin(db, delivery, number)
            lost = queue.report_in_lost_doubt(db, delivery)
        return part, known, twin or (lost is not None and self.custody.has_sent_twin(lost))

    def _note(self, command: Look, result: LookResult) -> Hindrance | None:
        try:
            if isinstance(result, Found):
                self.custody.found(command.delivery, command.part, result.receipt)
            elif isinstance(result, Absent):
                self.custody.absent(command.delivery, command.part)
            elif result.accepted:
                self.custody.accepted(command.delivery, command.part)
        except LedgerError as error:
            return ledger_hindrance(error)
        return None

    async def probe(self, outlet: Outlet) -> list[Event]:
        """Check the destination without sending."""
        try:
            problems = await self._bounded(outlet, outlet.channel.check)
        except _BrokenChannelError as error:
            now = self.clock.monotonic()
            return [Broke(error.kind, now, now)]
        if problems is None:
            hint = "look at the network; it is checked again by itself"
            problems = [Problem("unreachable", "the check got no answer in time", hint)]
        shown = tuple(
            replace(problem, detail=self.redact(problem.detail), hint=self.redact(problem.hint))
            for problem in problems
            if problem.blocks
        )
        return [Probed(shown, self.clock.monotonic())]

    async def _bounded(
        self, outlet: Outlet, call: Callable[[], Awaitable[Result]]
    ) -> Result | None:
        """The call's result, None if it had to be cut off."""
        if self._stopping:
            return None
        with anyio.move_on_after(outlet.policy.timeout_s + GRACE_S) as scope:
            self._scope = scope
            try:
                return await call()
            except Exception as error:
                log.exception("channel.broken", destination=outlet.bound.destination)
                raise _BrokenChannelError(type(error).__name__) from error
            finally:
                self._scope = None
                self.ended_at = self.clock.monotonic()
        return None


def _proves_too_little(outlet: Outlet, receipt: Receipt) -> bool:
    return receipt.proof == "accepted" and outlet.archive_on == "confirmed"


def hindered(trouble: Hindrance, now: float) -> Hindered:
    """The event of a hindrance."""
    return Hindered(trouble.code, trouble.reason, trouble.hint, now)


def moment(utc_s: float) -> datetime:
    """Seconds since the epoch as a time."""
    return datetime.fromtimestamp(max(utc_s, 0.0), UTC)


__all__ = ["Attempts", "hindered", "moment"]
