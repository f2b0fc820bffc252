"""The double refuses what Discord refuses; otherwise the channel's tests would prove nothing."""

import json

import httpx
import pytest
from doubles.control import DiscordProcess
from doubles.discord import DiscordDouble
from doubles.faults import NAMED

CHANNEL = "1480577550445969541"
GOOD = {
    "User-Agent": "DiscordBot (https://example.org, 1)",
    "Authorization": "Bot MTA5.made-up.token",
}


@pytest.fixture
async def discord():
    async with DiscordDouble() as double:
        yield double


@pytest.fixture
async def bot(discord):
    async with httpx.AsyncClient(base_url=discord.base, headers=GOOD, timeout=5) as client:
        yield client


def create(bot, content="hello", channel=CHANNEL, **more):
    return bot.post(f"/channels/{channel}/messages", json={"content": content, **more})


async def listed(bot, **query):
    return (await bot.get(f"/channels/{CHANNEL}/messages", params=query)).json()


async def test_a_message_is_created_and_listed_newest_first(discord, bot):
    first = (await create(bot, "one", nonce="n1")).json()
    await create(bot, "two")
    assert first["nonce"] == "n1"
    assert [m["content"] for m in await listed(bot)] == ["two", "one"]
    assert all("nonce" not in m for m in await listed(bot))
    assert int(first["id"]) < int((await listed(bot))[0]["id"])


async def test_paging_goes_upwards_from_after_and_downwards_from_before(discord, bot):
    ids = [(await create(bot, f"m{n}")).json()["id"] for n in range(5)]
    assert [m["content"] for m in await listed(bot, after=ids[0], limit=2)] == ["m2", "m1"]
    assert [m["content"] for m in await listed(bot, before=ids[3], limit=2)] == ["m2", "m1"]
    assert [m["content"] for m in await listed(bot, limit=1)] == ["m4"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"headers": {"Authorization": "Bot wrong"}}, 401, 0),
        ({"headers": {"Authorization": "MTA5.made-up.token"}}, 401, 0),
        ({"headers": {"User-Agent": "python-httpx/0.28"}}, 403, 40333),
        ({"headers": {"Content-Type": "text/plain"}}, 400, 50035),
        ({"content": b"{"}, 400, 50109),
        ({"content": b"[1]"}, 400, 50109),
        ({"content": b"\xff"}, 400, 50109),
        ({"json": {"content": "x" * 2001}}, 400, 50035),
        ({"json": {"content": 1}}, 400, 50035),
        ({"json": {"content": " \n\t "}}, 400, 50006),
        ({"json": {}}, 400, 50006),
        ({"json": {"content": "x", "nonce": "n" * 26}}, 400, 50035),
        ({"json": {"content": "x", "nonce": 2**63}}, 400, 50035),
        ({"json": {"content": "x", "nonce": True}}, 400, 50035),
        ({"json": {"content": "x", "nonce": [1]}}, 400, 50035),
        ({"json": {"content": "x", "flags": 1 << 15}}, 400, 50035),
        ({"json": {"content": "x", "enforce_nonce": "yes"}}, 400, 50035),
        ({"json": {"content": "x", "enforce_none": True}}, 400, 50035),
        ({"json": {"content": "x", "allowed_mentions": {"parse": ["all"]}}}, 400, 50035),
        (
            {"json": {"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}},
            400,
            50035,
        ),
    ],
)
async def test_what_discord_would_refuse_is_refused(discord, bot, change, status, code):
    request = {"json": {"content": "x"}, **change}
    if "content" in change:
        request = {"content": change["content"], "headers": {"Content-Type": "application/json"}}
    answer = await bot.post(f"/channels/{CHANNEL}/messages", **request)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert discord.messages == []
    assert len(discord.attempts) == 1


async def test_an_overlong_content_names_the_field(bot):
    errors = (await create(bot, "x" * 2001)).json()["errors"]
    assert errors["content"]["_errors"][0]["code"] == "BASE_TYPE_MAX_LENGTH"


