"""Owns what may be asked of the daemon: submit, look, wait, and a person's verbs.

Rule: what changes the head runs as an act of the courier, between two attempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio
import structlog

from ownerreportd.core.errors import (
    DoesNotApplyError,
    NotFoundError,
    StorageError,
    UnreachableError,
    UsageError,
)
from ownerreportd.daemon.direct import for_a_person
from ownerreportd.daemon.status import ORDER, StatusWriter, lane_state
from ownerreportd.hindrance import Hindrance
from ownerreportd.ledger import deliveries, queue, views
from ownerreportd.ledger.store import LedgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ownerreportd.api.daemon import Caller
    from ownerreportd.daemon.direct import DirectSender
    from ownerreportd.daemon.engine import Engine
    from ownerreportd.daemon.submitting import SubmitDesk
    from ownerreportd.ledger.queue import QueuedReport

Json: TypeAlias = dict[str, Any]
Result = TypeVar("Result")
log = structlog.get_logger("ownerreportd")


@dataclass(slots=True)
class Desk:
    """Answers the socket's questions. It is the `Daemon` of `api.daemon`."""

    engine: Engine
    writer: StatusWriter
    direct: DirectSender
    intake: SubmitDesk

    async def submit(self, data: bytes, *, report_id: str | None, caller: Caller) -> Json:
        """Take a report durably; see `api.daemon`."""
        return await self.intake.submit(data, report_id=report_id, caller=caller)

    # --- look -------------------------------------------------------------------------------

    async def _ask(self, question: Callable[..., Result], *args: Any) -> Result:
        def ask() -> Result:
            with self.engine.asking.reading() as db:
                return question(db, *args)

        return await self.engine.workers.ask(ask)

    async def reports(self, wanted: views.Wanted, *, limit: int, after: int) -> list[Json]:
        """Reports in order; see `api.daemon`."""
        found = await self._ask(views.list_reports, wanted, limit, after)
        shown = [self._with_lane(report) for report in found]
        return [r for r in shown if wanted.state in (None, "waiting", r["state"])]

    async def report(self, ref: str) -> Json:
        """One report; see `api.daemon`."""
        rid = await self._ask(views.find, ref)
        return self._with_lane(await self._ask(views.one_report, rid))

    def _with_lane(self, report: Json) -> Json:
        """The head is `sending` or `blocked` as long as its lane is."""
        head = self.engine.courier.head
        if report["state"] == "waiting" and head is not None and head.report.seq == report["seq"]:
            state = lane_state(self.engine.courier).state
            if state in {"sending", "blocked"}:
                report["state"] = state
        return report

    async def wait(self, ref: str, *, timeout_s: float) -> Json:
        """The report when it is final, or after the time; see `api.daemon`."""
        rid = await self._ask(views.find, ref)
        with anyio.move_on_after(timeout_s):
            while True:
                changed = self.engine.changed
                if (await self._ask(views.one_report, rid))["state"] in views.FINAL:
                    break
                await changed.wait()
        return self._with_lane(await self._ask(views.one_report, rid))

    async def figures(self) -> Json:
        """What is counted; see `api.daemon`."""
        found = await self.writer.write()
        names = ("state", "waiting", "oldest_age_s", "sent_total", "rejected_total")
        sends = self.engine.courier.attempts.figures
        return {**{name: found[name] for name in names}, "states": ORDER, "sends": sends}

    async def status(self) -> Json:
        """The status; see `api.daemon`."""
        return await self.writer.write()

    async def health(self) -> Json:
        """Whether somebody should look; see `api.daemon`."""
        return await self.writer.health()

    # --- a person's verbs -------------------------------------------------------------------

    async def act(self, act: Callable[[], Awaitable[bool]]) -> None:
        """Run it between two attempts; what it raises, this raises.

        It answers whether the head is another now: only then the lane leaves what it is doing, or
        any verb about a later report would end a block.
        """
        ended: list[Exception | None] = []

        async def guarded() -> bool:
            try:
                left = await act()
            except Exception as error:  # noqa: BLE001 - raised again below, for the one who asked
                ended.append(error)
                return False
            ended.append(None)
            return left

        await self.engine.courier.act_soon(guarded).wait()
        self.engine.tell()
        if not ended:
            hint = "nothing was done; ask again when it runs"
            raise UnreachableError("the daemon is stopping", hint=hint)
        if ended[0] is not None:
            raise for_a_person(ended[0])

    async def send(
        self,
        ref: str,
        *,
        destination: str | None,
        channel: str | None,
        target: str | None,
        caller: Caller,
        data: bytes | None = None,
    ) -> Json:
        """The single-shot path; see `api.daemon`."""
        bound = self.direct.bound(destination, channel, target)
        self.direct.outlet(bound)  # before the file of a mistyped command is submitted
        result: Json = {}

        async def act() -> bool:
            if data is not None:
                await self.intake.submit(data, report_id=ref, caller=caller)
            rid = await self._ask(views.find, ref)
            result.update(await self.direct.send(rid, bound, str(caller)))
            return self._is_head(rid) and result["outcome"] in {"confirmed", "in_doubt"}

        await self.act(act)
        return {**result, "report": await self.report(ref)}

    async def _report(self, rid: int) -> Json:
        return self._with_lane(await self._ask(views.one_report, rid))

    async def retry(self, ref: str | None, *, destination: str | None, who: str) -> Json:
        """Try again; see `api.daemon`."""
        self._check_whole_queue(destination)
        if ref is None:
            await self._retry_head(who)
            return await self.status()
        rid = await self._ask(views.find, ref)
        report = await self._report(rid)
        if report["state"] == "held":
            await self._requeue(rid)
        elif self._is_head(rid):
            await self._retry_head(who)
        else:
            raise self._not_retried(report)
        log.info("operator.retried", id=report["id"], who=who)
        return await self._report(rid)

    @staticmethod
    def _not_retried(report: Json) -> DoesNotApplyError:
        if report["state"] == "waiting":
            hint = "ownerreportd status  # shows the head; ownerreportd send ID sends one directly"
            return DoesNotApplyError(f"{report['id']} waits its turn behind others", hint=hint)
        return DoesNotApplyError(
            f"{report['id']} is {report['state']}, and retry is for a report that waits or is held",
            hint="ownerreportd submit FILE  # sends the text as a new report",
        )

    async def _retry_head(self, who: str) -> None:
        async def act() -> bool:
            await self.engine.workers.write(self.engine.note_retry, who)
            head, block = self.engine.courier.head, self.engine.courier.lane.block
            if block is not None and block.code in {"disk_error", "ledger"}:
                raise StorageError(block.reason, hint=block.hint)
            if block is not None and block.code == "spool_replaced":
                await self.engine.workers.write(self._adopt)
            if head is not None and block is not None and block.code in {"changed", "report"}:
                await self.engine.workers.write(self._refreeze_if_edited, head.report)
                return True
            return False

        await self.act(act)
        self.engine.nudge()
        self.engine.retry()

    def _adopt(self) -> None:
        try:
            self.engine.adopt(self.engine.custody.spool.identify())
        except OSError as error:
            root = self.engine.custody.spool.root
            raise StorageError(
                f"there is no folder {root / 'pending'}: {error.strerror}",
                hint="put the old folder back, or make a new one, then retry",
            ) from error

    def _refreeze_if_edited(self, report: QueuedReport) -> None:
        trouble = self.engine.custody.check_file(report)
        if isinstance(trouble, Hindrance) and trouble.code == "changed":
            self.engine.custody.refreeze(report.rid)

    async def _requeue(self, rid: int) -> None:
        async def act() -> bool:
            report = await self._ask(views.raw_report, rid)
            try:
                await self.engine.workers.write(self.engine.custody.requeue, rid, report["name"])
            except FileNotFoundError:
                hint = "ownerreportd submit FILE  # sends the text as a new report"
                raise NotFoundError("its file is not in held/ any more", hint=hint) from None
            return False

        await self.act(act)
        self.engine.courier.nudge()

    async def skip(self, ref: str, *, reason: str, destination: str | None, who: str) -> Json:
        """Set a report aside; see `api.daemon`."""
        self._check_destination(destination)
        rid = await self._ask(views.find, ref)
        await self._need_waiting(rid, "skip")

        async def act() -> bool:
            custody = self.engine.custody
            if destination is None and await self.direct.is_stuck(rid):
                await self.engine.workers.write(custody.skip_unread, rid, reason, who)
                return self._is_head(rid)
            await self.direct.make_frozen(rid)
            if not await self.engine.workers.write(custody.skip, rid, destination, reason, who):
                raise DoesNotApplyError(
                    f"no delivery to {destination!r} waits", hint=f"ownerreportd show {ref}"
                )
            trouble = await self.engine.workers.write(custody.settle, rid)
            if isinstance(trouble, Hindrance):
                raise StorageError(trouble.reason, hint=trouble.hint)
            return self._is_head(rid)

        await self.act(act)
        log.info("operator.skipped", ref=ref, reason=reason, who=who)
        return await self._report(rid)

    async def resolve(self, ref: str, *, how: str, destination: str | None, who: str) -> Json:
        """Settle a doubt by a person's word; see `api.daemon`."""
        self._check_destination(destination)
        rid = await self._ask(views.find, ref)

        async def act() -> bool:
            await self.engine.workers.write(self._resolve, rid, how, destination, who)
            await self.engine.workers.write(self.engine.rebind, rid)
            await self.engine.workers.write(self.engine.custody.settle, rid)
            return self._is_head(rid)

        await self.act(act)
        log.info("operator.resolved", ref=ref, how=how, who=who)
        return await self._report(rid)

    def _resolve(self, rid: int, how: str, destination: str | None, who: str) -> None:
        with self.engine.custody.ledger.transaction() as db:
            doubtful = [
                (found, part.number)
                for found in queue.waiting_deliveries(db, rid)
                for part in found.parts
                if part.doubt_since is not None and destination in (None, found.bound.destination)
            ]
            names = sorted({found.bound.destination for found, _ in doubtful})
            if not names:
                hint = "ownerreportd status"
                raise DoesNotApplyError("no part of that report is in doubt", hint=hint)
            if len(names) > 1:
                raise UsageError(
                    f"it is in doubt at several destinations: {', '.join(names)}",
                    hint=f"add --to {names[0]}",
                )
            at = self.engine.clock.utc()
            for found, number in doubtful:
                if how == "sent":
                    deliveries.assert_part(db, found.id, number, at, who)
                else:
                    deliveries.raise_generation(db, found.id, number, at, who)

    async def pause(self, *, destination: str | None, who: str) -> Json:
        """Stop sending; see `api.daemon`."""
        return await self._pause(destination, who, paused=True)

    async def resume(self, *, destination: str | None, who: str) -> Json:
        """Send again; see `api.daemon`."""
        return await self._pause(destination, who, paused=False)

    async def _pause(self, destination: str | None, who: str, *, paused: bool) -> Json:
        self._check_whole_queue(destination)
        try:
            await self.engine.courier.set_paused(paused=paused, who=who)
        except LedgerError as error:
            raise for_a_person(error) from error
        log.info("queue.paused" if paused else "queue.resumed", who=who)
        with anyio.move_on_after(1):
            while self.engine.courier.lane.paused != paused:
                await self.engine.changed.wait()
        return await self.status()

    # --- small checks -----------------------------------------------------------------------

    def _is_head(self, rid: int) -> bool:
        head = self.engine.courier.head
        return head is not None and head.report.rid == rid

    def _check_whole_queue(self, destination: str | None) -> None:
        """One lane serves every destination: it cannot stop or go on for one of several."""
        self._check_destination(destination)
        if destination is not None and len(self.engine.outlets.bounds) > 1:
            raise UsageError(
                f"one lane serves all destinations, so --to {destination} cannot be meant alone",
                hint="the same without --to",
            )

    def _check_destination(self, destination: str | None) -> None:
        known = self.engine.outlets.bounds
        if destination is not None and destination not in known:
            raise UsageError(
                f"unknown destination {destination!r}",
                hint=f"configured are: {', '.join(sorted(known))}",
            )

    async def _need_waiting(self, rid: int, verb: str) -> None:
        state = (await self._report(rid))["state"]
        if state in views.FINAL:
            raise DoesNotApplyError(
                f"it is {state}, and {verb} is for a report that waits", hint="ownerreportd list"
            )
