"""The webhook channel against a receiver whose signatures another library checks."""

from __future__ import annotations

import base64
import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.faults import NAMED
from doubles.webhook import BODY_BYTES_MAX, SECRET, WebhookDouble
from doubles.wire import Fault

from ownerreportd.channels.webhook import TEXT_MAX, WebhookChannel, WebhookOptions
from ownerreportd.core.channel import Part
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Rejected, Throttled
from ownerreportd.render.front_matter import read_report

GOOD = sorted((Path(__file__).parents[1] / "data" / "good").glob("*.md"))
KEY = "abcdefghijklmnopqrstuv23"


def part(text="hello 完成", key=KEY, form="plain"):
    return Part(1, 1, text.encode(), f"{text} (may be a duplicate)".encode(), key, form)


def secret_of(length):
    return "whsec_" + base64.b64encode(os.urandom(length)).decode()


def make(address, secret=SECRET, *, timeout_s=5.0, **options):
    return WebhookChannel(
        name="owner", target=address, options=WebhookOptions(**options),
        secrets={"secret": secret}, language="en", timeout_s=timeout_s,
    )  # fmt: skip


@pytest.fixture
async def receiver():
    async with WebhookDouble() as double:
        yield double


@pytest.fixture
async def channel(receiver):
    made = make(receiver.address)
    yield made
    await made.aclose()


async def test_a_receiver_that_only_passes_on_proves_acceptance(receiver):
    options = WebhookChannel.Options(proof="accepted")
    channel = WebhookChannel(
        name="owner", target=receiver.address, options=options,
        secrets={"secret": receiver.secret}, language="en", timeout_s=5.0,
    )  # fmt: skip
    assert channel.capabilities.proof == "accepted"
    outcome = await channel.send(Part(1, 1, b"text", b"text", "k" * 24))
    assert outcome.receipt.proof == "accepted"
    await channel.aclose()


async def test_a_signed_part_is_confirmed_by_a_2xx_under_its_key(receiver, channel):
    outcome = await channel.send(part())
    assert isinstance(outcome, Confirmed)
    assert outcome.receipt.id == KEY
    assert receiver.had[KEY] == {
        "key": KEY, "part": 1, "parts": 1, "may_be_duplicate": False, "text": "hello 完成",
    }  # fmt: skip


async def test_a_repeat_has_the_same_id_and_bytes_and_is_had_once(receiver, channel):
    receiver.always = NAMED["accept_then_drop"]
    assert isinstance(await channel.send(part()), InDoubt)
    receiver.always = None
    assert isinstance(await channel.send(part()), Confirmed)
    assert isinstance(await channel.send(part(form="marked")), Confirmed)
    assert receiver.texts == ["hello 完成"]
    first, second, _ = receiver.posts
    assert first.body == second.body
    assert {seen.headers["webhook-id"] for seen in receiver.posts} == {KEY}


async def test_two_secrets_sign_while_one_is_changed_for_another(receiver):
    new = secret_of(32)
    both = make(receiver.address, f"{SECRET} {new}")
    for secret in (SECRET, new):
        receiver.secret = secret
        assert isinstance(await both.send(part(key=f"{KEY[:-1]}{secret[10]}")), Confirmed)
    receiver.secret = secret_of(24)
    outcome = await both.send(part())
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == ("webhook.401", "config")
    await both.aclose()


@pytest.mark.parametrize("length", [0, 23, 65])
def test_a_secret_of_another_length_is_none(length):
    secret = secret_of(length)
    with pytest.raises(ConfigError) as caught:
        make("https://example.org/x", secret)
    assert secret not in f"{caught.value} {caught.value.hint}" or not length


@pytest.mark.parametrize("secret", ["", " ", "hush", "whsec_***", "whsk_" + "a" * 44])
def test_what_is_no_secret_is_refused_without_being_shown(secret):
    with pytest.raises(ConfigError) as caught:
        make("https://example.org/x", secret)
    assert "whsec_" in caught.value.hint
    assert not secret.strip() or secret not in str(caught.value)


@pytest.mark.parametrize(
    "target",
    ["", "example.org", "ftp://example.org/x", "https://", "https://u:p@example.org/", "https://[",
     "https://example.org/#x", "https://example.org/ö", "https://example.org/a b",
     "https://example.org:99999/"],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(target):
    with pytest.raises(ConfigError) as caught:
        WebhookChannel.check_target(target)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("status", "kind", "scope"),
    [
        (200, Confirmed, None), (202, Confirmed, None), (299, Confirmed, None),
        (301, Rejected, "config"), (307, Rejected, "config"),
        (400, Rejected, "report"), (401, Rejected, "config"), (403, Rejected, "config"),
        (404, Rejected, "config"), (405, Rejected, "config"), (409, Rejected, "report"),
        (410, Rejected, "config"), (413, Rejected, "report"), (422, Rejected, "report"),
        (408, InDoubt, None), (429, Throttled, None), (500, InDoubt, None), (502, InDoubt, None),
        (503, InDoubt, None), (504, InDoubt, None), (599, InDoubt, None),
    ],
)  # fmt: skip
async def test_every_status_has_its_outcome(receiver, channel, status, kind, scope):
    receiver.always = Fault("answer", status=status, headers={"Location": "http://127.0.0.1:1/"})
    outcome = await channel.send(part())
    assert type(outcome) is kind
    assert getattr(outcome, "scope", None) == scope
    assert getattr(outcome, "hint", "x")
    assert len(receiver.posts) == 1, "no redirect is followed, and nothing is tried twice"


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_that_is_asked_for_is_told(receiver, channel, status):
    receiver.always = Fault("answer", status=status, headers={"Retry-After": "7"})
    assert await channel.send(part()) == Throttled(7.0, f"the receiver answered {status}")


@pytest.mark.parametrize("name", [n for n in NAMED if NAMED[n].act != "answer"])
async def test_a_broken_exchange_is_never_a_yes(receiver, channel, name):
    receiver.always = NAMED[name]
    quick = make(receiver.address, timeout_s=1)
    assert isinstance(await quick.send(part()), InDoubt)
    await quick.aclose()


async def test_a_receiver_that_refuses_connections_has_nothing(receiver, channel):
    receiver.wire.refuse()
    assert isinstance(await channel.send(part()), NotSent)
    assert [each.code for each in await channel.check()] == ["unreachable"]


async def test_a_check_posts_nothing_and_knows_a_receiver_that_is_gone(receiver, channel):
    assert await channel.check() == []
    receiver.always = Fault("answer", status=410)
    assert [each.code for each in await channel.check()] == ["webhook.410"]
    assert receiver.posts == []


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
async def test_every_good_report_arrives_whole(receiver, channel, path):
    parts = channel.render(read_report(path.read_bytes()).report)
    for number in itertools.count():
        if number == len(parts):
            break
        outcome = await channel.send(replace(parts[number], key=f"{number:024}"))
        assert isinstance(outcome, Confirmed), outcome
    assert receiver.texts == [each.plain.decode() for each in parts]


def test_no_body_is_longer_than_the_specification_asks_for():
    from ownerreportd.channels.webhook import _body

    worst = part('"' * TEXT_MAX)
    assert len(_body(worst)) <= BODY_BYTES_MAX
