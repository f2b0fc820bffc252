"""Discord's webhooks: what is asked, what each answer proves, and what a bot can read back."""

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from blockbuster import blockbuster_ctx
from doubles.discord_rules import Place
from doubles.discord_webhook import WEBHOOK_ID, WEBHOOK_TOKEN, DiscordWebhookDouble
from doubles.faults import NAMED, answer, error, proxy, throttled, throttled_by_proxy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ownerreportd.channels import discord_reader
from ownerreportd.channels.discord_message import rendered
from ownerreportd.channels.discord_webhook import DiscordWebhookChannel
from ownerreportd.core.channel import Part
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    NotSent,
    Rejected,
    Throttled,
    Unknown,
)
from ownerreportd.core.report import Report
from ownerreportd.render.front_matter import read_report
from ownerreportd.render.oracle import difference
from ownerreportd.testing import Bench, channel_contract

DATA = Path(__file__).parents[1] / "data" / "good"
GOOD = {path.stem: path.read_bytes() for path in sorted(DATA.glob("*.md"))}
PLACE = "1480577550445969541"
KEY = "abcdefghijklmnopqrstuvwx"
NOBODY = frozenset()
STRANGER = "1000000000000000777"


def make(double, *, target="", timeout_s=5.0, secrets=None, **options):
    return DiscordWebhookChannel(
        name="owner", target=target, options=DiscordWebhookChannel.Options(
            **{"api_base": double.base, **options}
        ), secrets=secrets or double.secrets, language="en", timeout_s=timeout_s,
    )  # fmt: skip


def part(text="All is well.", key=KEY):
    return Part(1, 1, text.encode(), f"(possible duplicate)\n{text}".encode(), key)


def now():
    return datetime.now(UTC)


@pytest.fixture
async def discord():
    with blockbuster_ctx():
        async with DiscordWebhookDouble(with_bot=True) as double:
            yield double


@pytest.fixture
async def make_channel(discord):
    made = []

    def channel(**options):
        made.append(make(discord, **options))
        return made[-1]

    yield channel
    for each in made:
        await each.aclose()


@pytest.fixture
def channel(make_channel):
    """With a bot's token."""
    return make_channel()


@pytest.fixture
def alone(discord, make_channel):
    """Without."""
    return make_channel(secrets={"url": discord.url})


def bench_with(*, bot):
    @asynccontextmanager
    async def bench():
        async with DiscordWebhookDouble(with_bot=bot) as double:
            channel = make(double, timeout_s=3)
            secrets = (double.url, WEBHOOK_TOKEN, double.token)
            yield Bench(channel, double.arrange, secrets=secrets)

    return bench


TestAlone = channel_contract(bench_with(bot=False))
TestWithBot = channel_contract(bench_with(bot=True))


# Sending.


async def test_a_part_is_confirmed_with_the_messages_id(discord, channel):
    outcome = await channel.send(part())
    (message,) = discord.messages
    assert outcome == Confirmed(outcome.receipt)
    assert outcome.receipt.id == message.id
    assert (message.author, message.channel) == (WEBHOOK_ID, PLACE)


async def test_the_request_says_no_more_and_no_less_than_intended(discord, channel):
    await channel.send(part("@everyone <@1> <@&2> https://example.org"))
    (attempt,) = discord.attempts
    assert attempt.query == {"wait": "true"}
    assert "authorization" not in attempt.headers
    assert attempt.json() == {
        "content": "@everyone <@1> <@&2> https://example.org",
        "allowed_mentions": {"parse": []},
        "flags": 1 << 2,
    }
    assert discord.messages[0].fired == {"users": [], "roles": [], "everyone": False}


async def test_name_picture_and_silence_go_beside_the_text(discord, make_channel):
    picture = "https://example.org/x.png"
    options = {"username": "Reports", "avatar_url": picture, "silent": True}
    assert isinstance(await make_channel(**options).send(part()), Confirmed)
    (attempt,) = discord.attempts
    assert attempt.json()["username"] == "Reports"
    assert attempt.json()["avatar_url"] == picture
    assert discord.messages[0].flags == 1 << 2 | 1 << 12


