"""Every built-in channel keeps the contract, and so does the fake that stands in for them."""

import os
import tempfile
from contextlib import asynccontextmanager
from email import message_from_bytes
from pathlib import Path

from doubles.discord import DiscordDouble
from doubles.faults import NAMED, error
from doubles.webhook import WebhookDouble
from doubles.wire import Fault

from ownerreportd.channels.console import ConsoleChannel
from ownerreportd.channels.discord import DiscordChannel
from ownerreportd.channels.inbox import InboxChannel
from ownerreportd.channels.webhook import WebhookChannel
from ownerreportd.core.channel import Problem
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Receipt, Rejected, Throttled
from ownerreportd.testing import Bench, FakeChannel, Hangs, channel_contract


def made(kind, target, *, timeout_s=5.0, secrets=None, **options):
    return kind(
        name="owner",
        target=target,
        options=kind.Options(**options),
        secrets=secrets or {},
        language="en",
        timeout_s=timeout_s,
    )


@asynccontextmanager
async def discord_bench():
    async with DiscordDouble() as discord:

        async def arrange(situation):
            discord.always = discord.get_always = None
            discord.place(send=True, view=True)
            await discord.accept_again()
            if situation == "unreachable":
                discord.refuse()
            elif situation == "refuses_config":
                discord.place(view=False)
            elif situation != "accepts":
                discord.always = {
                    "throttles": NAMED["429"],
                    "drops": NAMED["accept_then_drop"],
                    "silent": NAMED["accept_then_hang"],
                    "refuses_report": error(400, 200000),
                }[situation]
            return True

        channel = made(
            DiscordChannel,
            next(iter(discord.places)),
            timeout_s=3,
            secrets={"token": discord.token},
            api_base=discord.base,
        )
        yield Bench(channel, arrange, secrets=(discord.token,))


@asynccontextmanager
async def inbox_bench():
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder, "inbox")

        async def arrange(situation):
            if situation == "refuses_config":
                inbox.write_text("a file in its place")
            return situation in {"accepts", "refuses_config"}

        def text_of(payload):
            return message_from_bytes(payload).get_payload(decode=True).decode()

        yield Bench(made(InboxChannel, os.fspath(inbox)), arrange, text_of=text_of)


@asynccontextmanager
async def console_bench():
    async def arrange(situation):
        return situation == "accepts"

    yield Bench(made(ConsoleChannel, "stdout"), arrange)


@asynccontextmanager
async def fake_bench():
    channel = FakeChannel()
    steps = {
        "throttles": Throttled(1.0),
        "unreachable": NotSent("made up"),
        "drops": InDoubt("made up"),
        "refuses_report": Rejected("fake", "report", "made up", "mend it"),
        "refuses_config": Rejected("fake", "config", "made up", "mend it"),
    }

    async def arrange(situation):
        channel.script.clear()
        if situation in steps:
            channel.script.append(steps[situation])
        elif situation == "silent":
            channel.script.append(Hangs())
        channel.problems = [Problem("unreachable", "x", "y")] if situation == "unreachable" else []
        return True

    yield Bench(channel, arrange)


TestDiscord = channel_contract(discord_bench)


@asynccontextmanager
async def webhook_bench():
    async with WebhookDouble() as receiver:

        async def arrange(situation):
            receiver.always = {
                "throttles": Fault("answer", status=429, headers={"Retry-After": "1"}),
                "drops": NAMED["accept_then_drop"],
                "silent": NAMED["accept_then_hang"],
                "refuses_report": Fault("answer", status=422, body="no"),
                "refuses_config": Fault("answer", status=410),
            }.get(situation)
            await receiver.wire.accept_again()
            if situation == "unreachable":
                receiver.wire.refuse()
            return True

        secrets = {"secret": receiver.secret}
        channel = made(WebhookChannel, receiver.address, timeout_s=3, secrets=secrets)
        yield Bench(channel, arrange, secrets=(receiver.secret,))


TestWebhook = channel_contract(webhook_bench)
TestInbox = channel_contract(inbox_bench)
TestConsole = channel_contract(console_bench)


class TestFake(channel_contract(fake_bench)):
    # The fake keeps no deadline of its own: the courier's is what its tests are about.
    test_a_silent_service_is_in_doubt_after_the_deadline = None


def broken(**behaviour):
    """The contract over a channel that breaks it in one place."""

    @asynccontextmanager
    async def bench():
        channel = type("Broken", (FakeChannel,), behaviour)()

        async def arrange(_situation):
            return True

        yield Bench(channel, arrange, secrets=("hush",))

    return channel_contract(bench)()


def fails(test):
    try:
        test()
    except AssertionError:
        return True
    return False


def test_the_contract_notices_what_is_wrong():
    async def shows_its_secret(self, part):
        return Confirmed(Receipt("id", note="hush"))

    async def swallows(self, part):
        return InDoubt("early")

    async def always_new(self, part):
        self.sent.append(part)
        return Confirmed(Receipt(str(len(self.sent))))

    def longer(self, report):
        parts = FakeChannel.render(self, report)
        return [type(p)(p.number, p.count, p.plain * 3, p.marked * 3) for p in parts]

    assert fails(broken(send=shows_its_secret).test_an_accepted_part_is_confirmed)
    assert fails(broken(send=swallows).test_an_accepted_part_is_confirmed)
    assert fails(
        broken(send=swallows).test_cancellation_passes_through_and_leaves_the_channel_usable
    )
    assert fails(
        broken(send=always_new).test_repeating_a_key_within_the_window_returns_the_first_receipt
    )
    assert fails(broken(render=longer).test_every_report_becomes_numbered_parts_within_the_limit)
