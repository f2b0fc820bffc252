"""The proof of life: what is stuck withholds it, what merely waits does not."""

import contextlib
import threading

import anyio
import pytest
from daemon_house import DEDUP, Owner

from ownerreportd import attempt
from ownerreportd.core.outcome import Rejected
from ownerreportd.daemon import liveness
from ownerreportd.daemon.liveness import ACT_S_MAX, Liveness

PROMPT_S = 20.0
STUCK_S = 0.4


@pytest.fixture(autouse=True)
def _look_often(monkeypatch):
    monkeypatch.setattr(liveness, "LOOK_S", 0.02)


async def is_alive(house, within_s=PROMPT_S):
    with anyio.move_on_after(within_s):
        await Liveness(house.engine).round_trip()
        return True
    return False


class Hanging(Owner):
    """A channel that hangs until it is let go, or cut off; one that is `deaf` is not cut off."""

    def __init__(self, *, deaf=False):
        super().__init__(can=DEDUP)
        self.deaf = deaf
        self.called, self.over = anyio.Event(), anyio.Event()

    async def send(self, part):
        self.called.set()
        while not self.over.is_set():
            with contextlib.suppress(BaseException if self.deaf else ()):
                await self.over.wait()
        return await super().send(part)


async def test_idle_blocked_and_paused_lanes_are_alive(house):
    refused = Rejected("403", "config", "no", "let it in")
    owner = Owner(refused, can=DEDUP)
    async with house({"owner": owner}).running() as at:
        assert await is_alive(at)
        at.drop("a.md", "refused")
        await at.scanned()
        await at.until(lambda: at.code == "config")
        assert await is_alive(at)
        await at.desk.pause(destination=None, who="me")
        assert await is_alive(at)


@pytest.mark.parametrize("queue", ["write", "read", "ask", "keep"])
async def test_a_thread_that_does_not_come_back_is_not_alive(house, queue):
    released = threading.Event()
    async with house().running() as at, anyio.create_task_group() as tasks:
        tasks.start_soon(getattr(at.engine.workers, queue), released.wait)
        try:
            assert not await raced(at, released)
        finally:
            released.set()
        assert await is_alive(at)


async def raced(at, released):
    """Whether the round trip came back before the thread was released.

    What waits for a thread cannot be cut off, so that the thread must be released to look.
    """
    back = anyio.Event()

    async def go():
        await Liveness(at.engine).round_trip()
        back.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(go)
        with anyio.move_on_after(STUCK_S):
            await back.wait()
        was_back = back.is_set()
        released.set()
    return was_back


async def test_a_call_within_its_deadline_is_alive_and_one_that_outlives_it_is_not(
    house, monkeypatch
):
    monkeypatch.setattr(attempt, "OVERDUE_S", 0.05)
    owner = Hanging(deaf=True)
    async with house({"owner": owner}, timeout_s=0.5).running() as at:
        at.drop("a.md", "slow")
        await at.scanned()
        await owner.called.wait()
        assert await is_alive(at)
        with anyio.move_on_after(5):
            while not at.courier.attempts.is_overdue:
                await anyio.sleep(0.02)
        assert not await is_alive(at, STUCK_S)
        owner.over.set()
        await at.delivered()
        assert await is_alive(at)


async def test_an_act_is_alive_while_it_makes_a_call_and_for_a_while_beside_one(house):
    owner, other = Hanging(), Owner()
    made = house(
        {"owner": owner, "other": other}, to=("other",), timeout_s=300, separate_lanes=True
    )
    async with made.running() as at, anyio.create_task_group() as tasks:
        at.drop("a.md", "by hand")
        await at.desk.pause(destination=None, who="me")
        await at.scanned()
        await at.until(at.states)
        tasks.start_soon(at.send, "a.md", "owner")
        await owner.called.wait()
        at.clock.advance(10 * ACT_S_MAX)
        assert await is_alive(at)  # a call, however long its deadline is
        owner.over.set()


async def test_an_act_that_hangs_at_something_else_is_not_alive(house):
    over = anyio.Event()
    begun = anyio.Event()

    async def act():
        begun.set()
        await over.wait()

    async with house().running() as at, anyio.create_task_group() as tasks:
        tasks.start_soon(at.desk.act, act, tuple(at.engine.lanes))
        await begun.wait()
        assert await is_alive(at)
        at.clock.advance(ACT_S_MAX + 1)
        assert not await is_alive(at, STUCK_S)
        over.set()
        assert await is_alive(at)


async def test_a_lane_that_is_taken_away_is_not_waited_for(house):
    made = house({"owner": Owner(), "other": Owner()}, to=("owner", "other"), separate_lanes=True)
    async with made.running() as at:
        courier = next(iter(at.engine.lanes))
        courier.retire()
        assert await is_alive(at)
        assert await is_alive(at)