@pytest.mark.parametrize(
    "options",
    [{"username": "x" * 81}, {"username": "My Discord"}, {"username": "CLYDE"},
     {"avatar_url": "x.png"}, {"avatar_url": "https://"}, {"nonce": 1}, {"dedup_window_s": 60}],
)  # fmt: skip
def test_what_discord_would_refuse_is_no_option(options):
    with pytest.raises(ValidationError):
        DiscordWebhookChannel.Options(**options)


@pytest.fixture
async def client():
    headers = {"User-Agent": "DiscordBot (https://example.org, 1)"}
    async with httpx.AsyncClient(headers=headers) as http:
        yield http


@pytest.mark.parametrize(
    ("query", "form", "code"),
    [
        ("", {"username": "My Discord"}, 50035), ("", {"username": ""}, 50035),
        ("", {"username": "x" * 81}, 50035), ("", {"avatar_url": "x.png"}, 50035),
        ("", {"enforce_nonce": True}, 50035), ("&thread=5", {}, 50035), ("&thread_id=x", {}, 50035),
        ("&thread_id=5", {}, 10003), ("", {"content": " "}, 50006),
        ("", {"content": "x" * 2001}, 50035), ("", {"flags": 1 << 15}, 50035),
    ],
)  # fmt: skip
async def test_the_double_refuses_what_discord_refuses(discord, client, query, form, code):
    url = f"{discord.url}?wait=true{query}"
    refused = await client.post(url, json={"content": "x", **form})
    assert (refused.status_code // 100, refused.json()["code"]) == (4, code)
    assert discord.messages == []


async def test_without_wait_nothing_would_be_said_of_a_message_that_is_not_saved(discord, client):
    for content in ("taken", "x" * 2001):
        said = await client.post(discord.url, json={"content": content, "nonce": "n"})
        assert (said.status_code, said.content) == (204, b"")
    assert discord.contents == ["taken"]


async def test_a_thread_is_named_in_the_query_and_opened_again(discord, make_channel):
    discord.place(type=11, archived=True)
    channel = make_channel(target=f"thread:{PLACE}")
    outcome = await channel.send(part())
    assert isinstance(outcome, Confirmed)
    assert discord.attempts[0].query == {"wait": "true", "thread_id": PLACE}
    assert discord.messages[0].channel == PLACE
    assert not discord.place().archived


async def test_a_repeat_is_a_second_message_since_there_is_no_nonce(discord, channel):
    for _ in range(2):
        assert isinstance(await channel.send(part()), Confirmed)
    assert len(discord.messages) == 2
    assert channel.capabilities.dedup_window_s == 0


def good(**changes):
    """A message as Discord returns it, with changes."""
    whole = {"id": "1500000000000000000", "channel_id": PLACE, "content": "All is well."}
    return answer(200, {**whole, "webhook_id": WEBHOOK_ID, **changes})


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (NAMED["rubbish"], "not Discord's message"),
        (NAMED["other_json"], "not Discord's message"),
        (NAMED["empty_200"], "not Discord's message"),
        (good(id=1), "not Discord's message"),
        (good(webhook_id="5"), "another sender"),
        (good(content="All is not well."), "from visible character 6 on"),
        (answer(204), "204"),
        (answer(201, {"id": "1", "content": "All is well."}), "201"),
    ],
)
async def test_a_success_that_is_not_the_documented_one_is_in_doubt(
    discord, channel, answered, said
):
    discord.faults.append(answered)
    outcome = await channel.send(part())
    assert isinstance(outcome, InDoubt)
    assert said in outcome.detail


@pytest.mark.parametrize("content", ["All is well.", "(possible duplicate)\nAll is well."])
async def test_either_form_is_a_confirmation(discord, channel, content):
    discord.faults.append(good(content=content))
    assert isinstance(await channel.send(part()), Confirmed)


