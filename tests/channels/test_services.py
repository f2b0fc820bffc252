"""What the doubles of Discord and of webhooks offer to the tests over all channels is true."""

from datetime import UTC, datetime

import pytest
from doubles.discord import DiscordDouble
from doubles.discord_webhook import DiscordWebhookDouble
from doubles.webhook import WebhookDouble

from ownerreportd import channels
from ownerreportd.core.channel import Part
from ownerreportd.core.outcome import Confirmed, Found, InDoubt, NotSent, Rejected, Throttled

KINDS = {
    "discord": DiscordDouble,
    "webhook": WebhookDouble,
    "discord-webhook": DiscordWebhookDouble,
    "discord-webhook with a bot": lambda: DiscordWebhookDouble(with_bot=True),
}
# Of each situation the outcome, and the scope of a refusal.
SITUATIONS = {
    "accepts": (Confirmed, None),
    "throttles": (Throttled, None),
    "unreachable": (NotSent, None),
    "drops": (InDoubt, None),
    "silent": (InDoubt, None),
    "refuses_report": (Rejected, "report"),
    "refuses_config": (Rejected, "config"),
    "wrong_token": (Rejected, "config"),
    "wrong_target": (Rejected, "config"),
    "no_permission": (Rejected, "config"),
}


def part(number=1):
    text = f"report {number}"
    return Part(1, 1, text.encode(), f"again: {text}".encode(), f"{number:024}")


@pytest.fixture(params=KINDS)
async def service(request):
    async with KINDS[request.param]() as double:
        yield double


def channel_to(service, *, timeout_s=5.0):
    kind = channels.load(service.channel)
    options = {key: value for key, value in service.destination.items() if key != "timeout_s"}
    return kind(
        name="owner", target=kind.check_target(options.pop("target", "")), timeout_s=timeout_s,
        options=kind.Options(**options), secrets=service.secrets, language="en",
    )  # fmt: skip


@pytest.fixture
async def channel(service):
    made = channel_to(service)
    yield made
    await made.aclose()


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_every_situation_is_what_it_is_called_and_can_be_mended(service, channel, situation):
    expected, scope = SITUATIONS[situation]
    if not await service.arrange(situation):
        assert (service.channel, situation) == ("discord-webhook", "no_permission")
        return
    hasty = channel_to(service, timeout_s=0.3)
    outcome = await (hasty if situation == "silent" else channel).send(part())
    await hasty.aclose()
    assert type(outcome) is expected, outcome
    assert getattr(outcome, "scope", None) == scope
    assert await service.arrange("accepts")
    assert isinstance(await channel.send(part(2)), Confirmed)
    taken = situation in {"accepts", "drops", "silent"}
    assert service.texts == ["report 1"] * taken + ["report 2"]
    assert await channel.check() == []


async def test_an_unknown_situation_cannot_be_arranged(service):
    assert not await service.arrange("on fire")


async def test_the_steps_of_a_part_are_told_and_a_refused_one_is_not_taken(service, channel):
    steps = []
    service.on_step = lambda name: steps.append((name, len(service.texts)))
    await service.arrange("drops")
    assert isinstance(await channel.send(part()), InDoubt)
    assert steps == [("arrived", 0), ("taken", 1)]
    await service.arrange("refuses_report")
    await channel.send(part(2))
    assert [name for name, _ in steps].count("taken") == 1


async def test_exactly_once_is_true_of_what_says_so(service, channel):
    since = datetime.now(UTC)
    await service.arrange("drops")
    assert isinstance(await channel.send(part()), InDoubt)
    await service.arrange("accepts")
    can = channel.capabilities
    if can.dedup_window_s:
        assert isinstance(await channel.send(part()), Confirmed)
    elif can.read_back:
        assert isinstance(await channel.look(part(), since, frozenset()), Found)
    else:
        assert isinstance(await channel.send(part()), Confirmed)
    assert service.exactly_once is (len(service.texts) == 1)


@pytest.mark.parametrize("kind", [DiscordDouble, DiscordWebhookDouble])
async def test_a_bucket_is_told_on_every_answer_and_counts_who_ignores_it(kind):
    async def once(number):
        channel = channel_to(service)  # which knows nothing of the bucket yet
        outcome = await channel.send(part(number))
        await channel.aclose()
        return outcome

    async with kind(bucket=(3, 60.0)) as service:
        for number in range(7):
            outcome = await once(number)
            assert isinstance(outcome, Confirmed)
            service.advance(outcome.pause_s)
        assert service.throttled == 0
        outcomes = [await once(10 + number) for number in range(4)]
        assert isinstance(outcomes[-1], Throttled)
        assert service.throttled == [type(each) for each in outcomes].count(Throttled)
