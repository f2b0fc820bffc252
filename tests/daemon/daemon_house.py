"""A whole daemon without its socket: a real spool and ledger, fake channels, a fake clock."""

import contextlib
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import anyio

from ownerreportd.api.daemon import Caller
from ownerreportd.core.backoff import Backoff
from ownerreportd.core.channel import Capabilities
from ownerreportd.core.lane_words import Policy
from ownerreportd.core.routing import Routing
from ownerreportd.custody import Custody
from ownerreportd.daemon import Desk, Engine, Settled
from ownerreportd.daemon.direct import DirectSender
from ownerreportd.daemon.status import StatusWriter
from ownerreportd.daemon.submitting import SubmitDesk
from ownerreportd.ledger import open_ledger
from ownerreportd.ledger.deliveries import Bound
from ownerreportd.outlets import NoOutlet, Outlet, Outlets
from ownerreportd.spool import open_spool
from ownerreportd.testing import FakeChannel, FakeClock
from ownerreportd.workers import Workers

PATIENCE_S = 20.0
CALLER = Caller(pid=1, uid=0, gid=0)
WHO = str(CALLER)
BLIND = Capabilities(text_max=2000)
DEDUP = Capabilities(text_max=2000, dedup_window_s=120)
READABLE = Capabilities(text_max=2000, read_back=True)
SMALL = Capabilities(text_max=32, dedup_window_s=120, read_back=True)  # parts of 11 code points


class Owner(FakeChannel):
    """A fake channel that wakes whoever waits in `House.until` when something is sent."""

    def __init__(self, *script, can=None, broken_at="", **options):
        super().__init__(script, capabilities=can, **options)
        self.heard = lambda: None
        self.broken_at = broken_at

    def render(self, report):
        if self.broken_at and self.broken_at in report.body:
            raise ValueError(self.broken_at)
        body = "\n".join(["Corrected version"] * report.corrected + [*report.notes, report.body])
        return super().render(replace(report, body=body))

    async def send(self, part):
        self.heard()
        return await super().send(part)


@dataclass
class House:
    """What a test holds; `close` lets go of the spool, so that another can open it."""

    custody: Custody
    engine: Engine
    desk: Desk
    clock: FakeClock
    channels: dict
    root: object
    closed: bool = field(default=False)

    @property
    def courier(self):
        return next(iter(self.engine.lanes))

    @property
    def lane(self):
        return self.courier.lane

    @property
    def code(self):
        return self.lane.block.code if self.lane.block else None

    def close(self):
        if not self.closed:
            self.closed = True
            self.engine.close()
            self.custody.ledger.close()
            self.custody.spool.close()

    # --- files --------------------------------------------------------------------------------

    def drop(self, name, text, folder="pending"):
        """Drop a finished file, as `mv` does."""
        path = self.root / folder / name
        path.write_text(text, encoding="utf-8")
        old_s = 1_700_000_000 + len(os.listdir(self.root / folder))
        os.utime(path, (old_s, old_s))
        return path

    def names(self, folder):
        return sorted(n for n in os.listdir(self.root / folder) if not n.endswith(".reason.txt"))

    # --- ledger -------------------------------------------------------------------------------

    def rows(self, query, *args):
        with self.engine.asking.reading() as db:
            return [tuple(row) for row in db.execute(query, args)]

    def kinds(self):
        return [kind for (kind,) in self.rows("SELECT kind FROM events ORDER BY id")]

    def states(self):
        found = self.rows("SELECT name, state FROM reports ORDER BY seq")
        return {os.fsdecode(name): state for name, state in found}

    # --- time ---------------------------------------------------------------------------------

    def pass_time(self, seconds):
        """Let time pass, and let the lane know."""
        self.clock.advance(seconds)
        self.courier.nudge()

    async def until(self, holds, within_s=PATIENCE_S):
        """Wait until it holds, asking again whenever something has changed."""
        with anyio.fail_after(within_s):
            while not holds():
                await self.engine.changed.wait()

    async def scanned(self, *, times=1, apart_s=0.0):
        """Scan here and now, not in the daemon's own time."""
        for number in range(times):
            if number:
                self.clock.advance(apart_s)
            await self.engine.scan()

    async def delivered(self, count=None):
        """Wait until nothing waits, or so many are in `sent/`."""
        if count is None:
            await self.until(lambda: not self.names("pending"))
        else:
            await self.until(lambda: len(self.names("sent")) >= count)

    async def submit(self, text, report_id=None):
        return await self.desk.submit(text.encode(), report_id=report_id, caller=CALLER)

    async def send(self, ref, destination=None, channel=None, target=None):
        return await self.desk.send(
            ref, destination=destination, channel=channel, target=target, caller=CALLER
        )

    async def retry(self, ref=None, destination=None):
        return await self.desk.retry(ref, destination=destination, who=WHO)

    async def skip(self, ref, destination=None):
        return await self.desk.skip(ref, reason="not now", destination=destination, who=WHO)

    async def resolve(self, ref, how, destination=None):
        return await self.desk.resolve(ref, how=how, destination=destination, who=WHO)

    # --- the daemon at work -------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self, *, watching=False):
        """The engine at work; stopped gracefully at the end."""
        await self.engine.start()
        async with anyio.create_task_group() as tasks:

            async def run():
                await self.engine.run(watching=watching)

            tasks.start_soon(run)
            with anyio.fail_after(PATIENCE_S):
                await self.engine.ready.wait()
            yield self
            await self.engine.stop()
            with anyio.fail_after(PATIENCE_S):
                await self.engine.stopped.wait()