async def test_a_message_in_another_channel_is_in_doubt_once_and_then_the_webhook_was_moved(
    discord, channel
):
    assert await channel.check() == []
    discord.faults.extend([good(channel_id="5"), good(channel_id="5")])
    outcome = await channel.send(part())
    assert outcome == InDoubt("Discord answered with a message in another channel")
    assert isinstance(await channel.send(part()), Confirmed)


async def test_a_message_outside_of_the_thread_is_in_doubt_for_ever(discord, make_channel):
    discord.place(type=11)
    channel = make_channel(target=f"thread:{PLACE}")
    discord.faults.extend([good(channel_id="5")] * 2)
    for _ in range(2):
        assert isinstance(await channel.send(part()), InDoubt)


STATUSES = [
    (error(404, 10015), Rejected, "discord.10015", "config"),
    (error(401, 50027), Rejected, "discord.50027", "config"),
    (error(400, 220001), Rejected, "discord.220001", "config"),
    (error(404, 10003), Rejected, "discord.10003", "config"),
    (error(401, 0), Rejected, "discord.401", "config"),
    (error(403, 0), Rejected, "discord.403", "config"),
    (error(404, 0), Rejected, "discord.404", "config"),
    (error(405, 0), Rejected, "discord.405", "config"),
    (error(403, 40333), Rejected, "discord.40333", "config"),
    (error(403, 160005), Rejected, "discord.160005", "config"),
    (error(400, 50035), Rejected, "discord.50035", "report"),
    (error(400, 50006), Rejected, "discord.50006", "report"),
    (error(400, 200000), Rejected, "discord.200000", "report"),
    (error(413, 40005), Rejected, "discord.40005", "report"),
    (error(400, 99999), Rejected, "discord.99999", "report"),
    (proxy(400), Rejected, "http.400", "config"),
    (proxy(404), Rejected, "http.404", "config"),
    (proxy(407), Rejected, "http.407", "config"),
    (answer(301, Location="http://127.0.0.1/"), Rejected, "http.301", "config"),
    (answer(307, Location="http://127.0.0.1/"), Rejected, "http.307", "config"),
    *((proxy(status), InDoubt, None, None) for status in (408, 500, 502, 503, 504, 520, 524)),
    *((error(status, 0), InDoubt, None, None) for status in (408, 500, 503, 504)),
    (error(502, 0), NotSent, None, None),
    (error(503, 130000), InDoubt, None, None),
    (throttled(1.5), Throttled, None, None),
    (throttled_by_proxy(), Throttled, None, None),
]


@pytest.mark.parametrize(("answered", "kind", "code", "scope"), STATUSES)
async def test_every_answer_has_its_outcome(discord, alone, answered, kind, code, scope):
    discord.faults.append(answered)
    outcome = await alone.send(part())
    assert type(outcome) is kind
    assert (getattr(outcome, "code", None), getattr(outcome, "scope", None)) == (code, scope)
    assert getattr(outcome, "hint", "x")
    assert len(discord.requests) == 1


async def test_no_remedy_for_the_webhook_speaks_of_a_bots_token(discord, alone):
    for answered, kind, *_ in STATUSES:
        discord.faults.append(answered)
        outcome = await alone.send(part())
        if kind is Rejected:
            assert " token_file" not in outcome.hint, outcome


@pytest.mark.parametrize(
    "name",
    ["close", "reset_in_upload", "reset_after_body", "drop_after_body", "truncate", "garbage",
     "accept_then_drop", "accept_then_reset", "accept_then_500", "accept_then_504"],
)  # fmt: skip
async def test_what_may_have_been_taken_is_in_doubt(discord, channel, name):
    discord.faults.append(NAMED[name])
    assert isinstance(await channel.send(part()), InDoubt)
    assert len(discord.messages) == name.startswith("accept")


async def test_a_forum_needs_a_thread_and_the_hint_says_so(discord, channel):
    discord.place(type=15)
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == ("discord.220001", "config")
    assert "thread:ID" in outcome.hint


