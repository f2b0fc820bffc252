"""Owns the queue at work: the tasks that watch, scan, deliver, and notice what has mended itself.

Rule: every task belongs to the one task group of `run`; what they share is changed on the loop
alone.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import anyio
import structlog

from ownerreportd import fsio
from ownerreportd.attempt import Attempts
from ownerreportd.core import events
from ownerreportd.core.figures import SendFigures
from ownerreportd.core.lane_words import BlockCode, Cleared, Hindered, Retried
from ownerreportd.core.report import Report
from ownerreportd.courier import STILL, Courier
from ownerreportd.daemon.freezing import Freezer
from ownerreportd.daemon.intake import Intake
from ownerreportd.daemon.lanes import Lanes
from ownerreportd.hindrance import (
    Hindrance,
    NotNow,
    disk_hindrance,
    ledger_hindrance,
    passing,
    replaced,
)
from ownerreportd.ledger import Ledger, lanes, open_reader, queue, views
from ownerreportd.ledger.store import LedgerError, record
from ownerreportd.spool import SpoolReplacedError
from ownerreportd.watch import watch

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from ownerreportd.core.clock import Clock
    from ownerreportd.custody import Custody
    from ownerreportd.ledger.deliveries import Bound
    from ownerreportd.ledger.queue import QueuedReport
    from ownerreportd.outlets import Outlets
    from ownerreportd.workers import Workers

TICK_S = 1.0
LARGE_SCAN_S = 0.1  # a large backlog is not read again at every hint
log = structlog.get_logger("ownerreportd")


@dataclass(frozen=True, slots=True)
class Settled:
    """The values that the engine needs of the configuration."""

    settle_s: float = 1.0
    rescan_s: float = 30.0
    stop_grace_s: float = 10.0
    stale_after_s: float = 900.0
    language: str = "en"


@dataclass(slots=True)
class Engine:
    """One spool's queue. `ready` is set when the first scan is done."""

    custody: Custody
    outlets: Outlets
    workers: Workers
    clock: Clock
    values: Settled
    redact: Callable[[str], str]
    separate_lanes: bool = False
    lanes: Lanes = field(init=False)
    intake: Intake = field(init=False)
    asking: Ledger = field(init=False)
    figures: SendFigures = field(default_factory=SendFigures)
    ready: anyio.Event = field(default_factory=anyio.Event)
    stopped: anyio.Event = field(default_factory=anyio.Event)
    changed: anyio.Event = field(default_factory=anyio.Event)
    _readers: list[Ledger] = field(default_factory=list)
    _dirty: anyio.Event = field(default_factory=anyio.Event)
    _stop_watch: anyio.Event = field(default_factory=anyio.Event)
    _last_stat: tuple[int, ...] = ()
    _tried_back: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        root = self.custody.spool.root
        self._readers = [open_reader(root) for _ in range(3)]
        self.asking = self._readers[2]
        freezer = Freezer(self.custody, self._readers[1], self.outlets, self.values.language)
        self.intake = Intake(
            self.custody, self._readers[0], freezer, self.workers, self.clock,
            self.values.settle_s, self._left, self._arrived,
        )  # fmt: skip
        self.lanes = Lanes(self._make_lane, self.separate_lanes)
        self.lanes.follow(self.outlets.bounds)

    def _make_lane(self, name: str) -> Courier:
        attempts = Attempts(
            self.custody, self.workers, self.clock, random.random, self.redact, self.figures,
            self.tell,
        )  # fmt: skip
        fetch = partial(self.intake.fetch, name if self.separate_lanes else None)
        return Courier(
            name, self.custody, self.outlets, self.workers, self.clock, attempts, fetch,
            self.tell, self.rebind, self.intake.unsettled.append,
        )  # fmt: skip

    def close(self) -> None:
        """Close the views of the ledger."""
        for reader in self._readers:
            reader.close()

    def tell(self) -> None:
        """Wake whoever waits for a change of state."""
        changed, self.changed = self.changed, anyio.Event()
        changed.set()

    def nudge(self) -> None:
        """Look into `pending/` again."""
        self._dirty.set()

    # --- start and stop ---------------------------------------------------------------------

    async def start(self) -> None:
        """Bring files and rows together, and find out what `pending/` is.

        Raises:
            LedgerError, OSError: if the disk or the ledger refuses.
        """
        count = await self.workers.write(self.custody.recover)
        if count:
            log.warning("attempts.in_doubt", count=count, reason="left open by an earlier process")
        await self.rebind_all()
        await self.workers.write(self._identify)

    async def rebind_all(self) -> None:
        """Decide anew where waiting reports go, and have the lanes that they need.

        Raises:
            LedgerError: if that could not be recorded.
        """
        await self.workers.write(self._rebind_all)
        await self.follow_lanes()

    async def follow_lanes(self) -> None:
        """Have the lanes of the configured destinations, and of what waits for others.

        Raises:
            LedgerError: if the ledger cannot be read.
        """
        needed = await self.workers.write(self._waiting_destinations)
        self.lanes.follow([*self.outlets.bounds, *needed])

    def _waiting_destinations(self) -> list[str]:
        if not self.separate_lanes:
            return []
        with self.custody.ledger.reading() as db:
            return queue.waiting_destinations(db)

    def _rebind_all(self) -> None:
        """A part in doubt stays bound to its old target."""
        with self.custody.ledger.transaction() as db:
            rows = db.execute(
                "SELECT * FROM reports WHERE state = 'waiting' AND fields IS NOT NULL"
            ).fetchall()
            for row in rows:
                self.custody.rebind(db, row["rid"], self._decided(row))
            if self.separate_lanes:
                self.intake.unsettled.extend(queue.complete(db))

    def rebind(self, rid: int) -> None:
        """Decide anew where one report goes.

        Raises:
            LedgerError: if that could not be recorded.
        """
        with self.custody.ledger.transaction() as db:
            row = views.raw_report(db, rid)
            if row["fields"] is not None:
                self.custody.rebind(db, rid, self._decided(row))
            self.intake.unsettled.append(rid)

    def _decided(self, row: sqlite3.Row) -> tuple[Bound, ...]:
        fields = json.loads(row["fields"])
        said = Report(row["id"], "", **{**fields, "to": tuple(fields["to"])})
        names = self.outlets.routing.decide(said).destinations
        return tuple(self.outlets.bounds[name] for name in names)

    def _identify(self) -> None:
        """Know `pending/` by its inode; a new one is taken if it holds what waits."""
        spool, ledger = self.custody.spool, self.custody.ledger
        now = spool.identify()
        with ledger.reading() as db:
            row = db.execute("SELECT value FROM meta WHERE key = 'pending'").fetchone()
            known = tuple(int(n) for n in row[0].split(":")) if row else now
            first = queue.near_head(db, 100)
        with spool.pending() as pending:
            gone = [report for report in first if fsio.lstat(pending, report.name) is None]
        if known != now and gone and len(gone) == len(first):
            spool.identity = (known[0], known[1])
            return
        self.adopt(now)

    def adopt(self, identity: tuple[int, int]) -> None:
        """Take this directory for `pending/` from now on."""
        with self.custody.ledger.transaction() as db:
            text = f"{identity[0]}:{identity[1]}"
            db.execute("INSERT OR REPLACE INTO meta VALUES ('pending', ?)", (text,))
        self.custody.spool.identity = identity

    async def run(self, *, watching: bool = True) -> None:
        """Work until cancelled after `stop`."""
        async with anyio.create_task_group() as tasks:
            if watching:
                folder = self.custody.spool.root / "pending"
                tasks.start_soon(watch, folder, self.nudge, self._stop_watch)
            tasks.start_soon(self._scan_for_ever)
            tasks.start_soon(self._tick_for_ever)
            try:
                await self.lanes.run()
            finally:
                self._stop_watch.set()  # also after a bug, which would else wait for the watch
            tasks.cancel_scope.cancel()
        self.ready.set()  # a stop during the first scan must not leave anybody waiting for it
        self.stopped.set()

    async def stop(self) -> None:
        """Take nothing new; let the attempt in flight end, or cut it off after the grace time."""
        self._stop_watch.set()
        await self.lanes.stop(self.values.stop_grace_s)

    # --- scanning ---------------------------------------------------------------------------

    async def _scan_for_ever(self) -> None:
        while True:
            self._dirty = anyio.Event()
            began = self.clock.monotonic()
            due_s = await self.scan()
            self.ready.set()
            took_s = self.clock.monotonic() - began
            rescan_s = self.values.rescan_s
            with anyio.move_on_after(rescan_s if due_s is None else min(due_s, rescan_s)):
                await self._dirty.wait()
            if took_s > LARGE_SCAN_S:
                await anyio.sleep(min(10 * took_s, self.values.rescan_s))

    async def scan(self) -> float | None:
        """One pass; how soon the next is due, None where only the clock asks for one."""
        try:
            seen = await self.intake.scan()
            self.lanes.nudge()
            await self.intake.read_ahead()
        except SpoolReplacedError as error:
            self._hinder(replaced(error))
            return TICK_S
        except LedgerError as error:
            self._hinder(ledger_hindrance(error))
            return TICK_S
        except OSError as error:
            if not passing(error):
                self._hinder(disk_hindrance(error))
            return TICK_S
        if seen.admitted or seen.rejected:
            self.tell()
        if seen.admitted and self.separate_lanes:
            await self.try_follow_lanes()
        self.lanes.nudge()
        return self.intake.due_s(seen)

    async def try_follow_lanes(self) -> None:
        """The same after what may have ended a lane's use, or brought back what has none."""
        try:
            await self.follow_lanes()
        except LedgerError as error:
            self._hinder(ledger_hindrance(error))

    def _arrived(self) -> None:
        self.lanes.nudge()

    def _left(self, rid: int) -> None:
        """A report went away by itself; if it was the head, the lane must know."""
        log.info("report.withdrawn", rid=rid)
        self.tell()

        for courier in self.lanes.with_head(rid):
            courier.leave_soon()

    def _hinder(self, trouble: Hindrance) -> None:
        for courier in self.lanes:
            lane = courier.lane
            same = lane.block is not None and lane.block.code == trouble.code
            if lane.phase in STILL and not same:
                now = self.clock.monotonic()
                courier.post(Hindered(trouble.code, trouble.reason, trouble.hint, now))

    async def settle(self, rid: int) -> Hindrance | NotNow | None:
        """Archive the report if every delivery is ended; what hinders it, a lane tries again.

        Raises:
            LedgerError, OSError, SpoolReplacedError: as `Custody.settle`.
        """
        trouble = await self.workers.write(self.custody.settle, rid)
        if trouble is not None:
            self.intake.unsettled.append(rid)
        return trouble

    # --- what mends itself ------------------------------------------------------------------

    async def _tick_for_ever(self) -> None:
        while True:
            await anyio.sleep(TICK_S)
            if self._pending_changed():
                self.nudge()
            for courier in self.lanes:
                block = courier.lane.block
                if block is not None and await self.workers.ask(self._mended, block.code, courier):
                    courier.post(Cleared(block.code, self.clock.monotonic()))

    def _pending_changed(self) -> bool:
        """One stat, a microsecond: it finds what the watcher missed within a second."""
        try:
            found = (self.custody.spool.root / "pending").stat()
        except OSError:
            return True
        now = (found.st_dev, found.st_ino, found.st_mtime_ns)
        changed, self._last_stat = now != self._last_stat, now
        return changed

    def _mended(self, code: BlockCode, courier: Courier) -> bool:
        """Whether a hindrance that ends by itself has ended."""
        if code == "disk_full":
            return self._has_room()
        if code == "spool_replaced":
            return self._is_back()
        return code == "changed" and self._old_bytes_are_back(courier)

    def _has_room(self) -> bool:
        try:
            return self.custody.check_room() is None
        except OSError:
            return False

    def _is_back(self) -> bool:
        try:
            with self.custody.spool.pending():
                return True
        except (SpoolReplacedError, OSError):
            return False

    def _old_bytes_are_back(self, courier: Courier) -> bool:
        head = courier.head
        return head is not None and self._same_bytes(courier.name, head.report)

    def _same_bytes(self, lane: str, report: QueuedReport) -> bool:
        """Whether the file has its frozen bytes again; read only when its status has changed."""
        try:
            with self.custody.spool.pending() as pending:
                found = fsio.lstat(pending, report.name)
                if found is None:
                    return False
                now = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
                if now == self._tried_back.get(lane):
                    return False
                self._tried_back[lane] = now
                return fsio.sha256(pending, report.name) == report.sha256
        except (SpoolReplacedError, OSError):
            return False

    def retry(self, couriers: Iterable[Courier] | None = None) -> None:
        """Try again what waits or is blocked, now: in these lanes, or in all."""
        for courier in self.lanes if couriers is None else couriers:
            if courier.lane.phase in STILL:
                courier.post(Retried(self.clock.monotonic()))

    def note_retry(self, who: str, names: Iterable[str]) -> None:
        """Keep who asked to try these lanes again."""
        for name in names:
            self.note(events.LANE_RESUMED, lane=name, how="retry", who=who)

    def keep_pause(self, name: str, paused: bool, who: str) -> float:  # noqa: FBT001 - a thread's call takes no keywords
        """Keep a lane's pause, or its end, over restarts. When that was, in UTC.

        Raises:
            LedgerError: if it could not be recorded.
        """
        at = self.clock.utc()
        with self.custody.ledger.transaction() as db:
            lanes.set_paused(db, name, paused=paused, at=at, who=who)
        return at

    def note(self, kind: str, **fields: object) -> None:
        """Keep an event about the process itself."""
        with self.custody.ledger.transaction() as db:
            record(db, self.clock.utc(), kind, None, **fields)


__all__ = ["Engine", "Settled"]
