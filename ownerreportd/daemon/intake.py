"""Owns the way of a file from `pending/` to the head of the queue: scan, admit, read, freeze.

Rules: a watch event is only a hint to look again; admission gives the number only; the file is
read when it comes near the head.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio
import structlog

from ownerreportd import fsio
from ownerreportd.core.report import shown_name
from ownerreportd.courier import Next
from ownerreportd.daemon.freezing import Broken, Drop, Freezer, Frozen, Refuse, Shelve
from ownerreportd.hindrance import (
    RECHECK_S,
    Hindrance,
    disk_hindrance,
    ledger_hindrance,
    passing,
    replaced,
)
from ownerreportd.ledger import Ledger, admission, queue
from ownerreportd.ledger.census import Census
from ownerreportd.ledger.store import LedgerError
from ownerreportd.spool import SpoolReplacedError
from ownerreportd.spool.scan import Scan, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.core.clock import Clock
    from ownerreportd.custody import Custody
    from ownerreportd.ledger.queue import QueuedReport
    from ownerreportd.workers import Workers

READ_AHEAD = 16
SHOWN_MAX = 20
ADMIT_BATCH = 2000
MISSING_BATCH = 1000
WITHDRAW_S = 2.0
OPEN_RECHECK_S = 30.0
log = structlog.get_logger("ownerreportd.intake")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scan found. `due_s` is how soon to scan again, None where only time asks for it."""

    admitted: int = 0
    rejected: int = 0
    slips: tuple[str, ...] = ()
    slip_count: int = 0
    due_s: float | None = None