async def test_a_thread_elsewhere_is_the_configurations_fault(discord, make_channel):
    discord.places["5"] = Place("5", type=11)
    outcome = await make_channel(target="thread:5").send(part())
    assert (outcome.code, outcome.scope) == ("discord.10003", "config")
    assert "the webhook's own channel" in outcome.hint


async def test_a_used_up_bucket_is_named_with_the_confirmation_and_then_obeyed(discord, channel):
    discord.bucket_max, discord.bucket_period_s = 1, 40.0
    first = await channel.send(part())
    assert isinstance(first, Confirmed)
    assert 39 < first.pause_s <= 40
    outcome = await channel.send(part(key="other"))
    assert isinstance(outcome, Throttled)
    assert 39 < outcome.retry_after_s <= 40
    assert len(discord.attempts) == 1


# The address.


@pytest.mark.parametrize(
    "base",
    ["https://discord.com/api", "https://discord.com/api/v10", "https://discordapp.com/api/v9",
     "https://ptb.discord.com/api", "https://canary.discord.com/api/v10", "BASE"],
)  # fmt: skip
async def test_every_address_that_discord_gives_is_one(discord, make_channel, base):
    base = discord.base if base == "BASE" else base
    url = f" {base}/webhooks/{WEBHOOK_ID}/{WEBHOOK_TOKEN} "
    assert isinstance(await make_channel(secrets={"url": url}).send(part()), Confirmed)


ODD = f"webhooks/{WEBHOOK_ID}/{WEBHOOK_TOKEN}"


@pytest.mark.parametrize(
    "url",
    ["", "https://discord.com/api/webhooks/1", f"http://discord.com/api/{ODD}",
     f"https://discord.com.example.org/api/{ODD}", f"https://example.org/api/{ODD}",
     f"https://x@discord.com/api/{ODD}", f"https://discord.com/api/{ODD}/slack",
     f"https://discord.com/api/{ODD}?wait=false", f"https://discord.com/api/{ODD}#x",
     f"https://discord.com/{ODD}", f"https://discord.com/api/v10/{ODD}\n{ODD}",
     f"https://evil.discord.com/api/{ODD}", f"https://discord.com:444/api/{ODD}",
     "https://discord.com/api/webhooks/1２/x", "https://discord.com/api/webhooks/1/ö"],
)  # fmt: skip
async def test_what_is_no_webhooks_address_is_refused_and_not_shown(discord, url):
    with pytest.raises(ConfigError) as caught:
        make(discord, secrets={"url": url})
    assert WEBHOOK_TOKEN not in f"{caught.value} {caught.value.hint}"
    assert "url_file" in caught.value.hint


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "", "tökén"])
async def test_a_bots_token_that_cannot_be_one_is_refused(discord, token):
    with pytest.raises(ConfigError) as caught:
        make(discord, secrets={"url": discord.url, "bot_token": token})
    assert not token or token not in str(caught.value)
    assert "bot_token_file" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "normal"),
    [("", "channel"), (" ", "channel"), ("channel", "channel"), (" thread:12 ", "thread:12")],
)
def test_targets_have_one_normal_form(given, normal):
    assert DiscordWebhookChannel.check_target(given) == normal
    assert DiscordWebhookChannel.check_target(normal) == normal


@pytest.mark.parametrize(
    "given", ["12", "channel:12", "thread:", "thread:1２", "thread:" + "1" * 20]
)
def test_an_impossible_target_is_named_with_the_forms(given):
    with pytest.raises(ConfigError) as caught:
        DiscordWebhookChannel.check_target(given)
    assert repr(given) in str(caught.value)
    assert "thread:ID" in caught.value.hint


async def test_no_secret_is_shown_though_the_other_side_repeats_it(discord, channel):
    said = f"no {discord.url} of {WEBHOOK_TOKEN} for {discord.token}"
    seen = []
    discord.always = discord.get_always = error(400, 50035, said)
    seen.append(await channel.send(part()))
    seen.append(await channel.look(part(), now(), NOBODY))
    seen.append(await channel.check())
    discord.refuse()
    seen += [await channel.send(part()), await channel.check()]
    seen.append(await channel.look(part(), now(), NOBODY))
    assert "[secret]" in seen[0].detail
    for secret in (WEBHOOK_TOKEN, discord.token):
        assert secret not in repr(seen)


