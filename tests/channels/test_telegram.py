"""The Telegram channel against a strict double of the Bot API."""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.faults import NAMED, answer, proxy
from doubles.telegram import GROUP, PERSON, TOKEN, TelegramDouble, refused, throttled
from doubles.telegram_rules import Chat
from doubles.wire import Fault
from pydantic import ValidationError

from ownerreportd.channels.state import FileState
from ownerreportd.channels.telegram import TelegramChannel, TelegramOptions
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Receipt, Rejected, Throttled
from ownerreportd.core.report import Report
from ownerreportd.render.front_matter import read_report
from ownerreportd.render.telegram import text_of
from ownerreportd.testing import Bench, channel_contract

DATA = Path(__file__).parents[1] / "data"
GOOD = [read_report(path.read_bytes()).report for path in sorted((DATA / "good").glob("*.md"))]


def make(double, *, target=None, timeout_s=5.0, token=TOKEN, state=None, **options):
    return TelegramChannel(
        name="owner", target=target or str(double.home.id),
        options=TelegramOptions(**{"api_base": double.base, **options}),
        secrets={"token": token}, language="en", timeout_s=timeout_s, state=state,
    )  # fmt: skip


def bench_of(**options):
    @asynccontextmanager
    async def bench():
        async with TelegramDouble() as telegram:
            channel = make(telegram, timeout_s=3, **options)
            yield Bench(channel, telegram.arrange, secrets=(TOKEN,), text_of=text_of)

    return bench


TestContract = channel_contract(bench_of())
TestContractWithStub = channel_contract(bench_of(stub=True))


# --- tools ------------------------------------------------------------------------------------


@pytest.fixture
async def telegram(no_blocking):
    async with TelegramDouble() as double:
        yield double


@pytest.fixture
async def made(telegram):
    """Makes channels to the double, and closes them at the end."""
    channels = []

    def make_one(**options):
        channels.append(make(telegram, **options))
        return channels[-1]

    yield make_one
    for channel in channels:
        await channel.aclose()


def part(channel, body="hello 完成", *, key="k" * 24, form="plain", **fields):
    rendered = channel.render(Report("an-id", body, **fields))[0]
    return replace(rendered, key=key).as_form(form)


def result(**changes):
    """A 200 as Telegram gives it, with changes."""
    message = {"message_id": 7, "chat": {"id": GROUP, "type": "supergroup"}, "text": "hello 完成"}
    body = json.dumps({"ok": True, "result": {**message, **changes}})
    return Fault("answer", status=200, body=body)


class FullDisk:
    """A state that takes nothing."""

    def __init__(self, **values):
        self.values = values

    async def get(self, name):
        return self.values.get(name, "")

    async def put(self, _name, _value):
        raise OSError(28, "No space left on device")


# --- an attempt -------------------------------------------------------------------------------


async def test_a_message_is_confirmed_by_its_id_with_a_link_and_a_pause(telegram, made):
    channel = made(silent=True)
    outcome = await channel.send(part(channel, "**hello** @name"))
    assert outcome == Confirmed(Receipt("1", "https://t.me/c/1234567890/1"), pause_s=3.0)
    (message,) = telegram.all_messages
    assert (message.text, message.is_silent, message.has_preview) == ("hello @name", True, False)
    assert [e["type"] for e in message.entities] == ["bold", "code"]
    assert telegram.pinged == []


async def test_a_loud_message_is_the_default(telegram, made):
    channel = made()
    await channel.send(part(channel))
    assert not telegram.all_messages[0].is_silent


@pytest.mark.parametrize(
    ("chat", "target", "link", "pause_s"),
    [
        (Chat(PERSON, "private", "a_person"), str(PERSON), "", 1.0),
        (Chat(-77, "group"), "-77", "", 3.0),
        (Chat(GROUP, "channel", "Some_News"), "@some_news", "https://t.me/Some_News/1", 3.0),
        (Chat(GROUP, is_forum=True, topics={5}), f"{GROUP}:topic:5",
         "https://t.me/c/1234567890/5/1", 3.0),
    ],
)  # fmt: skip
async def test_every_kind_of_chat_is_written_to(made, telegram, chat, target, link, pause_s):
    telegram.home, telegram.chats = chat, {chat.id: chat}
    channel = made(target=target)
    assert await channel.check() == []
    assert await channel.send(part(channel)) == Confirmed(Receipt("1", link), pause_s)
    assert telegram.all_messages[0].thread_id == (5 if "topic" in target else 0)


