"""Slack: what is asked of it, what each of its answers proves, and how a report reads there."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from doubles.faults import NAMED, answer, proxy
from doubles.slack import CHANNEL, TOKEN, Place, SlackDouble
from doubles.wire import Fault
from hypothesis import given, settings
from hypothesis import strategies as st

from ownerreportd.channels.slack import TEXT_MAX, SlackChannel
from ownerreportd.channels.slack_answers import CONFIG_HINTS, DOUBTS, MOVES, REPORT_HINTS, THROTTLES
from ownerreportd.core.channel import Part, measure
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
from ownerreportd.render.oracle import difference, squeezed
from ownerreportd.render.slack import SLACK, defused, defused_report
from ownerreportd.testing import Bench, channel_contract

GOOD = {
    path.stem: read_report(path.read_bytes()).report
    for path in sorted((Path(__file__).parents[1] / "data" / "good").glob("*.md"))
}
NAMING = re.compile(r"<[@!#]|(?<![\w@])@(?:here|channel|everyone|group)\b", re.IGNORECASE)
KEY = "abcdefghijklmnopqrstuv23"
SINCE = timedelta(minutes=1)


def part(text="All is **well**.", key=KEY, form="plain"):
    return Part(1, 1, text.encode(), f"(possible duplicate)\n{text}".encode(), key, form)


def made(slack, *, target=None, token=None, timeout_s=5.0, **options):
    return SlackChannel(
        name="owner",
        target=target or f"channel:{CHANNEL}",
        options=SlackChannel.Options(**{"api_base": slack.base, **options}),
        secrets={"token": token or TOKEN},
        language="en",
        timeout_s=timeout_s,
    )


@asynccontextmanager
async def slack_bench():
    async with SlackDouble() as slack:
        channel = made(slack, timeout_s=3)
        yield Bench(channel, slack.arrange, secrets=(TOKEN,))


TestContract = channel_contract(slack_bench)


@pytest.fixture
async def slack(no_blocking):
    async with SlackDouble() as double:
        yield double


@pytest.fixture
async def make_channel(slack):
    channels = []

    def make(**options):
        channels.append(made(slack, **options))
        return channels[-1]

    yield make
    for channel in channels:
        await channel.aclose()


@pytest.fixture
def channel(make_channel):
    return make_channel()


def refused(name, status=200, **headers):
    return answer(status, {"ok": False, "error": name}, **headers)


def good(**changes):
    whole = {"ok": True, "channel": CHANNEL, "ts": "1700000000.000100"}
    return answer(200, whole | changes)


def an_hour_ago():
    return datetime.now(UTC) - timedelta(hours=1)


# --- sending ------------------------------------------------------------------------------------


async def test_a_part_is_confirmed_with_channel_and_ts(slack, channel):
    outcome = await channel.send(part())
    (message,) = slack.messages
    assert isinstance(outcome, Confirmed)
    assert outcome.receipt.id == f"{CHANNEL}:{message.ts}"
    assert outcome.receipt.proof == "confirmed"
    assert outcome.pause_s == 1.0


async def test_the_request_says_no_more_and_no_less_than_intended(slack, channel):
    await channel.send(part())
    (attempt,) = slack.attempts
    assert attempt.json() == {
        "channel": CHANNEL,
        "markdown_text": "All is **well**.",
        "metadata": {"event_type": "owner_report_part", "event_payload": {"key": KEY}},
        "unfurl_links": False,
        "unfurl_media": False,
    }


async def test_the_receipt_leads_to_the_message_once_the_workspace_is_known(slack, channel):
    assert (await channel.send(part())).receipt.link == ""
    assert await channel.check() == []
    receipt = (await channel.send(part())).receipt
    digits = slack.messages[-1].ts.replace(".", "")
    assert receipt.link == f"https://made-up.slack.com/archives/{CHANNEL}/p{digits}"


async def test_a_workspace_that_is_not_slacks_makes_no_link(slack, channel):
    who = {"ok": True, "team_id": "T01", "url": "https://evil.example/"}
    slack.read_faults.append(answer(200, who))
    await channel.check()
    assert (await channel.send(part())).receipt.link == ""


async def test_a_thread_gets_the_message_as_a_reply(slack, make_channel):
    parent = slack.post("a thread")
    in_thread = make_channel(target=f"thread:{CHANNEL}:{parent.ts}")
    assert await in_thread.check() == []
    outcome = await in_thread.send(part())
    assert slack.messages[-1].thread_ts == parent.ts
    assert outcome.receipt.link.endswith(f"?thread_ts={parent.ts}&cid={CHANNEL}")


async def test_the_marked_form_is_sent_when_it_is_asked_for(slack, channel):
    assert isinstance(await channel.send(part(form="marked")), Confirmed)
    assert slack.texts == ["(possible duplicate)\nAll is **well**."]


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (NAMED["rubbish"], "not Slack's"),
        (NAMED["list_json"], "not Slack's"),
        (NAMED["empty_200"], "not Slack's"),
        (NAMED["other_json"], "not Slack's message"),
        (good(ts=None), "not Slack's message"),
        (good(ts="1"), "not Slack's message"),
        (good(ts="1700000000.000100\n"), "not Slack's message"),
        (good(ok="true"), "not Slack's"),
        (good(ok=1), "not Slack's"),
        (good(channel="C0000000000"), "another channel"),
        (good(channel=None), "another channel"),
        (
            good(message={"metadata": {"event_type": "owner_report_part",
                                       "event_payload": {"key": "other"}}}),
            "another message",
        ),
        (answer(200, {"ok": False}), "not Slack's"),
        (answer(201, {"ok": True, "channel": CHANNEL, "ts": "1700000000.000100"}), "201"),
        (answer(204), "204"),
    ],
)  # fmt: skip
async def test_a_success_that_is_not_the_documented_one_is_in_doubt(slack, channel, answered, said):
    slack.faults.append(answered)
    outcome = await channel.send(part())
    assert isinstance(outcome, InDoubt)
    assert said in outcome.detail


async def test_a_reply_in_another_thread_is_the_configurations_fault(slack, make_channel):
    in_thread = make_channel(target=f"thread:{CHANNEL}:1700000000.000001")
    slack.faults.append(good(message={"thread_ts": "1600000000.000001"}))
    outcome = await in_thread.send(part())
    assert (outcome.code, outcome.scope) == ("slack.thread", "config")


@pytest.mark.parametrize("name", CONFIG_HINTS)
async def test_a_configuration_error_is_one_and_names_its_remedy(slack, channel, name):
    slack.faults.append(refused(name))
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == (f"slack.{name}", "config")
    assert outcome.hint == CONFIG_HINTS[name]
    assert name in outcome.detail


@pytest.mark.parametrize("name", [*REPORT_HINTS, "invalid_arguments", "an_error_of_next_year"])
async def test_every_other_error_blocks_the_report(slack, channel, name):
    slack.faults.append(refused(name))
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == (f"slack.{name}", "report")
    assert outcome.hint


async def test_a_missing_scope_is_named(slack, channel):
    slack.scopes = frozenset({"channels:read"})
    assert "chat:write is needed" in (await channel.send(part())).detail


@pytest.mark.parametrize("name", sorted(DOUBTS))
async def test_an_error_that_may_come_after_the_message_is_in_doubt(slack, channel, name):
    slack.faults.append(refused(name))
    assert isinstance(await channel.send(part()), InDoubt)


@pytest.mark.parametrize("name", sorted(MOVES))
async def test_a_workspace_on_the_move_has_taken_nothing(slack, channel, name):
    slack.faults.append(refused(name))
    assert isinstance(await channel.send(part()), NotSent)


@pytest.mark.parametrize("name", sorted(THROTTLES))
@pytest.mark.parametrize("status", [200, 429])
async def test_a_limit_says_how_long_to_wait(slack, channel, name, status):
    slack.faults.append(refused(name, status, **{"Retry-After": "7"}))
    slack.faults.append(refused(name, status))
    assert (await channel.send(part())).retry_after_s == 7.0
    outcome = await channel.send(part())
    assert outcome == Throttled(60.0, f"Slack answered {name}")


@pytest.mark.parametrize(
    ("status", "kind", "scope"),
    [
        (201, InDoubt, None), (204, InDoubt, None), (301, Rejected, "config"),
        (302, Rejected, "config"), (400, Rejected, "config"), (401, Rejected, "config"),
        (403, Rejected, "config"), (404, Rejected, "config"), (407, Rejected, "config"),
        (408, InDoubt, None), (413, Rejected, "config"), (429, Throttled, None),
        (500, InDoubt, None), (502, InDoubt, None), (503, InDoubt, None), (504, InDoubt, None),
        (529, InDoubt, None),
    ],
)  # fmt: skip
async def test_every_status_of_something_in_between_has_its_outcome(
    slack, channel, status, kind, scope
):
    slack.faults.append(proxy(status, Location="/"))
    outcome = await channel.send(part())
    assert type(outcome) is kind
    assert getattr(outcome, "scope", None) == scope
    assert getattr(outcome, "hint", "x")
    assert len(slack.wire.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind", "scope"),
    [
        (400, Rejected, "report"), (403, Rejected, "report"), (408, InDoubt, None),
        (429, Throttled, None), (500, InDoubt, None), (302, Rejected, "config"),
    ],
)  # fmt: skip
async def test_slacks_own_error_counts_with_another_status_too(slack, channel, status, kind, scope):
    slack.faults.append(refused("no_text", status))
    outcome = await channel.send(part())
    assert type(outcome) is kind
    assert getattr(outcome, "scope", None) == scope


@pytest.mark.parametrize(
    "name",
    [
        "close", "reset_in_upload", "reset_after_body", "drop_after_body", "truncate", "garbage",
        "huge", "500", "503", "accept_then_drop", "accept_then_reset", "accept_then_500",
        "accept_then_504", "accept_then_truncate",
    ],
)  # fmt: skip
async def test_what_may_have_been_taken_is_in_doubt(slack, channel, name):
    slack.faults.append(NAMED[name])
    assert isinstance(await channel.send(part()), InDoubt)
    assert len(slack.messages) == name.startswith("accept")


@pytest.mark.parametrize("name", ["hang", "accept_then_hang", "drip"])
async def test_without_an_answer_in_time_it_is_in_doubt(slack, make_channel, name):
    slack.faults.append(NAMED[name])
    outcome = await make_channel(timeout_s=1).send(part())
    assert outcome == InDoubt("no complete answer within 1 s")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"member": False}, "not_in_channel"),
        ({"archived": True}, "is_archived"),
        ({"read_only": True}, "restricted_action_read_only_channel"),
        ({"private": True, "member": False}, "channel_not_found"),
    ],
)
async def test_what_the_bot_may_not_do_is_told_by_sending_and_by_the_check(
    slack, channel, change, name
):
    slack.places[CHANNEL] = Place(CHANNEL, **change)
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == (f"slack.{name}", "config")
    (problem,) = await channel.check()
    assert problem.code == outcome.code
    assert problem.hint


async def test_the_doubles_limits_are_the_reports_fault(channel):
    for text, name in ((" ", "no_text"), ("x" * 12_001, "msg_too_long")):
        outcome = await channel.send(part(text))
        assert (outcome.code, outcome.scope) == (f"slack.{name}", "report")


async def test_no_secret_is_shown_though_the_other_side_repeats_it(slack, channel):
    slack.faults.append(refused(f"bad {TOKEN}\nx"))
    outcome = await channel.send(part())
    assert TOKEN not in repr(outcome)
    assert "[secret]" in outcome.detail
    assert outcome.detail.isprintable()


# --- looking ------------------------------------------------------------------------------------


async def test_a_lost_answer_is_found_by_its_key_in_either_form(slack, channel):
    since = datetime.now(UTC)
    slack.faults.append(NAMED["accept_then_drop"])
    assert isinstance(await channel.send(part(form="marked")), InDoubt)
    found = await channel.look(part(), since, frozenset())
    assert isinstance(found, Found)
    assert found.receipt.id == f"{CHANNEL}:{slack.messages[0].ts}"
    assert found.receipt.link.startswith("https://made-up.slack.com/archives/")


async def test_the_same_text_under_another_key_is_another_part(slack, channel):
    await channel.send(part(key="another"))
    slack.post("All is **well**.")
    slack.post("x", metadata={"event_type": "task_created", "event_payload": {"key": KEY}})
    assert isinstance(await channel.look(part(), an_hour_ago(), frozenset()), Absent)


async def test_the_oldest_of_several_is_the_part_and_a_known_one_is_not(slack, channel):
    outcomes = [await channel.send(part()) for _ in range(3)]
    ids = [outcome.receipt.id for outcome in outcomes]
    assert (await channel.look(part(), an_hour_ago(), frozenset())).receipt.id == ids[0]
    assert (await channel.look(part(), an_hour_ago(), frozenset(ids[:1]))).receipt.id == ids[1]


async def test_every_page_is_read(slack, channel):
    await channel.send(part())
    for number in range(130):
        slack.post(f"message {number}")
    found = await channel.look(part(), an_hour_ago(), frozenset())
    assert isinstance(found, Found)
    slack.page_max = 15  # what Slack allows apps that are sold elsewhere
    assert await channel.look(part(), an_hour_ago(), frozenset()) == found
    assert isinstance(await channel.look(part(key="k"), an_hour_ago(), frozenset()), Absent)


async def test_more_than_can_be_read_is_unknown(slack, channel):
    for number in range(41):
        slack.post(f"message {number}")
    slack.page_max = 1
    found = await channel.look(part(), an_hour_ago(), frozenset())
    assert isinstance(found, Unknown)
    assert not found.transient


async def test_long_messages_in_one_page_are_read(slack, channel):
    for _ in range(50):
        slack.post("進" * 11_500)
    assert isinstance(await channel.look(part(), an_hour_ago(), frozenset()), Absent)


async def test_what_came_before_the_attempt_is_not_asked_for(slack, channel):
    await channel.look(part(), datetime.now(UTC), frozenset())
    oldest = float(slack.wire.requests[-1].query["oldest"])
    assert 110 < datetime.now(UTC).timestamp() - oldest < 1000


async def test_a_clock_that_differs_widens_the_search(slack, channel):
    slack.shift_s = -3600
    since = datetime.now(UTC)
    await channel.send(part())
    assert isinstance(await channel.look(part(), since, frozenset()), Found)


async def test_a_reply_is_looked_for_in_its_thread(slack, make_channel):
    parent = slack.post("a thread")
    in_thread = make_channel(target=f"thread:{CHANNEL}:{parent.ts}")
    await in_thread.send(part())
    found = await in_thread.look(part(), an_hour_ago(), frozenset())
    assert isinstance(found, Found)
    assert isinstance(await make_channel().look(part(), an_hour_ago(), frozenset()), Absent)
    gone = make_channel(target=f"thread:{CHANNEL}:1.000000")
    lost = await gone.look(part(), an_hour_ago(), frozenset())
    assert isinstance(lost, Unknown)
    assert not lost.transient


async def test_without_the_scope_for_the_history_nothing_is_claimed(slack, channel):
    slack.scopes = frozenset({"chat:write", "channels:read"})
    found = await channel.look(part(), an_hour_ago(), frozenset())
    assert isinstance(found, Unknown)
    assert not found.transient
    assert isinstance(await channel.send(part()), Confirmed)
    (problem,) = await channel.check()
    assert (problem.code, problem.blocks) == ("slack.history", False)
    assert "channels:history" in problem.hint


async def test_a_history_that_the_plan_hides_proves_nothing(slack, channel):
    slack.hides_history = True
    assert isinstance(await channel.look(part(), an_hour_ago(), frozenset()), Unknown)


@pytest.mark.parametrize(
    ("fault", "transient", "wait_s"),
    [
        (NAMED["close"], True, 0), (NAMED["500"], True, 0), (NAMED["rubbish"], True, 0),
        (NAMED["truncate"], True, 0), (NAMED["401"], False, 0), (proxy(403), False, 0),
        (refused("internal_error"), True, 0), (refused("invalid_auth"), False, 0),
        (refused("ratelimited", 429, **{"Retry-After": "9"}), True, 9.0),
        (answer(200, {"ok": True}), True, 0),
        (answer(200, {"ok": True, "messages": [{"ts": 1}]}), True, 0),
        (answer(200, {"ok": True, "messages": [], "has_more": True}), False, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("read", [0, 1])
async def test_a_read_that_fails_is_unknown(slack, channel, fault, transient, wait_s, read):
    if read == 0 and "messages" in fault.body:
        fault = answer(200, {"ok": True})
        transient = True
    slack.read_faults.extend([*[None] * read, fault])
    found = await channel.look(part(), an_hour_ago(), frozenset())
    assert isinstance(found, Unknown), found
    assert found.transient is transient
    assert found.retry_after_s == wait_s


async def test_a_silent_history_is_unknown_within_the_time(slack, make_channel):
    slack.read_always = Fault("hang")
    quick = make_channel(timeout_s=1)
    assert (await quick.look(part(), an_hour_ago(), frozenset())).transient
    assert [problem.code for problem in await quick.check()] == ["unreachable"]


# --- checking -----------------------------------------------------------------------------------


async def test_a_check_posts_nothing(slack, channel):
    assert await channel.check() == []
    assert slack.attempts == []


async def test_scopes_to_see_the_channels_name_are_not_needed(slack, channel):
    slack.scopes = frozenset({"chat:write", "channels:history"})
    assert await channel.check() == []


async def test_a_bot_that_may_not_write_is_told(slack, channel):
    slack.scopes = frozenset({"channels:read", "channels:history"})
    (problem,) = await channel.check()
    assert problem.code == "slack.missing_scope"
    assert "chat:write" in problem.hint


async def test_a_private_channel_needs_its_own_scope(slack, channel):
    slack.places[CHANNEL] = Place(CHANNEL, private=True)
    slack.scopes = frozenset({"chat:write", "groups:read"})
    (problem,) = await channel.check()
    assert "groups:history" in problem.hint


async def test_a_wrong_token_and_a_wrong_target_are_told(slack, make_channel):
    (problem,) = await make_channel(token="xoxb-wrong").check()
    assert (problem.code, "token_file" in problem.hint) == ("slack.invalid_auth", True)
    (problem,) = await make_channel(target="C0000000000").check()
    assert problem.code == "slack.channel_not_found"
    (problem,) = await make_channel(target=f"thread:{CHANNEL}:1700000000.000001").check()
    assert problem.code == "slack.thread_not_found"


async def test_what_is_not_slack_is_told(slack, channel):
    slack.read_faults.append(answer(200, {"ok": True}))
    assert [problem.code for problem in await channel.check()] == ["not_slack"]


# --- target and token ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "normal"),
    [
        ("C0123456789", "channel:C0123456789"),
        (" channel:G0123456789 ", "channel:G0123456789"),
        ("D01", "channel:D01"),
        ("thread:C0123456789:1700000000.000100", "thread:C0123456789:1700000000.000100"),
    ],
)
def test_targets_have_one_normal_form(target, normal):
    assert SlackChannel.check_target(target) == normal
    assert SlackChannel.check_target(normal) == normal


@pytest.mark.parametrize(
    "target",
    ["", "#general", "general", "channel:", "U0123456789", "c0123456789", "thread:C0123456789",
     "thread:C0123456789:1700000000", "channel:C0123456789:1700000000.000100", "C01２3"],
)  # fmt: skip
def test_an_impossible_target_is_named_with_the_forms(target):
    with pytest.raises(ConfigError) as caught:
        SlackChannel.check_target(target)
    assert repr(target) in str(caught.value)
    assert "channel:C" in caught.value.hint
    assert "thread:C" in caught.value.hint


@pytest.mark.parametrize("token", ["", "two words", "xoxb-a\nb", "xoxb-ö", "hush", "https://x"])
def test_what_is_no_token_is_refused_and_not_shown(token):
    with pytest.raises(ConfigError) as caught:
        SlackChannel(
            name="owner", target=CHANNEL, options=SlackChannel.Options(),
            secrets={"token": token}, language="en", timeout_s=1.0,
        )  # fmt: skip
    assert not token or token not in str(caught.value)


# --- rendering ----------------------------------------------------------------------------------


def rendered(report):
    channel = SlackChannel(
        name="owner", target=CHANNEL, options=SlackChannel.Options(),
        secrets={"token": TOKEN}, language="en", timeout_s=1.0,
    )  # fmt: skip
    return channel.render(report)


@pytest.mark.parametrize("report", GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("form", ["plain", "marked"])
async def test_every_good_report_arrives_whole(slack, channel, report, form):
    for number, each in enumerate(channel.render(report)):
        keyed = replace(each, key=f"{number:024}", form=form)
        assert isinstance(await channel.send(keyed), Confirmed)
    shown = defused_report(report)
    assert difference(report.body, slack.texts, shown, dialect=SLACK) is None
    assert all(message.fired == [] for message in slack.messages)


CALLS = "<!channel> <!here|here> <@U0123> <!subteam^S01> <#C01> @here @channel @everyone @Group"


async def test_nobody_is_called_wherever_the_text_names_them(slack, channel):
    report = Report(
        "r", f"{CALLS}\n\n`{CALLS}`\n\n```\n{CALLS}\n```\n\n| {CALLS} |\n|---|\n| x |\n",
        title=CALLS, worker="<@U9>", status="@here", notes=(CALLS,),
    )  # fmt: skip
    for each in channel.render(report):
        await channel.send(replace(each, key=KEY))
    text = "\n".join(slack.texts)
    assert [message.fired for message in slack.messages] == [[]]
    assert not NAMING.search(text)
    for word in ("channel", "U0123", "subteam", "U9"):
        assert word in text


def test_the_double_would_notice_a_call():
    posted = SlackDouble().post(CALLS, link_names=True)
    assert len(posted.fired) == 8


@pytest.mark.parametrize(
    "text", ["bob@here.com", "a <- b", "x < y", "<https://example.org>", "user@channel", "@alice"]
)
def test_what_calls_nobody_stays_as_it_is(text):
    assert defused(text) == text


def test_a_table_reads_in_even_columns():
    body = "| name | count |\n|---|---:|\n| a | 1 |\n| longer | 2,373 |\n"
    (only,) = rendered(Report("r", body))
    assert only.plain.decode().split("\n") == [
        "```",
        "| name   | count |",
        "| ---    |  ---: |",
        "| a      |     1 |",
        "| longer | 2,373 |",
        "```",
    ]


LONG = [CALLS * 40, "進度" * 3000, "😀" * 3000, "```", "| a |\n|---|", "x" * 6000]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), max_size=400)
        | st.sampled_from(
            [CALLS * 40, "進度" * 3000, "😀" * 3000, "```", "| a |\n|---|", "x" * 6000]
        ),
        max_size=8,
    ).map("\n".join),
    st.sampled_from(["", "T <!here>", "👩‍👩‍👧" * 30]),
)
def test_both_forms_keep_within_the_limit_and_lose_nothing(body, title):
    report = Report("r", body, title=title)
    parts = rendered(report)
    for each in parts:
        for form in (each.plain, each.marked):
            assert 0 < measure(form.decode(), "utf16") <= TEXT_MAX
    assert squeezed(defused(body)) == squeezed(body)
    if body.strip():
        texts = [each.plain.decode() for each in parts]
        assert difference(body, texts, defused_report(report), dialect=SLACK) is None


def test_the_form_is_json_whatever_the_text():
    text = '"\\\u0000\u2028</script>'
    channel = made(type("Nowhere", (), {"base": "http://127.0.0.1:1"}))
    assert json.loads(channel._form(part(text)))["markdown_text"] == text
