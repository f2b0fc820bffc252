"""Sending to Discord: what is asked of it, and what each of its answers proves."""

import json
from dataclasses import replace

import pytest
from doubles.faults import NAMED, answer, error, proxy, throttled, throttled_by_proxy

from ownerreportd.channels.discord import DiscordChannel
from ownerreportd.channels.discord_answers import CONFIG_HINTS, REPORT_HINTS
from ownerreportd.core.channel import Part
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Rejected, Throttled
from ownerreportd.core.report import Report

PLACE = "1480577550445969541"
KEY = "abcdefghijklmnopqrstuvwx"


def part(text="All is well.", key=KEY, marked=None):
    marked = marked or f"(possible duplicate)\n{text}"
    return Part(1, 1, text.encode(), marked.encode(), key)


def good(**changes):
    """A message as Discord returns it, with changes."""
    whole = {"id": "1500000000000000000", "channel_id": PLACE, "content": "All is well."}
    return answer(200, whole | changes)


async def test_a_part_is_confirmed_with_the_messages_id(discord, channel):
    outcome = await channel.send(part())
    (message,) = discord.messages
    assert isinstance(outcome, Confirmed)
    assert outcome.receipt.id == message.id
    assert outcome.receipt.proof == "confirmed"


async def test_the_request_says_no_more_and_no_less_than_intended(discord, channel):
    await channel.send(part("@everyone <@1> <@&2> https://example.org"))
    (attempt,) = discord.attempts
    assert attempt.json() == {
        "content": "@everyone <@1> <@&2> https://example.org",
        "nonce": KEY,
        "enforce_nonce": True,
        "allowed_mentions": {"parse": []},
        "flags": 1 << 2,
    }
    assert discord.messages[0].fired == {"users": [], "roles": [], "everyone": False}


async def test_silent_suppresses_the_notification(discord, make_channel):
    await make_channel(silent=True).send(part())
    assert discord.messages[0].flags == 1 << 2 | 1 << 12


async def test_what_discord_strips_does_not_spoil_the_confirmation(discord, channel):
    outcome = await channel.send(part("\n  caf\u0065\u0301 \x07\ufeff\tend \n"))
    assert isinstance(outcome, Confirmed)


async def test_the_marked_form_is_sent_when_it_is_asked_for(discord, channel):
    outcome = await channel.send(part().as_form("marked"))
    assert isinstance(outcome, Confirmed)
    assert discord.contents == ["(possible duplicate)\nAll is well."]


async def test_a_lost_answer_repeated_within_the_window_makes_one_message(discord, channel):
    discord.faults.append(NAMED["accept_then_drop"])
    assert isinstance(await channel.send(part()), InDoubt)
    repeat = await channel.send(part())
    assert isinstance(repeat, Confirmed)
    assert [m.id for m in discord.messages] == [repeat.receipt.id]


async def test_a_repeat_in_the_other_form_is_confirmed_by_the_first_message(discord, channel):
    discord.faults.append(NAMED["accept_then_500"])
    assert isinstance(await channel.send(part()), InDoubt)
    assert isinstance(await channel.send(part().as_form("marked")), Confirmed)
    assert discord.contents == ["All is well."]


async def test_a_message_deleted_meanwhile_counts_as_delivered(discord, channel):
    first = await channel.send(part())
    discord.delete(first.receipt.id)
    again = await channel.send(part())
    assert isinstance(again, Confirmed)
    assert again.receipt.id == f"deleted-{KEY}"
    assert "deleted" in again.receipt.note


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (NAMED["rubbish"], "not Discord's message"),
        (NAMED["other_json"], "not Discord's message"),
        (NAMED["list_json"], "not Discord's message"),
        (NAMED["empty_200"], "not Discord's message"),
        (good(id=1), "not Discord's message"),
        (good(id=""), "not Discord's message"),
        (good(id="1\n"), "not Discord's message"),
        (good(id="1" * 21), "not Discord's message"),
        (good(channel_id="1"), "another channel"),
        (good(channel_id=int(PLACE)), "another channel"),
        (good(content="All is not well."), "from visible character 6 on"),
        (good(content="All is well. And more."), "from visible character 11 on"),
        (good(content=None), "another text"),
        (answer(201, {"id": "1", "channel_id": PLACE, "content": "All is well."}), "201"),
        (answer(204), "204"),
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


