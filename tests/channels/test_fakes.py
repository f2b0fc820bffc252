"""The fakes that others test with behave as they say."""

import asyncio
from datetime import UTC, datetime

import pytest

from ownerreportd.core.channel import Capabilities, Problem, measure
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    NotSent,
    Receipt,
    Unknown,
)
from ownerreportd.core.report import Report
from ownerreportd.testing import Accepts, FakeChannel, FakeClock, Hangs

SINCE = datetime(2026, 11, 22, tzinfo=UTC)


def a_part(channel, key="k"):
    (part,) = channel.render(Report("r", "hello"))
    return type(part)(1, 1, part.plain, part.marked, key)


async def test_a_script_is_followed_and_then_all_is_confirmed():
    channel = FakeChannel([NotSent("first"), Accepts(InDoubt("second")), RuntimeError("third")])
    part = a_part(channel)
    assert await channel.send(part) == NotSent("first")
    assert channel.texts == []
    assert await channel.send(part) == InDoubt("second")
    assert channel.texts == ["hello"]
    with pytest.raises(RuntimeError, match="third"):
        await channel.send(part)
    assert await channel.send(part) == Confirmed(Receipt("m1"))
    assert channel.texts == ["hello"]
    assert len(channel.sent) == 4


async def test_a_scripted_confirmation_reaches_the_owner():
    channel = FakeChannel([Confirmed(Receipt("own-id"))])
    assert await channel.send(a_part(channel)) == Confirmed(Receipt("own-id"))
    assert channel.texts == ["hello"]


async def test_a_repeat_after_the_window_is_a_second_message():
    clock = FakeClock()
    channel = FakeChannel(clock=clock)
    await channel.send(a_part(channel))
    clock.advance(121)
    assert await channel.send(a_part(channel)) == Confirmed(Receipt("m2"))


async def test_a_hanging_send_ends_only_when_it_is_cancelled():
    channel = FakeChannel([Hangs(accepts=True)])
    sending = asyncio.ensure_future(channel.send(a_part(channel)))
    done, _ = await asyncio.wait([sending], timeout=0.01)
    assert not done
    assert channel.texts == ["hello"]
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_looking_follows_its_script_and_then_the_truth():
    channel = FakeChannel(looks=[Unknown("first")])
    part = a_part(channel)
    assert await channel.look(part, SINCE, frozenset()) == Unknown("first")
    assert await channel.look(part, SINCE, frozenset()) == Absent()
    await channel.send(part)
    assert await channel.look(part, SINCE, frozenset()) == Found(Receipt("m1"))
    assert await channel.look(part, SINCE, frozenset({"m1"})) == Absent()


async def test_a_channel_that_cannot_be_read_back_knows_nothing():
    channel = FakeChannel(capabilities=Capabilities(text_max=100))
    looked = await channel.look(a_part(channel), SINCE, frozenset())
    assert isinstance(looked, Unknown)


async def test_problems_and_closings_are_what_the_test_set():
    problem = Problem("c", "d", "h")
    channel = FakeChannel(problems=[problem])
    assert await channel.check() == [problem]
    await channel.aclose()
    assert channel.closed == 1


@pytest.mark.parametrize("unit", ["code_points", "utf16", "bytes"])
@pytest.mark.parametrize("text_max", [30, 100, None])
def test_parts_keep_the_limit_and_the_text(unit, text_max):
    channel = FakeChannel(capabilities=Capabilities(text_max=text_max, text_unit=unit))
    body = "\N{ROCKET}" * 300
    parts = channel.render(Report("r", body))
    assert b"".join(p.plain for p in parts).decode() == body
    limit = text_max or 10**9
    assert all(measure(p.marked.decode(), unit) <= limit for p in parts)


def test_the_clock_moves_only_when_it_is_told_to():
    clock = FakeClock()
    before = clock.now(), clock.utc(), clock.monotonic()
    assert before == (clock.now(), clock.utc(), clock.monotonic())
    clock.advance(1.5)
    assert clock.utc() - before[1] == 1.5
    assert clock.monotonic() - before[2] == 1.5
    clock.set_now(SINCE)
    assert clock.now() == SINCE
    assert clock.monotonic() - before[2] == 1.5