async def test_the_pause_is_what_is_configured(made):
    channel = made(pause_s=0.5)
    assert (await channel.send(part(channel))).pause_s == 0.5


async def test_every_part_of_every_good_report_arrives_whole(telegram, made):
    channel = made()
    for report in GOOD:
        parts = channel.render(report)
        before = len(telegram.texts)
        for each in parts:
            assert isinstance(await channel.send(replace(each, key="x" * 24)), Confirmed)
        had = [" ".join(text.split()) for text in telegram.texts[before:]]
        assert had == [" ".join(text_of(each.plain).split()) for each in parts]
    assert telegram.pinged == []
    assert telegram.dropped_entities == 0


# --- answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "code", "scope", "hint"),
    [
        (refused(401, "Unauthorized"), Rejected, "telegram.401", "config", "token_file"),
        (refused(404, "Not Found"), Rejected, "telegram.404", "config", "token_file"),
        (refused(403, "Forbidden: bot was blocked by the user"),
         Rejected, "telegram.403", "config", "unblock"),
        (refused(403, "Forbidden: bot can't initiate conversation with a user"),
         Rejected, "telegram.403", "config", "/start"),
        (refused(403, "Forbidden: user is deactivated"),
         Rejected, "telegram.403", "config", "target"),
        (refused(403, "Forbidden: the group chat was deleted"),
         Rejected, "telegram.403", "config", "target"),
        (refused(403, "Forbidden: bot was kicked from the supergroup chat"),
         Rejected, "telegram.403", "config", "add the bot"),
        (refused(403, "Forbidden: bot is not a member of the channel chat"),
         Rejected, "telegram.403", "config", "add the bot"),
        (refused(403, "Forbidden: something new"),
         Rejected, "telegram.403", "config", "allow the bot"),
        (refused(400, "Bad Request: chat not found"),
         Rejected, "telegram.400", "config", "id in target"),
        (refused(400, "Bad Request: message thread not found"),
         Rejected, "telegram.400", "config", "topic"),
        (refused(400, "Bad Request: TOPIC_CLOSED"),
         Rejected, "telegram.400", "config", "topic"),
        (refused(400, "Bad Request: not enough rights to send text messages to the chat"),
         Rejected, "telegram.400", "config", "allow the bot"),
        (refused(400, "Bad Request: need administrator rights in the channel chat"),
         Rejected, "telegram.400", "config", "allow the bot"),
        (refused(400, "Bad Request: CHAT_WRITE_FORBIDDEN"),
         Rejected, "telegram.400", "config", "allow the bot"),
        (refused(400, "Bad Request: group chat was upgraded to a supergroup chat"),
         Rejected, "telegram.400", "config", "-100"),
        (refused(400, "Bad Request: FROZEN_METHOD_INVALID"),
         Rejected, "telegram.400", "config", "@BotFather"),
        (refused(400, "Logged out"), Rejected, "telegram.400", "config", "api_base"),
        (refused(400, "Bad Request: message text is empty"),
         Rejected, "telegram.400", "report", "skip"),
        (refused(400, "Bad Request: message is too long"),
         Rejected, "telegram.400", "report", "skip"),
        (refused(400, "Bad Request: can't parse entities"),
         Rejected, "telegram.400", "report", "skip"),
        (refused(400, "Bad Request: what nobody has seen yet"),
         Rejected, "telegram.400", "report", "look the words up"),
        (refused(409, "Conflict: terminated by other"), Rejected, "telegram.409", "config", "api"),
        (refused(413, "Request Entity Too Large"), Rejected, "telegram.413", "report", "skip"),
        (refused(421, "Misdirected Request: unallowed token specified"),
         Rejected, "telegram.421", "config", "api_base"),
        (refused(429, "Too Many Requests: retry after 9", retry_after=9), Throttled, 9.0, "", ""),
        (refused(429, "Too Many Requests"), Throttled, 60.0, "", ""),
        (proxy(429, **{"Retry-After": "4"}), Throttled, 4.0, "", ""),
        (refused(500, "Too Many Requests: retry after soon"), InDoubt, "", "", ""),
        (refused(500, "Internal Server Error"), InDoubt, "", "", ""),
        (proxy(408), InDoubt, "", "", ""), (proxy(502), InDoubt, "", "", ""),
        (proxy(503), InDoubt, "", "", ""), (proxy(504), InDoubt, "", "", ""),
        (proxy(200), InDoubt, "", "", ""), (proxy(204), InDoubt, "", "", ""),
        (refused(200, "made up"), InDoubt, "", "", ""),
        (proxy(302, Location="https://example.org/"), Rejected, "http.302", "config", "api_base"),
        (proxy(400), Rejected, "http.400", "config", "proxy"),
        (proxy(401), Rejected, "http.401", "config", "proxy"),
        (proxy(403), Rejected, "http.403", "config", "proxy"),
        (proxy(404), Rejected, "http.404", "config", "proxy"),
        (answer(403, {"ok": False, "error_code": 400, "description": "x"}),
         Rejected, "http.403", "config", "proxy"),
        (result(message_id="7"), InDoubt, "", "", ""),
        (result(message_id=0), InDoubt, "", "", ""),
        (result(chat=None), InDoubt, "", "", ""),
        (result(chat={"id": 5}), Rejected, "telegram.elsewhere", "config", "target"),
        (result(text="hello"), Rejected, "telegram.text", "report", "https://t.me/c/"),
    ],
)  # fmt: skip
async def test_every_answer_has_its_outcome(telegram, made, fault, kind, code, scope, hint):
    telegram.always = fault
    channel = made()
    outcome = await channel.send(part(channel))
    assert type(outcome) is kind, outcome
    assert getattr(outcome, "scope", "") == scope
    assert hint in getattr(outcome, "hint", ""), outcome
    assert code in {"", getattr(outcome, "code", ""), getattr(outcome, "retry_after_s", "")}
    assert len(telegram.wire.requests) == 1, "one call is one attempt"
    assert TOKEN not in repr(outcome)


