"""A queue takes the time that the service's limit allows, and little more.

Real channels and doubles with the services' real limits, on a clock that moves only by the pauses
that the daemon asks for: what the machine itself takes, `benchmarks/pacing.py` adds.
"""

from datetime import UTC, datetime
from types import SimpleNamespace

from daemon_house import PATIENCE_S
from doubles.discord import DiscordDouble
from doubles.telegram import SENDS, TelegramDouble, method_of, throttled

from ownerreportd.channels import discord_message
from ownerreportd.channels.discord import DiscordChannel
from ownerreportd.channels.telegram import TelegramChannel
from ownerreportd.core.lane_words import Phase
from ownerreportd.testing import FakeClock

REPORTS = 100
RATIO_MAX = 1.05
TEXTS = [f"report {number}" for number in range(REPORTS)]


def channel_to(kind, double, **options):
    destination = dict(double.destination)
    target = destination.pop("target")
    destination.pop("timeout_s", None)
    return kind(
        name="owner",
        target=target,
        options=kind.Options(**destination | options),
        secrets=double.secrets,
        language="en",
        timeout_s=PATIENCE_S,
    )


async def paused_s(house, channel, clock):
    """The time of all pauses from the first report to the last, each waited for exactly."""
    here = house({"owner": channel}, clock=clock, timeout_s=PATIENCE_S)
    for number, text in enumerate(TEXTS):
        here.drop(f"{number:03}.md", text)
    began = clock.monotonic()

    def all_are_sent():
        return len(here.names("sent")) == REPORTS

    def rests():
        return here.lane.phase is Phase.WAITING and here.lane.wake_at > clock.monotonic()

    async with here.running():
        while not all_are_sent():
            await here.until(lambda: all_are_sent() or rests())
            if rests():
                assert here.lane.paced, "the service had to say that it is too fast"
                here.pass_time(here.lane.wake_at - clock.monotonic())
    assert "part.failed" not in here.kinds()
    return clock.monotonic() - began


async def test_discord_s_five_in_five_seconds(house, monkeypatch):
    clock = FakeClock(datetime.now(UTC))
    by_this_clock = SimpleNamespace(current_time=clock.monotonic)
    monkeypatch.setattr(discord_message, "anyio", by_this_clock)
    async with DiscordDouble(bucket=(5, 5.0)) as discord:
        discord.now = clock.utc
        channel = channel_to(DiscordChannel, discord)
        took_s = await paused_s(house, channel, clock)
        await channel.aclose()
    allowed_s = (REPORTS - 1) // 5 * 5.0
    assert discord.texts == TEXTS
    assert discord.throttled == 0
    assert allowed_s <= took_s <= RATIO_MAX * allowed_s


async def test_telegram_s_one_a_second(house):
    clock = FakeClock(datetime.now(UTC))
    came, refused = [], []

    def too_soon(seen):
        if method_of(seen) not in SENDS:
            return None
        now = clock.monotonic()
        if came and now - came[-1] < 1 - 1e-6:
            refused.append(now)
            return throttled(1)
        came.append(now)
        return None

    async with TelegramDouble() as telegram:
        telegram.fault_if = too_soon
        channel = channel_to(TelegramChannel, telegram, pause_s=1.0)
        took_s = await paused_s(house, channel, clock)
        await channel.aclose()
    assert telegram.texts == TEXTS
    assert not refused
    assert REPORTS - 1 - 1e-3 <= took_s <= RATIO_MAX * (REPORTS - 1)