@dataclass(slots=True)
class Intake:
    """Brings files into the queue. `reader` is the ledger's read-only view for scans."""

    custody: Custody
    reader: Ledger
    freezer: Freezer
    workers: Workers
    clock: Clock
    settle_s: float
    left: Callable[[int], None]  # a report went away by itself
    arrived: Callable[[], None]  # there may be a head: the oldest come first
    shelf: Shelf = field(default_factory=Shelf)
    seen: Seen = field(default_factory=Seen)
    unsettled: deque[int] = field(
        default_factory=deque
    )  # rows with nothing left to deliver, perhaps

    # --- scan -------------------------------------------------------------------------------

    async def scan(self) -> Seen:
        """One pass over `pending/`: admit what is new, in order; note what is gone.

        Raises:
            SpoolReplacedError: if the folder is not the one that it was. LedgerError, OSError.
        """
        scan, census = await self.workers.read(self._take_census)
        admitted = await self._admit(census)
        missing = await self.workers.read(census.missing, MISSING_BATCH)
        rejected = await self.workers.write(self.custody.reject_odd, scan.odd)
        await self._settle_missing(missing)
        await self.workers.write(self._end_of_scan)
        due_s = None
        if scan.due_ns is not None:
            due_s = max(0.0, scan.due_ns / 1e9 - self.clock.utc())
        if missing:
            patience_s = max(self.settle_s, WITHDRAW_S)
            due_s = patience_s if due_s is None else min(due_s, patience_s)
        slips = tuple(shown_name(name) for name in scan.slips)
        self.seen = Seen(admitted, rejected, slips, scan.slip_count, due_s)
        return self.seen

    def due_s(self, seen: Seen) -> float | None:
        """How soon to scan again, also for what was left alone since that scan."""
        due_ns = self.shelf.due_ns()
        if due_ns is None:
            return seen.due_s
        due_s = max(0.0, due_ns / 1e9 - self.clock.utc())
        return due_s if seen.due_s is None else min(due_s, seen.due_s)

    def _take_census(self) -> tuple[Scan, Census]:
        with self.custody.spool.pending() as pending:
            census = Census(self.reader.db)
            scan = Scan(pending, self.settle_s, self.shelf)
            for batch in scan.batches():
                census.add(batch)
        return scan, census

    async def _admit(self, census: Census) -> int:
        admitted, batches = 0, iter(census.new(ADMIT_BATCH))
        while rows := await self.workers.read(next, batches, None):
            admitted += await self.workers.write(self.custody.admit, rows)
            self.arrived()
        if admitted:
            log.info("report.admitted", count=admitted)
        return admitted

    async def _settle_missing(self, rids: list[int]) -> None:
        patience_s = max(self.settle_s, WITHDRAW_S)
        for rid in await self.workers.write(self.custody.missing, rids, patience_s):
            self.left(rid)

    def _end_of_scan(self) -> None:
        self.custody.came_back()
        self.custody.spool.keep_ballast(self.custody.free_bytes_min)
        with self.custody.ledger.reading() as db:
            doubtful = db.execute(
                "SELECT 1 FROM meta WHERE key = 'doubt_at' "
                "AND NOT EXISTS (SELECT 1 FROM meta WHERE key = 'doubt_scanned')"
            ).fetchone()
        if doubtful is not None:
            with self.custody.ledger.transaction() as db:
                admission.end_of_doubtful_scan(db)

    # --- read and freeze --------------------------------------------------------------------

    async def fetch(self, destination: str | None = None) -> Next | Hindrance | None:
        """The next head: the first waiting report, frozen, with its first open delivery.

        With a destination: the first that goes there, or has nothing left but to be settled.
        """
        try:
            while (report := await self.workers.write(self._first, destination)) is not None:
                if not report.frozen:
                    trouble = await self.freeze(report)
                    if trouble is not None:
                        return Next(report, None, trouble)
                    continue
                delivery = await self.workers.write(self._next_delivery, report.rid, destination)
                return Next(report, delivery)
        except SpoolReplacedError as error:
            return replaced(error)
        except LedgerError as error:
            return ledger_hindrance(error)
        except OSError as error:
            if passing(error):
                log.warning("intake.waits", reason=error.strerror, remedy="raise LimitNOFILE")
                await anyio.sleep(RECHECK_S)
                self.arrived()
                return None
            return disk_hindrance(error)
        return None

    def _first(self, destination: str | None) -> QueuedReport | None:
        with self.custody.ledger.reading() as db:
            if destination is None:
                self.unsettled.clear()  # the one lane comes to every report in its turn
                return queue.first_waiting(db)
            while self.unsettled:
                rid = self.unsettled[0]
                report = queue.by_rid(db, rid)
                if report and report.frozen and queue.final_folder(db, rid) is not None:
                    return report
                self.unsettled.popleft()
            return queue.first_for(db, destination)

    def _next_delivery(self, rid: int, destination: str | None) -> queue.QueuedDelivery | None:
        with self.custody.ledger.reading() as db:
            return queue.next_delivery(db, rid, destination)

    async def read_ahead(self) -> None:
        """Freeze what is near the head, so that what is no report is set aside early."""
        for report in await self.workers.write(self._unfrozen):
            await self.freeze(report)

    def _unfrozen(self) -> list[QueuedReport]:
        with self.custody.ledger.reading() as db:
            return queue.next_unfrozen(db, READ_AHEAD)

    async def freeze(self, report: QueuedReport) -> Hindrance | None:
        """Read a report, and freeze it, reject it, or leave it alone for now.

        Answers why a report can be none of these, which keeps its place.
        """
        read = await self.workers.read(self.freezer.read, report)
        return await self.workers.write(self._commit, report, read)

    def _commit(
        self, report: QueuedReport, read: Frozen | Refuse | Shelve | Drop | Broken
    ) -> Hindrance | None:
        with self.custody.ledger.reading() as db:
            now = queue.by_rid(db, report.rid)
        if now is None or now.frozen:
            return None  # another hand was faster
        told = self.shelf.take(report.name)
        match read:
            case Frozen() if read.generation != self.freezer.outlets.generation:
                return None  # a reload came between: it is read again
            case Frozen():
                self._commit_frozen(report, read)
            case Refuse():
                self.custody.reject(report, read.reason)
                log.warning("report.rejected", name=shown_name(report.name), reason=read.reason)
            case Shelve():
                return self._shelve(report, read, told)
            case Drop():
                if not self.custody.find_again(now):
                    return self._forget(report.rid, "its file went away before it was read")
            case Broken():
                hint = "ownerreportd retry, or skip head; and report the bug"
                return Hindrance("channel_bug", read.reason, hint)
        return None

    def _commit_frozen(self, report: QueuedReport, read: Frozen) -> None:
        with self.custody.ledger.transaction() as db:
            duplicate = self.freezer.commit(db, report, read, self.clock.utc())
        self.unsettled.append(report.rid)
        for text in read.warnings:
            log.warning("report.warning", name=shown_name(report.name), detail=text)
        if duplicate:
            with self.custody.spool.pending() as pending:
                fsio.remove(pending, report.name)

    def _shelve(self, report: QueuedReport, read: Shelve, told: str | None) -> Hindrance | None:
        """Leave it alone; longer, the longer it is open and not written to. Told once."""
        trouble = self._forget(report.rid, "" if told == read.reason else read.reason)
        if trouble is not None:
            return replace(trouble, reason=read.reason)
        until_ns = 0
        if read.being_written:
            now = self.clock.utc()
            quiet_s = min((now - read.found.ctime_ns / 1e9) / 4, OPEN_RECHECK_S)
            until_ns = int((now + max(self.settle_s, 0.2, quiet_s)) * 1e9)
        self.shelf.put(report.name, read.found, read.reason, until_ns)
        return None

    def _forget(self, rid: int, reason: str) -> Hindrance | None:
        with self.custody.ledger.transaction() as db:
            if queue.attempted(db, rid):  # it is in doubt or partly delivered: it keeps its place
                return Hindrance("changed", reason, "ownerreportd retry head; or skip head")
            admission.forget(db, rid, reason, self.clock.utc())
        return None

    def left_alone(self) -> list[str]:
        """What lies in `pending/` and is not taken, with the reason, for people."""
        slips = [f"{name} (a report's name ends in .md)" for name in self.seen.slips]
        more = self.seen.slip_count - len(slips)
        if more > 0:
            slips.append(f"and {more} more whose names do not end in .md")
        shelved = list(self.shelf.names.items())
        kept = [f"{shown_name(name)} ({entry[3]})" for name, entry in shelved[:SHOWN_MAX]]
        if len(shelved) > SHOWN_MAX:
            kept.append(f"and {len(shelved) - SHOWN_MAX} more that cannot be read now")
        return slips + kept