def open_house(
    root, channels=None, *, to=("owner",), targets=None, missing=(), clock=None, in_doubt="resend",
    routes=(), override=(), free_bytes_min=0, report_bytes_max=1 << 20, archive_on="confirmed",
    timeout_s=0.5, settle_s=0.0, backoff_s=0.001, redact=lambda text: text, rescan_s=30.0,
    stop_grace_s=10.0, implicit_inbox=False, separate_lanes=False,
):  # fmt: skip
    """Open the spool as a daemon with this configuration does.

    `channels` by destination; `targets` by destination (default: `room-DESTINATION`); a target in
    `missing` cannot be opened.
    """
    clock = clock or FakeClock(datetime.now(UTC))
    channels = channels or {"owner": Owner()}
    named = {name: (targets or {}).get(name, f"room-{name}") for name in channels}
    bounds = {name: Bound(name, "fake", target) for name, target in named.items()}
    policies = Backoff(initial_s=backoff_s, ceiling_s=max(backoff_s, 0.01), jitter=0)

    def open_outlet(bound):
        channel = channels.get(bound.destination) or channels.get(bound.target)
        if channel is None or bound.target in missing or bound.channel != "fake":
            return NoOutlet(f"cannot deliver to {bound.destination}", "configure it again")
        can = channel.capabilities
        policy = Policy(policies, in_doubt, can.dedup_window_s, can.read_back, timeout_s)
        return Outlet(bound, channel, policy, archive_on)

    routing = Routing(tuple(to), frozenset(channels), tuple(routes), tuple(override))
    outlets = Outlets(routing, bounds, open_outlet, implicit_inbox)
    spool = open_spool(root)
    ledger = open_ledger(root, spool.lock_fd)
    custody = Custody(spool, ledger, free_bytes_min, report_bytes_max, clock.utc)
    values = Settled(settle_s=settle_s, rescan_s=rescan_s, stop_grace_s=stop_grace_s)
    engine = Engine(custody, outlets, Workers(), clock, values, redact, separate_lanes)
    writer = StatusWriter(engine, clock.utc())
    desk = Desk(engine, writer, DirectSender(engine), SubmitDesk(engine))
    for channel in channels.values():
        channel.heard = engine.tell
        channel.clock = clock
    return House(custody, engine, desk, clock, channels, root)