@pytest.mark.parametrize(
    "name",
    [
        "close", "reset_in_upload", "reset_after_body", "drop_after_body", "truncate", "garbage",
        "huge", "500", "503", "504", "502", "accept_then_drop", "accept_then_reset",
        "accept_then_500", "accept_then_504", "accept_then_truncate",
    ],
)  # fmt: skip
async def test_what_may_have_been_taken_is_in_doubt(discord, channel, name):
    discord.faults.append(NAMED[name])
    outcome = await channel.send(part())
    assert isinstance(outcome, InDoubt)
    assert len(discord.messages) == name.startswith("accept")


@pytest.mark.parametrize("name", ["hang", "accept_then_hang", "drip", "accept_then_drip"])
async def test_without_an_answer_in_time_it_is_in_doubt(discord, make_channel, name):
    discord.faults.append(NAMED[name])
    outcome = await make_channel(timeout_s=1).send(part())
    assert outcome == InDoubt("no complete answer within 1 s")


@pytest.mark.parametrize("status", [408, 500, 501, 503, 504, 520, 522, 524, 599])
@pytest.mark.parametrize("by", [error, None])
async def test_a_status_that_says_nothing_about_the_message_is_in_doubt(
    discord, channel, status, by
):
    discord.faults.append(error(status, 0) if by else proxy(status))
    assert isinstance(await channel.send(part()), InDoubt)


async def test_discords_own_502_is_not_sent_and_a_proxys_is_in_doubt(discord, channel):
    discord.faults.extend([error(502, 0), proxy(502)])
    assert isinstance(await channel.send(part()), NotSent)
    assert isinstance(await channel.send(part()), InDoubt)


async def test_a_refused_connection_is_not_sent(discord, channel):
    discord.refuse()
    assert isinstance(await channel.send(part()), NotSent)
    await discord.accept_again()
    assert isinstance(await channel.send(part()), Confirmed)


@pytest.mark.parametrize(
    ("answered", "wait_s"),
    [
        (throttled(1.25), 1.25),
        (throttled(0.3, scope="shared"), 0.3),
        (throttled(4, scope="global", is_global=True), 4.0),
        (throttled_by_proxy(), 60.0),
        (throttled_by_proxy(90), 90.0),
        (answer(429, {"message": "made up"}), 60.0),
        (answer(429, {"retry_after": "soon"}, **{"Retry-After": "3"}), 3.0),
        (answer(429, {"retry_after": float("nan")}), 60.0),
        (answer(429, {"retry_after": -1}), 0.0),
        (answer(429, {"retry_after": 10**400}), 86_400.0),
        (answer(429), 60.0),
        (error(400, 20016), 60.0),
        (error(403, 20028), 60.0),
        (answer(400, {"message": "m", "code": 20029, "retry_after": 2}), 2.0),
        (error(429, 40062), 60.0),
    ],
)
async def test_throttling_says_how_long(discord, channel, answered, wait_s):
    discord.faults.append(answered)
    outcome = await channel.send(part())
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_s == wait_s
    assert discord.messages == []


async def test_a_used_up_bucket_is_obeyed_before_a_429_comes(discord, channel):
    discord.bucket_max, discord.bucket_period_s = 1, 40.0
    assert isinstance(await channel.send(part()), Confirmed)
    outcome = await channel.send(part(key="other"))
    assert isinstance(outcome, Throttled)
    assert 39 < outcome.retry_after_s <= 40
    assert len(discord.attempts) == 1


async def test_after_the_bucket_is_reset_sending_goes_on(discord, channel):
    discord.bucket_max, discord.bucket_period_s = 1, 0.001
    for key in ("one", "two"):
        outcome = await channel.send(part(key=key))
        while isinstance(outcome, Throttled):
            outcome = await channel.send(part(key=key))
        assert isinstance(outcome, Confirmed)


async def test_a_429_while_there_is_room_in_the_bucket_is_a_limit_of_its_own(discord, channel):
    limit = throttled(1.5)
    room = {"X-RateLimit-Remaining": "3", "X-RateLimit-Reset-After": "9"}
    discord.faults.append(replace(limit, headers=limit.headers | room))
    assert (await channel.send(part())).retry_after_s == 1.5
    assert isinstance(await channel.send(part()), Confirmed)


