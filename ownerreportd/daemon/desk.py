"""Owns what may be asked of the daemon: submit, look, wait, and a person's verbs.

Rule: what changes a head runs while its lanes are at rest, between two attempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio
import structlog

from ownerreportd.core.errors import (
    DoesNotApplyError,
    NotFoundError,
    StorageError,
    UsageError,
)
from ownerreportd.daemon.direct import for_a_person
from ownerreportd.daemon.status import ORDER, StatusWriter, lane_state, leading
from ownerreportd.hindrance import Hindrance
from ownerreportd.ledger import deliveries, queue, views
from ownerreportd.ledger.lanes import MAIN
from ownerreportd.ledger.store import LedgerError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from ownerreportd.api.daemon import Caller
    from ownerreportd.courier import Courier
    from ownerreportd.daemon.direct import DirectSender
    from ownerreportd.daemon.engine import Engine
    from ownerreportd.daemon.lanes import Act
    from ownerreportd.daemon.submitting import SubmitDesk
    from ownerreportd.ledger.queue import QueuedReport

Json: TypeAlias = dict[str, Any]
Result = TypeVar("Result")
_EDITED = ("changed", "report")  # blocks that an edited file may end
log = structlog.get_logger("ownerreportd")


def _goes_to(courier: Courier, destination: str) -> bool:
    """Whether the head's turn is at that destination."""
    delivery = courier.head.delivery if courier.head else None
    return delivery is not None and delivery.bound.destination == destination


