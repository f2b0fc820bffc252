"""The channel keeps ownerreportd's contract, and claims nothing that Gotify did not say."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from gotify_double import TOKEN, GotifyDouble
from ownerreportd_gotify import TEXT_MAX, GotifyChannel

from ownerreportd import channels
from ownerreportd.core.channel import Part
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, Rejected, Throttled
from ownerreportd.testing import Bench, channel_contract

PART = Part(1, 1, "All is **well**. 完成".encode(), b"again", "abcdefghijklmnopqrstuvwx")


def make(address, token=TOKEN, **options):
    return GotifyChannel(
        name="owner", target=address, options=GotifyChannel.Options(**options),
        secrets={"token": token}, language="en", timeout_s=0.5,
    )  # fmt: skip


@asynccontextmanager
async def bench():
    async with GotifyDouble() as gotify:
        yield Bench(make(gotify.address), gotify.arrange, secrets=(TOKEN,))


TestGotify = channel_contract(bench)


def with_gotify(test, **options):
    """What the test makes of a server and a channel to it."""

    async def whole():
        async with GotifyDouble() as gotify:
            channel = make(gotify.address, **options)
            try:
                return await test(gotify, channel)
            finally:
                await channel.aclose()

    return asyncio.run(whole())


def test_it_is_found_by_its_entry_point():
    assert channels.load("gotify") is GotifyChannel


def test_a_message_has_text_priority_and_kind():
    async def test(gotify, channel):
        outcome = await channel.send(PART)
        (made,) = gotify.messages
        assert isinstance(outcome, Confirmed)
        assert outcome.receipt.id == str(made["id"])
        assert made["message"] == "All is **well**. 完成"
        assert made["priority"] == 9
        assert made["extras"]["client::display"]["contentType"] == "text/markdown"

    with_gotify(test, priority=9)


SAID = {"error": "x", "errorCode": 1, "errorDescription": f"no {TOKEN}"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "scope"),
    [
        (200, {}, InDoubt, None), (200, [], InDoubt, None), (204, {}, InDoubt, None),
        (200, {"id": 1, "message": "another text"}, InDoubt, None),
        (200, {"id": True, "message": PART.plain.decode()}, InDoubt, None),
        (400, SAID, Rejected, "report"), (400, {}, Rejected, "config"),
        (401, SAID, Rejected, "config"), (403, SAID, Rejected, "config"),
        (404, SAID, Rejected, "config"), (404, "<html>", Rejected, "config"),
        (301, {}, Rejected, "config"), (408, {}, InDoubt, None), (429, SAID, Throttled, None),
        (500, SAID, InDoubt, None), (502, {}, InDoubt, None), (503, {}, InDoubt, None),
    ],
)  # fmt: skip
def test_every_answer_has_its_outcome(status, body, kind, scope):
    async def test(gotify, channel):
        gotify.answer = status, body
        return await channel.send(PART)

    outcome = with_gotify(test)
    assert type(outcome) is kind
    assert getattr(outcome, "scope", None) == scope
    assert TOKEN not in repr(outcome)


def test_check_makes_no_message_and_names_what_is_wrong():
    async def test(gotify, channel):
        assert await channel.check() == []
        await gotify.arrange("refuses_config")
        (problem,) = await channel.check()
        assert (problem.code, "token_file" in problem.hint) == ("gotify.401", True)
        gotify.answer = 404, "<html>"
        assert [each.code for each in await channel.check()] == ["http.404"]
        gotify.answer = 502, {}
        assert [each.code for each in await channel.check()] == ["unreachable"]
        assert gotify.messages == []

    with_gotify(test)


@pytest.mark.parametrize("target", ["", "example.org", "ftp://example.org", "https://x/?a=b"])
def test_what_is_no_address_is_refused(target):
    with pytest.raises(ConfigError):
        GotifyChannel.check_target(target)
    assert GotifyChannel.check_target(" https://example.org/gotify/ ").endswith("/gotify")


def test_the_longest_message_fits_gotifys_smallest_database():
    assert TEXT_MAX < 65_535
