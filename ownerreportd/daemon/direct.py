"""Owns the single-shot path: one report now, to an explicit destination, by a person's act.

Rules: it is on record like every delivery, so that a crash in it is a doubt and not a loss; what
it could not send changes nothing; what it may have sent, the queue resolves first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from ownerreportd.core.errors import (
    DoesNotApplyError,
    NeedsPersonError,
    NotDeliveredError,
    StorageError,
    UsageError,
)
from ownerreportd.core.lane_words import Answered, Broke, Event, Hindered, Left, Postponed, Send
from ownerreportd.core.outcome import Confirmed, InDoubt, Rejected, Throttled, outcome_name
from ownerreportd.hindrance import Hindrance, disk_hindrance, ledger_hindrance, replaced
from ownerreportd.ledger import deliveries, queue, views
from ownerreportd.ledger.frozen import freeze
from ownerreportd.ledger.store import LedgerError
from ownerreportd.outlets import NoOutlet, Outlet
from ownerreportd.spool import SpoolReplacedError

if TYPE_CHECKING:
    from ownerreportd.attempt import Attempts
    from ownerreportd.daemon.engine import Engine
    from ownerreportd.ledger.deliveries import Bound
    from ownerreportd.ledger.queue import QueuedReport

Json: TypeAlias = dict[str, Any]


@dataclass(slots=True)
class DirectSender:
    """Sends one report past the queue."""

    engine: Engine

    def outlet(self, bound: Bound) -> Outlet:
        """The outlet of that destination.

        Raises:
            UsageError: if it cannot be used.
        """
        outlet = self.engine.outlets.get(bound)
        if isinstance(outlet, NoOutlet):
            raise UsageError(outlet.reason, hint=outlet.hint)
        return outlet

    async def make_frozen(self, rid: int) -> QueuedReport:
        """The waiting report, read and frozen.

        Raises:
            DoesNotApplyError: if it is final, or is no report that can be read.
        """
        report = await self.engine.workers.write(self._waiting, rid)
        if report is not None and not report.frozen:
            await self.engine.intake.freeze(report)
            report = await self.engine.workers.write(self._waiting, rid)
        if report is None or not report.frozen:
            raise DoesNotApplyError("the report does not wait (any more)", hint="ownerreportd list")
        return report

    async def is_stuck(self, rid: int) -> bool:
        """Whether the report waits, and can be neither read nor rendered."""
        report = await self.engine.workers.write(self._waiting, rid)
        return (
            report is not None
            and not report.frozen
            and await self.engine.intake.freeze(report) is not None
        )

    def _waiting(self, rid: int) -> QueuedReport | None:
        with self.engine.custody.ledger.reading() as db:
            return queue.by_rid(db, rid)

    async def send(self, rid: int, bound: Bound, who: str, attempts: Attempts) -> Json:
        """Make one attempt per part. `{outcome, detail, hint, receipts}`.

        `attempts` are those of the destination's lane, which is at rest.

        Raises:
            UsageError, DoesNotApplyError: if it cannot be meant. StorageError: if the machine
            does not allow it.
        """
        outlet = self.outlet(bound)
        report = await self.make_frozen(rid)
        await self._wait_or_refuse(outlet)
        delivery = await self.engine.workers.write(self._delivery, report, outlet)
        outcome = await self._attempt_all(attempts, outlet, delivery)
        if isinstance(outcome, Left):  # edited since it was read, and nothing of it sent
            report = await self.make_frozen(rid)
            delivery = await self.engine.workers.write(self._delivery, report, outlet)
            outcome = await self._attempt_all(attempts, outlet, delivery)
        return await self._finish(rid, delivery, outcome, who)

    async def _wait_or_refuse(self, outlet: Outlet) -> None:
        """Sit out a pause within the channel's limit; what it asked for itself may be long."""
        pause = await self.engine.workers.write(self._pause, outlet.bound.destination)
        if pause.paced:
            await anyio.sleep(pause.left_s)
        elif pause.left_s > 0:
            raise NotDeliveredError(
                f"the channel asked to wait for {math.ceil(pause.left_s)} s more",
                hint="try again then",
            )

    def _pause(self, destination: str) -> deliveries.Pause:
        with self.engine.custody.ledger.reading() as db:
            return deliveries.pause(db, destination, self.engine.clock.utc())

    def _delivery(self, report: QueuedReport, outlet: Outlet) -> int:
        """The report's own delivery to this destination, else a new one beside the others."""
        custody = self.engine.custody
        with custody.ledger.reading() as db:
            for found in queue.waiting_deliveries(db, report.rid):
                if found.bound == outlet.bound:
                    return found.id
        parts = self.engine.intake.freezer.render_for(report, outlet)
        with custody.ledger.transaction() as db:
            return freeze(
                db, report.rid, outlet.bound, parts, ordinal=-1, direct=True, doubtful=False
            )

    async def _attempt_all(
        self, attempts: Attempts, outlet: Outlet, delivery: int
    ) -> Confirmed | Event | None:
        """One attempt for each part that is not confirmed; the first answer that is no yes."""
        found = await self.engine.workers.write(self._load, delivery)
        for part in found.parts if found else ():
            if part.doubt_since is not None:
                raise NeedsPersonError(
                    f"part {part.number} may have been delivered already",
                    hint="ownerreportd resolve ID --sent, or --resend",
                )
            await self._wait_or_refuse(outlet)
            send = Send(delivery, part.number, part.form)
            for event in await attempts.send(outlet, send):
                if not (isinstance(event, Answered) and isinstance(event.outcome, Confirmed)):
                    return event
        return None

    def _load(self, delivery: int) -> queue.QueuedDelivery | None:
        with self.engine.custody.ledger.reading() as db:
            return queue.delivery_by_id(db, delivery)

    async def _finish(
        self, rid: int, delivery: int, event: Confirmed | Event | None, who: str
    ) -> Json:
        await self.engine.workers.write(self._keep_or_replace, rid, event is None, who)
        trouble = await self.engine.settle(rid)
        if isinstance(trouble, Hindrance):
            raise StorageError(trouble.reason, hint=trouble.hint)
        receipts = await self.engine.workers.write(self._receipts, delivery)
        return {**_answer(event), "receipts": receipts}

    def _keep_or_replace(self, rid: int, confirmed: bool, who: str) -> None:  # noqa: FBT001 - a thread's call takes no keywords
        """Confirmed: it takes the place of the others. Nothing sent: as if it had not been."""
        at = self.engine.clock.utc()
        with self.engine.custody.ledger.transaction() as db:
            if confirmed:
                for other in queue.waiting_deliveries(db, rid):
                    deliveries.end_delivery(db, other.id, "withdrawn", at, who)
            else:
                deliveries.withdraw_unused_direct(db, at)

    def _receipts(self, delivery: int) -> list[Json]:
        with self.engine.custody.ledger.reading() as db:
            return views.receipts(db, delivery)