@pytest.mark.parametrize("name", [n for n in NAMED if NAMED[n].act != "answer"])
async def test_a_broken_exchange_is_never_a_yes(telegram, made, name):
    telegram.always = NAMED[name]
    for channel in (made(timeout_s=1), made(timeout_s=0.2, stub=True)):
        assert isinstance(await channel.send(part(channel)), InDoubt)


async def test_the_words_of_an_error_never_show_the_token(telegram, made):
    telegram.always = refused(400, f"Bad Request: bot{TOKEN} made this up")
    outcome = await (channel := made()).send(part(channel))
    assert "[secret]" in outcome.detail
    assert TOKEN not in repr(outcome)


async def test_nothing_of_an_unreachable_service_shows_the_token(telegram, made):
    telegram.wire.refuse()
    channel = made()
    outcome = await channel.send(part(channel))
    assert isinstance(outcome, NotSent)
    assert TOKEN not in repr([outcome, await channel.check()])


async def test_a_topic_that_is_ignored_is_no_confirmation_and_stops_the_probes(telegram, made):
    chat = Chat(PERSON, "private")  # a private chat does not show whether it has topics
    telegram.home, telegram.chats = chat, {chat.id: chat}
    channel = made(target=f"{PERSON}:topic:5")
    assert await channel.check() == []
    outcome = await channel.send(part(channel))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == ("telegram.elsewhere", "config")
    assert [each.code for each in await channel.check()] == ["telegram.elsewhere"]
    assert await made(target=str(PERSON)).check() == []


# --- a group that becomes a supergroup --------------------------------------------------------


async def test_a_new_id_is_kept_over_restarts_and_told(telegram, made, tmp_path):
    chat = Chat(-77, "group", status="member")
    telegram.home, telegram.chats = chat, {chat.id: chat}
    telegram.move(-1005)
    channel = made(state=FileState(tmp_path, "owner", "telegram", "-77"))
    first = await channel.send(part(channel))
    assert isinstance(first, NotSent)
    assert "-1005" in first.detail
    assert telegram.texts == []
    again = made(state=FileState(tmp_path, "owner", "telegram", "-77"))
    outcome = await again.send(part(again))
    assert isinstance(outcome, Confirmed)
    assert (outcome.receipt.id, outcome.receipt.link) == ("-1005/1", "https://t.me/c/5/1")
    assert 'set target = "-1005"' in outcome.receipt.note
    assert [m.chat_id for m in telegram.all_messages] == [-1005]
    (told,) = await again.check()
    assert (told.code, told.blocks) == ("telegram.moved", False)
    assert 'set target = "-1005"' in told.hint