async def test_the_limit_counts_code_points(bot):
    assert (await create(bot, "\N{FAMILY}" * 2000)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"view": False}, 403, 50001),
        ({"send": False}, 403, 50013),
        ({"type": 11, "send_in_threads": False}, 403, 50013),
        ({"type": 11, "archived": True}, 400, 50083),
        ({"type": 11, "locked": True}, 403, 160005),
        ({"type": 4}, 400, 50008),
        ({"type": 15}, 400, 40058),
    ],
)
async def test_missing_permissions_are_refused(discord, bot, changes, status, code):
    discord.place(**changes)
    answer = await create(bot)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert discord.messages == []


async def test_send_messages_has_no_effect_in_threads(discord, bot):
    discord.place(type=11, send=False)
    assert (await create(bot)).status_code == 200


async def test_unknown_channels_messages_and_routes(bot):
    unknown = await create(bot, channel="5")
    assert (unknown.status_code, unknown.json()["code"]) == (404, 10003)
    message = await bot.get(f"/channels/{CHANNEL}/messages/5")
    assert (message.status_code, message.json()["code"]) == (404, 10008)
    assert (await bot.get("/nothing")).status_code == 404
    assert (await bot.put(f"/channels/{CHANNEL}/messages")).status_code == 405


async def test_without_history_the_list_is_empty_and_single_messages_are_refused(discord, bot):
    sent = (await create(bot)).json()
    discord.place(history=False)
    assert await listed(bot) == []
    assert (await bot.get(f"/channels/{CHANNEL}/messages/{sent['id']}")).status_code == 403


async def test_a_repeated_nonce_returns_the_first_message_within_the_window(discord, bot):
    first = (await create(bot, "one", nonce="same", enforce_nonce=True)).json()
    discord.advance(179)
    again = (await create(bot, "other", nonce="same", enforce_nonce=True)).json()
    assert (again["id"], again["content"]) == (first["id"], "one")
    discord.advance(2)
    await create(bot, "late", nonce="same", enforce_nonce=True)
    assert discord.contents == ["one", "late"]


async def test_without_enforce_nonce_nothing_is_deduplicated(discord, bot):
    await create(bot, nonce="same")
    await create(bot, nonce="same")
    assert len(discord.messages) == 2


async def test_the_nonce_of_a_deleted_message_answers_unknown_message(discord, bot):
    first = (await create(bot, nonce="same", enforce_nonce=True)).json()
    discord.delete(first["id"])
    again = await create(bot, nonce="same", enforce_nonce=True)
    assert (again.status_code, again.json()["code"]) == (404, 10008)
    assert discord.messages == []


async def test_content_is_trimmed_at_both_ends(discord, bot):
    await create(bot, "\n\n  a\n\n b \n")
    assert discord.contents == ["a\n\n b"]


async def test_mentions_fire_unless_they_are_forbidden(discord, bot):
    text = "@everyone <@1> <@&2>"
    await create(bot, text)
    await create(bot, text, allowed_mentions={"parse": []})
    loud, quiet = discord.messages
    assert loud.fired == {"users": ["1"], "roles": ["2"], "everyone": True}
    assert quiet.fired == {"users": [], "roles": [], "everyone": False}


async def test_a_full_bucket_answers_429_with_everything_discord_sends(discord, bot):
    discord.bucket_max = 1
    first = await create(bot)
    assert first.headers["X-RateLimit-Remaining"] == "0"
    assert float(first.headers["X-RateLimit-Reset-After"]) > 0
    refused = await create(bot)
    assert refused.status_code == 429
    assert refused.json()["retry_after"] > 0
    assert {"retry-after", "x-ratelimit-scope", "via"} <= refused.headers.keys()
    assert len(discord.messages) == 1
    discord.advance(6)
    assert (await create(bot)).status_code == 200