@pytest.mark.parametrize("reset_after", ["", "soon", "nan"])
async def test_an_unreadable_reset_does_not_stop_the_next_send_for_ever(
    discord, channel, reset_after
):
    odd = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": reset_after}
    discord.faults.append(replace(good(), headers=good().headers | odd))
    await channel.send(part())
    outcome = await channel.send(part())
    assert isinstance(outcome, Confirmed) or outcome.retry_after_s <= 60


@pytest.mark.parametrize(
    ("remaining", "reset_after", "pause_s"),
    [
        ("0", "2.5", 2.5), ("0", "0", 0), ("1", "2.5", 0), ("", "2.5", 0), ("0", "soon", 0),
        ("0", "nan", 60), ("0", "-1", 0), ("0", "86400", 60), ("0", "inf", 60),
    ],
)  # fmt: skip
@pytest.mark.parametrize("confirming", [good(), error(404, 10008)])
async def test_a_confirmation_names_the_pause_that_the_bucket_asks_for(
    discord, channel, confirming, remaining, reset_after, pause_s
):
    bucket = {"X-RateLimit-Remaining": remaining, "X-RateLimit-Reset-After": reset_after}
    discord.faults.append(replace(confirming, headers=confirming.headers | bucket))
    outcome = await channel.send(part())
    assert isinstance(outcome, Confirmed)
    assert outcome.pause_s == pause_s


async def test_who_keeps_the_pauses_meets_no_429(discord, make_channel):
    discord.bucket_max, discord.bucket_period_s = 2, 60.0
    pauses = []
    for number in range(6):  # each with a channel that knows nothing of the bucket
        outcome = await make_channel().send(part(key=f"{number}"))
        assert isinstance(outcome, Confirmed)
        pauses.append(outcome.pause_s)
        discord.advance(outcome.pause_s)
    assert any(pauses)
    assert not all(pauses)
    assert discord.throttled == 0


@pytest.mark.parametrize("code", CONFIG_HINTS)
@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_an_error_of_the_configuration_is_one_whatever_its_status(
    discord, channel, status, code
):
    discord.faults.append(error(status, code, "made up"))
    outcome = await channel.send(part())
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == (f"discord.{code}", "config")
    assert "made up" in outcome.detail
    assert outcome.hint == CONFIG_HINTS[code]


@pytest.mark.parametrize("code", REPORT_HINTS)
async def test_an_error_of_the_report_blocks_that_report(discord, channel, code):
    discord.faults.append(error(400, code))
    outcome = await channel.send(part())
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == (f"discord.{code}", "report")
    assert outcome.hint == REPORT_HINTS[code]


@pytest.mark.parametrize("code", [40004, 40006, 130000])
async def test_a_service_that_is_busy_says_that_it_took_nothing(discord, channel, code):
    discord.faults.append(error(403, code))
    assert isinstance(await channel.send(part()), NotSent)


@pytest.mark.parametrize(
    ("answered", "code", "scope"),
    [
        (NAMED["401"], "discord.401", "config"),
        (error(400, 99999), "discord.99999", "report"),
        (error(413, 99999), "discord.99999", "report"),
        (error(401, 99999), "discord.99999", "config"),
        (error(403, 99999), "discord.99999", "config"),
        (error(404, 0), "discord.404", "config"),
        (error(405, 0), "discord.405", "config"),
        (proxy(400), "http.400", "config"),
        (proxy(401), "http.401", "config"),
        (proxy(403), "http.403", "config"),
        (proxy(404), "http.404", "config"),
        (proxy(407), "http.407", "config"),
        (answer(403, {"message": "no code"}), "http.403", "config"),
        (answer(404, {"code": "10003", "message": "code is no number"}), "http.404", "config"),
        (answer(403, [50001]), "http.403", "config"),
        (answer(301, Location="http://127.0.0.1/"), "http.301", "config"),
        (answer(302, {"message": "m", "code": 1}, Location="/"), "http.302", "config"),
        (answer(307, Location="/"), "http.307", "config"),
    ],
)
async def test_every_other_refusal_has_a_scope(discord, channel, answered, code, scope):
    discord.faults.append(answered)
    outcome = await channel.send(part())
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == (code, scope)
    assert outcome.hint
    assert len(discord.requests) == 1  # no redirect was followed