def for_a_person(error: Exception) -> Exception:
    """What an act raised, as what its asker can mend; a bug stays what it is."""
    match error:
        case SpoolReplacedError():
            trouble = replaced(error)
        case LedgerError():
            trouble = ledger_hindrance(error)
        case OSError():
            trouble = disk_hindrance(error)
        case _:
            return error
    return StorageError(trouble.reason, hint=trouble.hint)


def _answer(event: Confirmed | Event | None) -> Json:
    """The attempt's end in the words of the socket."""
    if event is None:
        return {"outcome": "confirmed", "detail": "", "hint": ""}
    if isinstance(event, Hindered):
        raise StorageError(event.reason, hint=event.hint)
    if isinstance(event, Postponed | Left):
        raise DoesNotApplyError("its file is not there to be sent now", hint="ownerreportd status")
    if isinstance(event, Broke):
        return {
            "outcome": "in_doubt",
            "detail": f"the channel failed with {event.kind}",
            "hint": "",
        }
    if not isinstance(event, Answered):
        raise TypeError(f"unexpected end of an attempt: {event}")
    outcome = event.outcome
    hint = {
        InDoubt: "the queue finds out; or ownerreportd resolve ID --sent, or --resend",
        Throttled: "the report keeps its place; try again later",
    }.get(type(outcome), "the report keeps its place in the queue")
    if isinstance(outcome, InDoubt) and outcome.accepted:
        hint = "look at the channel, then: ownerreportd resolve ID --sent, or --resend"
    detail = "" if isinstance(outcome, Confirmed) else outcome.detail
    if isinstance(outcome, Rejected):
        hint = outcome.hint
    return {"outcome": outcome_name(outcome), "detail": detail, "hint": hint}