async def test_a_new_id_counts_though_the_disk_is_full(telegram, made):
    telegram.move(-1005)
    channel = made(state=FullDisk())
    assert isinstance(await channel.send(part(channel)), NotSent)
    assert isinstance(await channel.send(part(channel)), Confirmed)


async def test_a_move_between_a_line_and_its_text_is_followed(telegram, made, tmp_path):
    telegram.faults.extend([None, throttled(1)])
    state = FileState(tmp_path, "owner")
    channel = made(stub=True, state=state)
    assert isinstance(await channel.send(part(channel)), Throttled)
    telegram.move(-1005)
    again = made(stub=True, state=state)
    assert isinstance(await again.send(part(again)), NotSent)
    outcome = await again.send(part(again))
    assert isinstance(outcome, Confirmed)
    assert outcome.receipt.id == "-1005/1"
    assert telegram.texts == ["⏳ an-id", "hello 完成"]


async def test_a_line_of_before_the_move_is_no_message_of_the_same_number_after_it(telegram, made):
    telegram.faults.extend([None, throttled(1)])
    channel = made(stub=True)
    assert isinstance(await channel.send(part(channel)), Throttled)
    telegram.move(-1005)
    other = replace(part(channel, "other"), key="another")
    assert isinstance(await channel.send(other), NotSent)
    assert isinstance(await channel.send(other), Confirmed)
    outcome = await channel.send(part(channel))
    assert outcome.receipt.id == "-1005/2"
    assert telegram.texts[1:] == ["other", "hello 完成"]


# --- the line that stands for a part ----------------------------------------------------------


async def test_a_line_is_sent_and_the_text_is_put_into_it(telegram, made):
    channel = made(stub=True)
    outcome = await channel.send(part(channel, "text", title="A @title"))
    assert outcome == Confirmed(Receipt("1", "https://t.me/c/1234567890/1"), pause_s=6.0)
    line, text = telegram.requests("sendMessage", "editMessageText")
    assert line.json()["text"] == "⏳ A @title"
    assert text.json()["text"] == "A @title\n\ntext"
    assert telegram.texts == ["A @title\n\ntext"]
    assert telegram.pinged == []
    assert not telegram.all_messages[0].has_preview


@pytest.mark.parametrize("lost", ["accept_then_drop", "accept_then_500", "drop_after_body"])
async def test_a_lost_edit_is_repeated_and_the_report_is_there_once(telegram, made, tmp_path, lost):
    telegram.faults.extend([None, NAMED[lost]])
    state = FileState(tmp_path, "x")
    channel = made(stub=True, state=state)
    assert isinstance(await channel.send(part(channel)), InDoubt)
    again = made(stub=True, state=state)
    for form in ("plain", "plain", "marked"):
        outcome = await again.send(part(again, form=form))
        assert isinstance(outcome, Confirmed)
        assert outcome.receipt.id == "1"
    assert len(telegram.texts) == 1
    assert "hello 完成" in telegram.texts[0]


async def test_a_lost_line_costs_a_second_line_and_no_second_report(telegram, made):
    telegram.faults.append(NAMED["accept_then_drop"])
    channel = made(stub=True)
    assert isinstance(await channel.send(part(channel)), InDoubt)
    assert isinstance(await channel.send(part(channel)), Confirmed)
    assert telegram.texts == ["⏳ an-id", "hello 完成"]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_line_that_was_deleted_is_made_again(telegram, made, fails):
    telegram.faults.extend([None, refused(500, "made up")])
    channel = made(stub=True, state=FullDisk() if fails else None)
    assert isinstance(await channel.send(part(channel)), InDoubt)
    telegram.all_messages.clear()
    assert isinstance(await channel.send(part(channel)), NotSent)
    assert isinstance(await channel.send(part(channel)), Confirmed)
    assert telegram.texts == ["hello 完成"]


async def test_a_refused_edit_is_what_is_refused(telegram, made):
    telegram.faults.extend([None, refused(400, "Bad Request: message is too long")])
    channel = made(stub=True)
    outcome = await channel.send(part(channel))
    assert isinstance(outcome, Rejected)
    assert outcome.scope == "report"