FAILURES = {
    "close": httpx.TransportError,
    "reset_in_upload": httpx.TransportError,
    "reset_after_body": httpx.ReadError,
    "drop_after_body": httpx.RemoteProtocolError,
    "truncate": httpx.RemoteProtocolError,
    "garbage": httpx.RemoteProtocolError,
    "accept_then_drop": httpx.RemoteProtocolError,
    "accept_then_reset": httpx.ReadError,
    "accept_then_truncate": httpx.RemoteProtocolError,
}


@pytest.mark.parametrize("name", FAILURES)
async def test_faults_below_http_break_the_exchange(discord, bot, name):
    discord.faults.extend([NAMED[name], None])
    with pytest.raises(FAILURES[name]):
        await create(bot, "one")
    assert discord.contents == (["one"] if name.startswith("accept") else [])
    assert (await create(bot, "two")).status_code == 200


@pytest.mark.parametrize("name", ["hang", "accept_then_hang"])
async def test_a_hanging_service_is_left_by_timeout(discord, bot, name):
    discord.faults.append(NAMED[name])
    with pytest.raises(httpx.ReadTimeout):
        await bot.post(f"/channels/{CHANNEL}/messages", json={"content": "x"}, timeout=0.2)
    assert len(discord.messages) == (name == "accept_then_hang")


@pytest.mark.parametrize("name", ["rubbish", "other_json", "401", "403", "404", "429", "502"])
async def test_faults_above_http_answer_and_record_nothing(discord, bot, name):
    discord.faults.append(NAMED[name])
    answer = await create(bot)
    assert answer.status_code == NAMED[name].status
    assert discord.messages == []


async def test_a_drip_ends_in_a_whole_answer(discord, bot):
    fault = NAMED["accept_then_drip"]
    discord.faults.append(type(fault)("drip", accept=True, pause_s=0))
    assert (await create(bot, "slow")).json()["content"] == "slow"


async def test_gets_have_faults_of_their_own(discord, bot):
    discord.get_always = NAMED["503"]
    assert (await bot.get("/users/@me")).status_code == 503
    assert (await create(bot)).status_code == 200


async def test_refusing_keeps_the_port(discord, bot):
    port = discord.port
    discord.refuse()
    with pytest.raises(httpx.ConnectError):
        await create(bot)
    await discord.accept_again()
    assert (await create(bot)).status_code == 200
    assert discord.port == port


async def test_a_connection_can_be_closed_before_a_byte_is_read(discord, bot):
    discord.wire.connection_faults.append(NAMED["close"])
    with pytest.raises(httpx.TransportError):
        await create(bot)
    assert discord.attempts == []


def test_as_a_process_it_is_driven_from_outside_and_keeps_its_messages(tmp_path):
    with DiscordProcess(tmp_path) as discord:
        discord.faults("accept_then_drop", None)
        with pytest.raises(httpx.RemoteProtocolError):
            post(discord, "one")
        assert post(discord, "two").status_code == 200
        assert discord.contents == ["one", "two"]
        assert [json.loads(r["body"])["content"] for r in discord.attempts] == ["one", "two"]
        discord.place(send=False)
        assert post(discord, "three").status_code == 403
        discord.delete(discord.messages[0]["id"])
        discord.refuse()
        with pytest.raises(httpx.ConnectError):
            post(discord, "four")
        discord.stop()
        discord.start()
        assert discord.contents == ["two"]
        assert post(discord, "five").status_code == 200
        discord.settings(window_s=1)
        discord.clear()
        assert discord.messages == []


def post(discord, content):
    address = f"{discord.base}/channels/{CHANNEL}/messages"
    return httpx.post(address, headers=GOOD, json={"content": content}, timeout=5)


async def test_two_requests_share_a_connection_when_the_client_wants_it(discord, bot):
    await create(bot)
    await create(bot)
    assert discord.wire.connections == 1
