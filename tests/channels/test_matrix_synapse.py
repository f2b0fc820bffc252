"""The Matrix channel against a real Synapse: what the specification promises, as it is kept."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from channels.test_matrix import KEY, body_of, make, part, worst_parts
from doubles.faults import NAMED
from doubles.synapse import API, DEVICE, FACADE, SynapseService

from ownerreportd.channels.matrix_history import PAGE
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    Rejected,
    Throttled,
    Unknown,
)
from ownerreportd.testing import Bench, channel_contract

# The first of them installs Synapse, if `make synapse` has not.
pytestmark = [pytest.mark.synapse, pytest.mark.timeout(300)]
OTHER_KEY = "bbbbbbbbbbbbbbbbbbbbbbbb"


def joined(service, *, token=FACADE, target=None, base=None, **options):
    options = {"device_id": DEVICE, **options}
    return make(base or service.base, target or service.room, timeout_s=5.0, token=token, **options)


_earlier: list[SynapseService] = []


@asynccontextmanager
async def synapse_bench():
    async with SynapseService(like=_earlier[-1] if _earlier else None) as service:
        _earlier.append(service)
        channel = make(service.base, service.room, timeout_s=5.0, token=FACADE, device_id=DEVICE)
        secrets = (FACADE, service.token)
        yield Bench(channel, service.arrange, secrets=secrets, text_of=body_of)


class TestSynapse(channel_contract(synapse_bench)):
    # No homeserver takes part in these; the double's contract has them.
    test_every_report_becomes_numbered_parts_within_the_limit = None
    test_the_same_report_becomes_the_same_bytes = None
    test_capabilities_are_possible = None
    test_closing_twice_is_no_error = None


@pytest.fixture
async def service():
    async with SynapseService() as made:
        yield made


@pytest.fixture
async def channel(service):
    made = joined(service)
    yield made
    await made.aclose()


@pytest.fixture
async def lonely():
    """A service that has its Synapse for itself, and a channel to it."""
    async with SynapseService(alone=True) as service:
        made = joined(service)
        yield service, made
        await made.aclose()


def now():
    return datetime.now(UTC)


async def texts(service):
    return await asyncio.to_thread(lambda: service.texts)


async def test_a_kill_of_the_homeserver_forgets_no_transaction(lonely):
    service, channel = lonely
    service.always = NAMED["accept_then_drop"]
    assert isinstance(await channel.send(part()), InDoubt)
    service.always = None
    (event,) = await asyncio.to_thread(lambda: service.events)
    service.kill()
    assert isinstance(await channel.send(part()), InDoubt), "the proxy says 502"
    await asyncio.to_thread(service.start)
    repeat = await channel.send(part().as_form("marked"))
    assert isinstance(repeat, Confirmed)
    assert repeat.receipt.id == event["event_id"]
    assert await texts(service) == ["hello 完成"]


async def test_another_device_makes_a_second_message_so_it_reads_the_room_back(service, channel):
    since = now()
    sent = await channel.send(part())
    other = await asyncio.to_thread(service.synapse.login, service.user_id, None)
    elsewhere = joined(
        service, base=service.synapse.base, token=other["access_token"], device_id=""
    )
    assert elsewhere.capabilities.dedup_window_s == 0
    found = await elsewhere.look(part(), since, frozenset())
    assert isinstance(found, Found)
    assert found.receipt.id == sent.receipt.id
    assert await elsewhere.look(part(), since, frozenset({sent.receipt.id})) == Absent(
        "the room's history was read, and the message is not in it"
    )
    again = await elsewhere.send(part())
    assert again.receipt.id != sent.receipt.id
    await elsewhere.aclose()


async def test_a_token_of_another_device_is_named_before_anything_is_sent(service):
    channel = joined(service, device_id="ELSEWHERE")
    (problem,) = await channel.check()
    assert problem.code == "matrix.device"
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == ("matrix.device", "config")
    assert await texts(service) == []
    await channel.aclose()


async def test_a_message_that_was_deleted_since_is_known_by_its_transaction(service, channel):
    since = now()
    sent = await channel.send(part())
    path = service.path("redact", sent.receipt.id, "r1")
    await asyncio.to_thread(service.synapse.ask, "PUT", path, {})
    found = await channel.look(part(), since, frozenset())
    assert isinstance(found, Found)
    assert (found.receipt.id, found.receipt.note) == (
        sent.receipt.id, "delivered, and deleted since",
    )  # fmt: skip
    assert isinstance(await channel.look(part(key=OTHER_KEY), since, frozenset()), Absent)
    other = await asyncio.to_thread(service.synapse.login, service.user_id, None)
    elsewhere = joined(
        service, base=service.synapse.base, token=other["access_token"], device_id=""
    )
    lost = await elsewhere.look(part(), since, frozenset())
    assert isinstance(lost, Unknown), "another device is shown no transaction"
    assert not lost.transient
    await elsewhere.aclose()


async def test_a_long_history_is_read_back_page_by_page(service, channel):
    since = now() - timedelta(hours=1)
    path = service.path("send", "m.room.message", "by-the-owner")
    forged = {"msgtype": "m.text", "body": "x", "org.ownerreportd.part": KEY}
    await asyncio.to_thread(service.synapse.ask, "PUT", path, forged)
    for number in range(PAGE + 2):
        assert isinstance(await channel.send(part(key=f"{number:024}")), Confirmed)
    assert isinstance(await channel.look(part(key=f"{0:024}"), since, frozenset()), Found)
    assert isinstance(await channel.look(part(), since, frozenset()), Absent), "not the owner's"


async def test_the_largest_part_of_all_is_taken(service):
    (root,) = [await asyncio.to_thread(
        service.synapse.ask, "PUT", service.path("send", "m.room.message", "root"),
        {"msgtype": "m.text", "body": "root"},
    )]  # fmt: skip
    channel = joined(service, target=f"{service.room}/{root['event_id']}")
    assert await channel.check() == []
    for number, each in enumerate(worst_parts(channel)):
        outcome = await channel.send(replace(each, key=f"{number:024}"))
        assert isinstance(outcome, Confirmed), outcome
    events = (await asyncio.to_thread(lambda: service.events))[1:]
    for event in events:
        assert event["content"]["m.relates_to"]["event_id"] == root["event_id"]
    await channel.aclose()


async def test_nobody_is_pinged_whatever_the_text_says(service, channel):
    name = "Owner Name"
    owner = service.synapse.owner["user_id"]
    await asyncio.to_thread(
        service.synapse.ask, "PUT", f"{API}/profile/{owner}/displayname", {"displayname": name}
    )
    text = f"@room {owner} owner {name}"

    def highlights():
        found = service.synapse.ask("GET", f"{API}/notifications?only=highlight")
        return sum(each["room_id"] == service.room for each in found["notifications"])

    levels = {"users": {service.user_id: 50}, "notifications": {"room": 0}}
    await asyncio.to_thread(service.state, "m.room.power_levels", levels)
    assert isinstance(await channel.send(part(text)), Confirmed)
    assert await asyncio.to_thread(highlights) == 0
    path = service.path("send", "m.room.message", "by-hand")
    body = {"msgtype": "m.text", "body": text}
    await asyncio.to_thread(service.as_bot, "PUT", path, body)
    assert await asyncio.to_thread(highlights) == 1, "the counting works"


async def test_an_encrypted_room_is_refused_and_stays_empty(service, channel):
    algorithm = {"algorithm": "m.megolm.v1.aes-sha2"}
    await asyncio.to_thread(service.state, "m.room.encryption", algorithm)
    outcome = await channel.send(part())
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == ("matrix.encrypted", "config")
    assert "without encryption" in outcome.hint
    assert [each.code for each in await channel.check()] == ["matrix.encrypted"]
    assert await texts(service) == []


async def test_synapses_own_limit_says_how_long_to_wait(service, channel):
    await asyncio.to_thread(service.synapse.limit, service.user_id, 1, 2)
    outcomes = [await channel.send(part(key=f"{number:024}")) for number in range(4)]
    throttled = [each for each in outcomes if isinstance(each, Throttled)]
    assert throttled
    assert all(0 < each.retry_after_s <= 2 for each in throttled)
    assert len(await texts(service)) == 4 - len(throttled)
    await asyncio.sleep(throttled[-1].retry_after_s)
    assert isinstance(await channel.send(part(key=f"{3:024}")), Confirmed), "not before, but then"


async def test_check_names_what_is_wrong_with_the_room(service, channel):
    synapse = service.synapse

    async def codes(which=channel):
        return [each.code for each in await which.check()]

    assert await codes() == []
    await asyncio.to_thread(service.level, 50)
    assert await codes() == ["matrix.power"]
    assert (await channel.send(part())).code == "matrix.M_FORBIDDEN"
    await service.arrange("wrong_target")
    assert await codes() == ["matrix.M_FORBIDDEN"]
    assert (await channel.send(part())).code == "matrix.M_FORBIDDEN"
    await service.arrange("wrong_token")
    (problem,) = await joined(service).check()
    assert problem.code == "matrix.M_UNKNOWN_TOKEN"
    assert "device_id" in problem.hint
    await service.arrange("accepts")
    assert await codes() == []
    path = service.path("send", "m.room.message", "root")
    root = await asyncio.to_thread(synapse.ask, "PUT", path, {"msgtype": "m.text", "body": "x"})
    threaded = joined(service, target=f"{service.room}/{root['event_id']}")
    reply = await threaded.send(part())
    assert isinstance(reply, Confirmed)
    assert await codes(joined(service, target=f"{service.room}/{reply.receipt.id}")) == [
        "matrix.thread"
    ]
    assert await codes(joined(service, target=f"{service.room}/$nothing")) == ["matrix.thread"]
    form = {"new_version": "11"}
    await asyncio.to_thread(synapse.ask, "POST", service.path("upgrade"), form)
    assert await codes() == ["matrix.replaced"]


async def test_an_alias_is_followed_once_and_its_moving_is_named(service):
    alias = f"#reports{service.room[1:6].lower()}:synapse.test"
    path = f"{API}/directory/room/%23{alias[1:]}"
    await asyncio.to_thread(service.synapse.ask, "PUT", path, {"room_id": service.room})
    channel = joined(service, target=alias)
    assert await channel.check() == []
    async with SynapseService() as other:
        await asyncio.to_thread(service.synapse.ask, "DELETE", path)
        await asyncio.to_thread(service.synapse.ask, "PUT", path, {"room_id": other.room})
        (problem,) = await channel.check()
        assert problem.code == "matrix.alias_moved"
        assert isinstance(await channel.send(part()), Confirmed)
        assert await texts(service) == ["hello 完成"]
        assert await texts(other) == []
    await channel.aclose()


async def test_who_made_a_room_may_post_in_it_whatever_its_levels(service):
    form = {"power_level_content_override": {"events_default": 100}}
    made = await asyncio.to_thread(service.as_bot, "POST", f"{API}/createRoom", form)
    channel = joined(service, target=made["room_id"])
    assert await channel.check() == []
    since = now() - timedelta(days=1)
    assert isinstance(await channel.look(part(), since, frozenset()), Absent)
    assert isinstance(await channel.send(part()), Confirmed)
    await channel.aclose()