def _first_in(db: sqlite3.Connection, destination: str | None) -> int | None:
    """The row of the report whose turn it is in that destination's lane, or in the one lane."""
    found = queue.first_for(db, destination) if destination else queue.first_waiting(db)
    return found.rid if found else None


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
        rid = await self._find(ref)
        return self._with_lane(await self._ask(views.one_report, rid))

    def _with_lane(self, report: Json) -> Json:
        """A head is `sending` or `blocked` as long as one of its lanes is."""
        if report["state"] == "waiting":
            heads = [c for c in self.engine.lanes if c.head and c.head.report.seq == report["seq"]]
            states = {lane_state(courier).state for courier in heads}
            report["state"] = next((s for s in ("blocked", "sending") if s in states), "waiting")
        return report

    async def wait(self, ref: str, *, timeout_s: float) -> Json:
        """The report when it is final, or after the time; see `api.daemon`."""
        rid = await self._find(ref)
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
        return {
            **{name: found[name] for name in names}, "states": ORDER, "sends": self.engine.figures,
        }  # fmt: skip

    async def status(self) -> Json:
        """The status; see `api.daemon`."""
        return await self.writer.write()

    async def health(self) -> Json:
        """Whether somebody should look; see `api.daemon`."""
        return await self.writer.health()

    # --- a person's verbs -------------------------------------------------------------------

    async def act(self, act: Act, lanes: Iterable[Courier]) -> None:
        """Run it while these lanes are at rest; what it raises, this raises.

        It answers whose turn may be over, if anybody's: only then a lane leaves what it is doing,
        or any verb about a later report would end a block.
        """
        try:
            await self.engine.lanes.act(act, lanes)
        except Exception as error:
            told = for_a_person(error)
            if told is error:
                raise
            raise told from error
        finally:
            self.engine.tell()
            if self.engine.lanes.separate:
                await self.engine.try_follow_lanes()

    async def _find(self, ref: str, destination: str | None = None, *, one: bool = False) -> int:
        """The report's row. `head` is that of the destination's lane, or the one status shows.

        With `one` it must not be one of several: who reads the hint of one lane must not change
        what another has.
        """
        self._check_destination(destination)
        if ref == "head" and self.engine.lanes.separate:
            if one and destination is None:
                self._refuse_several_heads()
            lane = self.engine.lanes.of(destination) if destination else leading(self.engine.lanes)
            if lane.head is not None:
                return lane.head.report.rid
        return await self._ask(views.find, ref)

    def _refuse_several_heads(self) -> None:
        blocked = [c for c in self.engine.lanes if c.lane.block is not None and c.head is not None]
        if len({courier.head.report.rid for courier in blocked if courier.head}) > 1:
            names = ", ".join(courier.name for courier in blocked)
            raise UsageError(
                f"several lanes are blocked, each at a head of its own: {names}",
                hint=f"add --to {blocked[0].name}, or name the report: ownerreportd list",
            )

    async def _lanes_of(self, rid: int, *destinations: str | None) -> list[Courier]:
        """The lanes of these destinations; for None those that the report is in, or may be."""
        lanes = self.engine.lanes
        if not lanes.separate:
            return list(lanes)
        wanted = {name: lanes.of(name) for name in destinations if name}
        if None in destinations:
            report = await self._ask(queue.by_rid, rid)
            if report is None or not report.frozen:
                return list(
                    {courier.name: courier for courier in (*lanes, *wanted.values())}.values()
                )
            waiting = await self._ask(queue.waiting_deliveries, rid)
            wanted |= {
                found.bound.destination: lanes.of(found.bound.destination) for found in waiting
            }
        return list(wanted.values()) or list(lanes)

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
        bound = self.engine.outlets.meant(destination, channel, target)
        self.direct.outlet(bound)  # before the file of a mistyped command is submitted
        result: Json = {}

        async def act() -> int | None:
            if data is not None:
                await self.intake.submit(data, report_id=ref, caller=caller)
            rid = await self._ask(views.find, ref)
            result.update(await self.direct.send(rid, bound, str(caller), attempts))
            return rid if result["outcome"] in {"confirmed", "in_doubt"} else None

        rid = 0 if data is not None else await self._find(ref, one=True)
        lanes = await self._lanes_of(rid, bound.destination, None)
        attempts = self.engine.lanes.of(bound.destination).attempts
        await self.act(act, lanes)
        return {**result, "report": await self.report(ref)}

    async def _report(self, rid: int) -> Json:
        return self._with_lane(await self._ask(views.one_report, rid))

    async def retry(self, ref: str | None, *, destination: str | None, who: str) -> Json:
        """Try again; see `api.daemon`."""
        if ref is None:
            self._check_whole_queue(destination)
            await self._retry_heads(self.engine.lanes.chosen(destination), who)
            return await self.status()
        rid = await self._find(ref, destination)
        report = await self._report(rid)
        heads = [
            c for c in self.engine.lanes.chosen(destination)
            if c.is_head(rid) and (destination is None or _goes_to(c, destination))
        ]  # fmt: skip
        if report["state"] == "waiting" and not heads:
            heads = await self._about_to_take(rid, destination)
        if report["state"] == "held":
            await self._requeue(report, rid, destination)
        elif heads:
            await self._retry_heads(heads, who)
        else:
            raise self._not_retried(report)
        log.info("operator.retried", id=report["id"], who=who)
        return await self._report(rid)

    async def _about_to_take(self, rid: int, destination: str | None) -> list[Courier]:
        """The lanes whose turn it is, and that have not come to see it since it arrived."""
        separate = self.engine.lanes.separate
        if destination is not None and not separate:
            return []  # whose turn it is within the report is known when it was read
        return [
            courier for courier in self.engine.lanes.chosen(destination)
            if await self._ask(_first_in, courier.name if separate else None) == rid
        ]  # fmt: skip

    @staticmethod
    def _not_retried(report: Json) -> DoesNotApplyError:
        if report["state"] == "waiting":
            hint = "ownerreportd status  # shows the head; ownerreportd send ID sends one directly"
            return DoesNotApplyError(f"{report['id']} waits its turn behind others", hint=hint)
        return DoesNotApplyError(
            f"{report['id']} is {report['state']}, and retry is for a report that waits or is held",
            hint="ownerreportd submit FILE  # sends the text as a new report",
        )

    async def _retry_heads(self, lanes: Iterable[Courier], who: str) -> None:
        lanes = list(lanes)
        names = [courier.name for courier in lanes]
        await self.act(partial(self._note_retry, who, names), ())
        for name in names:
            for courier in self.engine.lanes.named([name]):  # a reload may have taken it away
                await self._retry_head(courier)
        self.engine.nudge()
        self.engine.retry(self.engine.lanes.named(names))

    async def _note_retry(self, who: str, names: list[str]) -> None:
        await self.engine.workers.write(self.engine.note_retry, who, names)

    async def _retry_head(self, courier: Courier) -> None:
        head, block = courier.head, courier.lane.block
        edited = head is not None and block is not None and block.code in _EDITED

        async def act() -> int | None:
            now, block = courier.head, courier.lane.block
            if block is not None and block.code in {"disk_error", "ledger"}:
                raise StorageError(block.reason, hint=block.hint)
            if block is not None and block.code == "spool_replaced":
                await self.engine.workers.write(self._adopt)
            if now is not None and now is head and block is not None and block.code in _EDITED:
                await self.engine.workers.write(self._refreeze_if_edited, now.report)
                return now.report.rid
            return None

        lanes = await self._lanes_of(head.report.rid, courier.name, None) if head and edited else ()
        await self.act(act, lanes or (courier,))

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

    async def _requeue(self, held: Json, rid: int, destination: str | None) -> None:
        skipped = {d["destination"] for d in held["deliveries"] if d["state"] == "skipped"}
        if destination is not None and destination not in skipped:
            raise DoesNotApplyError(
                f"{held['id']} was not set aside for {destination!r}",
                hint=f"ownerreportd show {held['id']}",
            )

        async def act() -> None:
            report = await self._ask(views.raw_report, rid)
            try:
                requeue = self.engine.custody.requeue
                await self.engine.workers.write(requeue, rid, report["name"], destination)
            except FileNotFoundError:
                hint = "ownerreportd submit FILE  # sends the text as a new report"
                raise NotFoundError("its file is not in held/ any more", hint=hint) from None
            await self.engine.workers.write(self.engine.rebind, rid)

        await self.act(act, ())
        self.engine.lanes.nudge()

    async def skip(self, ref: str, *, reason: str, destination: str | None, who: str) -> Json:
        """Set a report aside; see `api.daemon`."""
        rid = await self._find(ref, destination, one=True)
        await self._need_waiting(rid, "skip")

        async def act() -> int:
            custody = self.engine.custody
            if destination is None and await self.direct.is_stuck(rid):
                await self.engine.workers.write(custody.skip_unread, rid, reason, who)
                return rid
            await self.direct.make_frozen(rid)
            if not await self.engine.workers.write(custody.skip, rid, destination, reason, who):
                raise DoesNotApplyError(
                    f"no delivery to {destination!r} waits", hint=f"ownerreportd show {ref}"
                )
            trouble = await self.engine.settle(rid)
            if isinstance(trouble, Hindrance):
                raise StorageError(trouble.reason, hint=trouble.hint)
            return rid

        await self.act(act, await self._lanes_of(rid, destination))
        log.info("operator.skipped", ref=ref, reason=reason, who=who)
        return await self._report(rid)

    async def resolve(self, ref: str, *, how: str, destination: str | None, who: str) -> Json:
        """Settle a doubt by a person's word; see `api.daemon`."""
        rid = await self._find(ref, destination, one=True)

        async def act() -> int:
            await self.engine.workers.write(self._resolve, rid, how, destination, who)
            await self.engine.workers.write(self.engine.rebind, rid)
            await self.engine.settle(rid)
            return rid

        await self.act(act, await self._lanes_of(rid, destination))
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
        lanes = self.engine.lanes.chosen(destination)
        name = destination if destination and self.engine.lanes.separate else MAIN
        try:
            at = await self.engine.workers.write(self.engine.keep_pause, name, paused, who)
        except LedgerError as error:
            raise for_a_person(error) from error
        for courier in lanes:
            courier.set_paused(paused=paused, at=at)
        log.info("queue.paused" if paused else "queue.resumed", lane=name, who=who)
        with anyio.move_on_after(1):
            while any(courier.lane.paused != paused for courier in lanes):
                await self.engine.changed.wait()
        return await self.status()

    # --- small checks -----------------------------------------------------------------------

    def _check_whole_queue(self, destination: str | None) -> None:
        """One lane serves every destination: it cannot stop or go on for one of several."""
        self._check_destination(destination)
        several = len(self.engine.outlets.bounds) > 1 and not self.engine.lanes.separate
        if destination is not None and several:
            raise UsageError(
                f"one lane serves all destinations, so --to {destination} cannot be meant alone",
                hint='the same without --to; or [queue] lanes = "per-destination"',
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