# Reading back.


async def test_without_a_bots_token_nobody_can_look(discord, alone):
    assert not alone.capabilities.read_back
    looked = await alone.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert not looked.transient
    assert discord.requests == []


@pytest.mark.parametrize("intent", [False, True])
async def test_a_message_whose_answer_was_lost_is_found(discord, channel, intent):
    discord.has_content_intent = intent
    since = now()
    discord.faults.append(NAMED["accept_then_drop"])
    assert isinstance(await channel.send(part()), InDoubt)
    found = await channel.look(part(), since, NOBODY)
    assert isinstance(found, Found)
    (message,) = discord.messages
    assert found.receipt.id == message.id
    assert found.receipt.link.endswith(f"/{PLACE}/{message.id}")
    shown = [
        r for r in discord.requests if r.path.endswith(f"{WEBHOOK_TOKEN}/messages/{message.id}")
    ]
    assert len(shown) == (not intent)


async def test_a_message_in_a_thread_is_found(discord, make_channel):
    discord.place(type=11)
    channel = make_channel(target=f"thread:{PLACE}")
    discord.faults.append(NAMED["accept_then_drop"])
    await channel.send(part())
    assert isinstance(await channel.look(part(), now(), NOBODY), Found)


@pytest.mark.parametrize("intent", [False, True])
async def test_other_peoples_and_other_parts_messages_are_not_the_part(discord, channel, intent):
    discord.has_content_intent = intent
    discord.post("All is well.", author=STRANGER)
    discord.post("All is well.", author=discord.bot_id)
    discord.post("All is well, too.")
    ours = discord.post("All is well.")
    assert isinstance(await channel.look(part(), now(), frozenset({ours.id})), Absent)


async def test_of_several_repeats_the_oldest_is_the_part(discord, channel):
    first = discord.post("All is well.")
    discord.post("All is well.")
    assert (await channel.look(part(), now(), NOBODY)).receipt.id == first.id


async def test_hidden_messages_are_asked_for_up_to_a_number(discord, channel):
    for number in range(discord_reader.HIDDEN_MAX):
        discord.post(f"message {number}")
    assert isinstance(await channel.look(part(), now(), NOBODY), Absent)
    discord.post("All is well.")
    looked = await channel.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert not looked.transient
    discord.has_content_intent = True
    assert isinstance(await channel.look(part(), now(), NOBODY), Found)


@pytest.mark.parametrize(
    ("fault", "transient"),
    [(error(404, 10008), False), (NAMED["503"], True), (throttled(3), True),
     (NAMED["other_json"], True), (NAMED["list_json"], True)],
)  # fmt: skip
async def test_a_hidden_message_that_is_not_shown_proves_nothing(
    discord, channel, fault, transient
):
    discord.post("All is well.")
    discord.get_faults.extend([None, None, None, fault])
    looked = await channel.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert looked.transient is transient


async def test_an_empty_channel_proves_nothing(channel):
    looked = await channel.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert not looked.transient


async def test_without_history_permission_a_message_that_is_there_is_not_called_absent(
    discord, channel
):
    known = await channel.send(part("an earlier one", key="earlier"))
    discord.faults.append(NAMED["accept_then_drop"])
    await channel.send(part())
    discord.place(history=False)
    looked = await channel.look(part(), now(), frozenset({known.receipt.id}))
    assert isinstance(looked, Unknown)


async def test_in_a_webhook_that_was_moved_meanwhile_nothing_is_called_absent(discord, channel):
    assert await channel.check() == []
    discord.faults.append(NAMED["accept_then_drop"])
    await channel.send(part())
    moved = Place("5")
    discord.places = {"5": moved, PLACE: discord.places[PLACE]}
    discord.post("something else")
    looked = await channel.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert "moved" in looked.detail


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("fault", [NAMED["500"], NAMED["garbage"], NAMED["rubbish"], throttled(2)])
async def test_a_look_that_fails_for_now_may_be_repeated(discord, channel, fault, at):
    discord.post("All is well.")
    discord.get_faults.extend([None] * at + [fault])
    looked = await channel.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert looked.transient