@pytest.mark.parametrize(
    ("text", "said"),
    [("x" * 2001, "content: Must be 2000 or fewer in length. (BASE_TYPE_MAX_LENGTH)"), (" ", "")],
)
async def test_an_invalid_form_names_the_field(channel, text, said):
    outcome = await channel.send(part(text))
    assert isinstance(outcome, Rejected)
    assert outcome.scope == "report"
    assert said in outcome.detail


@pytest.mark.parametrize("errors", [{"a": {"b": {}}}, {"a": {"_errors": [1]}}, {"a": 1}, [1]])
async def test_an_invalid_form_in_another_shape_is_still_shown(discord, channel, errors):
    discord.faults.append(answer(400, {"message": "Bad", "code": 50035, "errors": errors}))
    assert "Bad" in (await channel.send(part())).detail


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"view": False}, "discord.50001"),
        ({"send": False}, "discord.50013"),
        ({"type": 11, "locked": True}, "discord.160005"),
        ({"type": 11, "archived": True}, "discord.50083"),
        ({"type": 11, "send_in_threads": False}, "discord.50013"),
        ({"type": 15}, "discord.40058"),
        ({"type": 4}, "discord.50008"),
    ],
)
async def test_what_the_bot_may_not_do_is_the_configurations_fault(discord, channel, change, code):
    discord.place(**change)
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == (code, "config")


async def test_an_unknown_channel_and_a_wrong_token_are_the_configurations_fault(make_channel):
    assert (await make_channel(target="5").send(part())).code == "discord.10003"
    assert (await make_channel(token="wrong").send(part())).code == "discord.401"


async def test_no_secret_is_shown_though_the_other_side_repeats_it(discord, channel):
    discord.faults.append(error(400, 50035, f"bad header: Bot {discord.token}"))
    outcome = await channel.send(part())
    assert discord.token not in repr(outcome)
    assert "[secret]" in outcome.detail


@pytest.mark.parametrize("message", ["two\nlines", "x" * 5000, "\x1b[2J"])
async def test_foreign_text_is_one_short_printable_line(discord, channel, message):
    discord.faults.append(error(400, 50035, message))
    detail = (await channel.send(part())).detail
    assert len(detail) <= 200
    assert detail.isprintable()


@pytest.mark.parametrize(
    ("given", "normal"),
    [("channel:12", "channel:12"), ("12", "channel:12"), (" thread:12 ", "thread:12")],
)
def test_targets_have_one_normal_form(given, normal):
    assert DiscordChannel.check_target(given) == normal


@pytest.mark.parametrize("given", ["", "channel:", "general", "user:12", "1" * 20, "channel:1２"])
def test_an_impossible_target_is_named_with_the_forms(given):
    with pytest.raises(ConfigError) as caught:
        DiscordChannel.check_target(given)
    assert repr(given) in str(caught.value)
    assert "channel:ID" in caught.value.hint


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "", "tökén"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(make_channel_class, token):
    with pytest.raises(ConfigError) as caught:
        make_channel_class(token)
    assert not token or token not in str(caught.value)


@pytest.fixture
def make_channel_class():
    return lambda token: DiscordChannel(
        name="owner",
        target="1",
        options=DiscordChannel.Options(),
        secrets={"token": token},
        language="en",
        timeout_s=1,
    )


async def test_an_own_window_is_the_channels_capability(make_channel):
    assert make_channel(dedup_window_s=30).capabilities.dedup_window_s == 30


async def test_rendered_parts_are_accepted_as_they_are(discord, channel):
    body = "# Report\n\n" + "Some *words* and `code`. @everyone\n\n" * 200
    for rendered in channel.render(Report("r", body, title="T", worker="alice")):
        for form in ("plain", "marked"):
            keyed = Part(1, 1, rendered.plain, rendered.marked, f"{rendered.number}-{form}", form)
            assert isinstance(await channel.send(keyed), Confirmed)
    assert not any(m.fired["everyone"] for m in discord.messages)
    assert all(json.loads(a.body)["allowed_mentions"] == {"parse": []} for a in discord.attempts)