def test_only_a_part_with_a_line_may_be_repeated_at_any_time():
    async def windows():
        async with TelegramDouble() as double:
            channels = [make(double), make(double, stub=True)]
            for channel in channels:
                await channel.aclose()
            return [channel.capabilities.dedup_window_s for channel in channels]

    assert asyncio.run(windows()) == [0.0, math.inf]


# --- target, token, options -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "normal"),
    [
        ("4242", "4242"), (" -1001234567890 ", "-1001234567890"), ("@Some_Name", "@some_name"),
        ("-100123:topic:7", "-100123:topic:7"), ("@name_x:topic:7", "@name_x:topic:7"),
        ("-100123:topic:1", "-100123"),
    ],
)  # fmt: skip
def test_a_target_has_one_normal_form(target, normal):
    assert TelegramChannel.check_target(target) == normal
    assert TelegramChannel.check_target(normal) == normal


@pytest.mark.parametrize(
    "target",
    ["", "0", "-0", "name", "@a", "@1name", "12:topic:", "12:topic:x", "12:7", "t.me/name",
     "https://t.me/name", "--1", "-100:topic:0", "1" * 20],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_forms(target):
    with pytest.raises(ConfigError) as caught:
        TelegramChannel.check_target(target)
    assert repr(target) in str(caught.value)
    assert ":topic:" in caught.value.hint


@pytest.mark.parametrize("token", ["", "hush-hush", "12:", ":AAx", "12:A A", "12:A/../x", "12:é"])
def test_what_is_no_token_is_refused_without_being_shown(token):
    with pytest.raises(ConfigError) as caught:
        TelegramChannel(
            name="owner", target="1", options=TelegramOptions(), secrets={"token": token},
            language="en", timeout_s=1,
        )  # fmt: skip
    assert not token or token not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("wrong", [{"pause_s": -1}, {"api_base": "telegram"}, {"unknown": 1}])
def test_options_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(ValidationError):
        TelegramOptions(**wrong)


# --- check ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "hint"),
    [
        ({"status": "kicked"}, "telegram.403", "add the bot"),
        ({"status": "left"}, "telegram.403", "add the bot"),
        ({"status": "left", "type": "group"}, "telegram.member", "add the bot"),
        ({"status": "member", "can_send": False}, "telegram.rights", "allow the bot"),
        ({"status": "restricted", "can_send": False}, "telegram.rights", "allow the bot"),
        ({"status": "administrator", "type": "channel", "can_post": False},
         "telegram.rights", "Post Messages"),
        ({"status": "member", "type": "channel"}, "telegram.rights", "administrator"),
        ({"status": "member"}, None, ""),
        ({"status": "restricted"}, None, ""),
        ({"status": "administrator", "type": "channel"}, None, ""),
        ({"status": "administrator", "can_send": False}, None, ""),
    ],
)  # fmt: skip
async def test_a_check_names_what_is_wrong_and_sends_nothing(telegram, made, changes, code, hint):
    for name, value in changes.items():
        setattr(telegram.home, name, value)
    channel = made()
    problems = await channel.check()
    assert [each.code for each in problems] == ([code] if code else [])
    assert all(hint in each.hint and each.detail for each in problems)
    assert telegram.requests("sendMessage", "editMessageText") == []
    outcome = await channel.send(part(channel))
    assert isinstance(outcome, Rejected if code else Confirmed), "the check was right"


@pytest.mark.parametrize(
    ("fault", "code", "hint"),
    [
        (refused(401, "Unauthorized"), "telegram.401", "token_file"),
        (refused(429, "Too Many Requests", retry_after=3), "unreachable", "by itself"),
        (proxy(502), "unreachable", "by itself"),
        (proxy(200), "unreachable", "api_base"),
        (proxy(403), "http.403", "proxy"),
        (NAMED["close"], "unreachable", "by itself"),
    ],
)
async def test_a_check_tells_a_wrong_token_from_a_service_that_is_away(
    telegram, made, fault, code, hint
):
    telegram.fault_if = lambda _seen: fault
    (problem,) = await made().check()
    assert problem.code == code
    assert hint in problem.hint
    assert TOKEN not in repr(problem)


async def test_a_topic_where_there_are_none_is_named(telegram, made):
    (problem,) = await made(target=f"{GROUP}:topic:5").check()
    assert problem.code == "telegram.topic"
    assert "topics on" in problem.hint