async def test_a_look_has_one_deadline_for_all_its_requests(discord, make_channel):
    discord.get_faults.extend([None, NAMED["drip"]])
    looked = await make_channel(timeout_s=0.3).look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert looked.transient


# Checking.


async def test_a_ready_webhook_has_no_problem_and_then_receipts_have_links(discord, alone):
    assert await alone.check() == []
    assert [r.method for r in discord.requests] == ["GET"]
    assert discord.requests[0].query == {}
    outcome = await alone.send(part())
    place = discord.place()
    expected = f"https://discord.com/channels/{place.guild_id}/{place.id}/{outcome.receipt.id}"
    assert outcome.receipt.link == expected


@pytest.mark.parametrize(
    ("situation", "code", "word"),
    [("wrong_token", "discord.50027", "url_file"), ("wrong_target", "discord.10015", "deleted"),
     ("unreachable", "unreachable", "network")],
)  # fmt: skip
async def test_check_names_what_is_wrong_with_the_webhook(discord, alone, situation, code, word):
    assert await discord.arrange(situation)
    (problem,) = await alone.check()
    assert problem.code == code
    assert word in problem.hint
    assert await discord.arrange("accepts")
    assert await alone.check() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"view": False}, ["discord.50001"]),
        ({"history": False}, ["discord.history"]),
        ({"type": 15}, ["discord.220001"]),
        ({"send": False}, []),
    ],
)
async def test_check_names_what_the_bot_lacks_to_read_and_no_more(discord, channel, change, code):
    discord.post("something")
    discord.place(**change)
    problems = await channel.check()
    assert [each.code for each in problems] == code
    assert all(each.hint for each in problems)
    sent = await channel.send(part())
    assert isinstance(sent, Confirmed) is not any(each.blocks for each in problems)


async def test_check_names_a_bots_wrong_token_and_a_thread_that_is_not_there(discord, make_channel):
    discord.token_is_revoked = True
    (problem,) = await make_channel().check()
    assert (problem.code, problem.blocks) == ("discord.401", False)
    assert "bot_token_file" in problem.hint
    assert isinstance(await make_channel().send(part()), Confirmed)
    discord.token_is_revoked = False
    (problem,) = await make_channel(target="thread:5").check()
    assert problem.code == "discord.10003"


@pytest.mark.parametrize(
    "whole",
    [[], {}, {"id": "5", "channel_id": PLACE}, {"id": WEBHOOK_ID, "channel_id": None}],
)
async def test_a_check_that_something_else_answered_says_so(discord, alone, whole):
    discord.get_faults.append(answer(200, whole))
    assert [each.code for each in await alone.check()] == ["not_discord"]


async def test_a_check_of_a_silent_service_ends_in_time(discord, make_channel):
    discord.get_faults.extend([None, NAMED["hang"]])
    (problem,) = await make_channel(timeout_s=0.3).check()
    assert problem.code == "unreachable"


async def test_nothing_is_ever_posted_by_reading(discord, channel):
    await channel.check()
    await channel.look(part(), now(), NOBODY)
    assert discord.attempts == []


# Texts.


@pytest.mark.parametrize("name", GOOD)
async def test_every_good_report_arrives_whole(discord, channel, name):
    report = read_report(GOOD[name]).report
    for each in channel.render(report):
        assert isinstance(await channel.send(replace(each, key=f"{each.number}")), Confirmed)
    assert difference(report.body, discord.texts, report) is None


@given(st.text(), st.text(max_size=200))
def test_no_part_is_longer_than_discord_takes(body, title):
    for each in rendered(Report("r", body, title=title), "en"):
        assert all(len(form.decode()) <= 2000 for form in (each.plain, each.marked))
