"""ntfy: what is asked of it, what each of its answers proves, and how a report reads there."""

from __future__ import annotations

import errno
import json
import re
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from doubles.faults import NAMED, VIA, answer, proxy
from doubles.ntfy import TOKEN, TOPIC, NtfyDouble
from doubles.wire import Fault
from hypothesis import given, settings
from hypothesis import strategies as st
from render.test_render_rewrite import CONSTRUCTS

from ownerreportd.channels.ntfy import TEXT_MAX, NtfyChannel
from ownerreportd.channels.ntfy_answers import CONFIG_HINTS, REPORT_HINTS
from ownerreportd.channels.state import FileState, MemoryState
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
from ownerreportd.render.ntfy import NTFY, is_all_of
from ownerreportd.render.oracle import difference
from ownerreportd.testing import Bench, channel_contract

GOOD = {
    path.stem: read_report(path.read_bytes()).report
    for path in sorted((Path(__file__).parents[1] / "data" / "good").glob("*.md"))
}
KEY = "abcdefghijklmnopqrstuv23"
NDJSON = {"Content-Type": "application/x-ndjson; charset=utf-8"}


def part(text="All is well.", key=KEY, form="plain"):
    return Part(1, 1, text.encode(), f"(possible duplicate)\n{text}".encode(), key, form)


def channel_to(target, *, token=TOKEN, timeout_s=5.0, state=None, **options):
    return NtfyChannel(
        name="owner",
        target=target,
        options=NtfyChannel.Options(**options),
        secrets={} if token is None else {"token": token},
        language="en",
        timeout_s=timeout_s,
        state=state,
    )


@asynccontextmanager
async def ntfy_bench():
    async with NtfyDouble() as ntfy:
        yield Bench(channel_to(ntfy.address, timeout_s=3), ntfy.arrange, secrets=(TOKEN,))


TestContract = channel_contract(ntfy_bench)


@pytest.fixture
async def ntfy(no_blocking):
    async with NtfyDouble() as double:
        yield double


@pytest.fixture
async def make_channel(ntfy):
    channels = []

    def make(target=None, **options):
        channels.append(channel_to(target or ntfy.address, **options))
        return channels[-1]

    yield make
    for channel in channels:
        await channel.aclose()


@pytest.fixture
def channel(make_channel):
    return make_channel()


def refused(code, status=None, **headers):
    status = status or code // 100
    return answer(status, {"code": code, "http": status, "error": "made up"}, **headers)


def good(**changes):
    whole = {"id": "AbCdEfGh1234", "time": 1, "event": "message", "topic": TOPIC}
    return answer(200, whole | {"message": "All is well."} | changes)


def an_hour_ago():
    return datetime.now(UTC) - timedelta(hours=1)


# --- sending ------------------------------------------------------------------------------------


async def test_a_part_is_confirmed_with_the_messages_id(ntfy, channel):
    outcome = await channel.send(part())
    (message,) = ntfy.messages
    assert isinstance(outcome, Confirmed)
    assert outcome.receipt.id == message.id
    assert outcome.receipt.proof == "confirmed"
    assert (message.text, message.sequence_id, message.markdown) == ("All is well.", KEY, False)


async def test_every_setting_reaches_the_message(ntfy, make_channel):
    channel = make_channel(title="回報 & more?", tags=["warning", "進"], priority=5, markdown=True)
    assert isinstance(await channel.send(part()), Confirmed)
    (message,) = ntfy.messages
    assert (message.title, message.tags) == ("回報 & more?", ["warning", "進"])
    assert (message.priority, message.markdown) == (5, True)


async def test_an_open_topic_needs_no_token(ntfy, make_channel):
    ntfy.access = {None: "rw"}
    open_to_all = make_channel(token=None)
    assert await open_to_all.check() == []
    assert isinstance(await open_to_all.send(part()), Confirmed)
    assert "authorization" not in ntfy.attempts[0].headers


async def test_a_server_that_knows_no_sequences_confirms_all_the_same(ntfy, channel):
    ntfy.knows_sequences = False
    assert isinstance(await channel.send(part()), Confirmed)


async def test_what_the_server_trims_and_strips_does_not_spoil_the_confirmation(channel):
    outcome = await channel.send(part("\n  a \0 b\t\n"))
    assert isinstance(outcome, Confirmed)


async def test_the_marked_form_is_sent_when_it_is_asked_for(ntfy, channel):
    assert isinstance(await channel.send(part(form="marked")), Confirmed)
    assert ntfy.texts == ["(possible duplicate)\nAll is well."]


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (NAMED["rubbish"], "not ntfy's"),
        (NAMED["other_json"], "not ntfy's"),
        (NAMED["list_json"], "not ntfy's"),
        (NAMED["empty_200"], "not ntfy's"),
        (good(id=""), "not ntfy's"),
        (good(id=7), "not ntfy's"),
        (good(event="open"), "not ntfy's"),
        (good(time=None), "not ntfy's"),
        (good(topic="another"), "another topic"),
        (good(topic=None), "another topic"),
        (good(sequence_id="another"), "another message"),
        (good(message="All is not well."), "another text"),
        (good(message=None), "another text"),
        (answer(201, {"id": "AbCdEfGh1234"}), "201"),
        (answer(204), "204"),
    ],
)
async def test_a_success_that_is_not_the_documented_one_is_in_doubt(ntfy, channel, answered, said):
    ntfy.faults.append(answered)
    outcome = await channel.send(part())
    assert isinstance(outcome, InDoubt)
    assert said in outcome.detail


async def test_an_attachment_is_no_confirmation(ntfy, channel):
    ntfy.limit_bytes = 5
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == ("ntfy.attachment", "report")
    assert "message-size-limit" in outcome.hint
    ntfy.attaches = False
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == ("ntfy.40014", "report")


@pytest.mark.parametrize("code", CONFIG_HINTS)
async def test_a_configuration_error_is_one_and_names_its_remedy(ntfy, channel, code):
    ntfy.faults.append(refused(code))
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == (f"ntfy.{code}", "config")
    assert outcome.hint == CONFIG_HINTS[code]
    assert "made up" in outcome.detail


@pytest.mark.parametrize("code", [*REPORT_HINTS, 40011, 40099, 41303, 42200])
async def test_every_other_error_of_a_text_blocks_the_report(ntfy, channel, code):
    ntfy.faults.append(refused(code))
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == (f"ntfy.{code}", "report")
    assert outcome.hint


@pytest.mark.parametrize("code", [40199, 40399, 40499, 40901, 41001])
async def test_an_unknown_code_follows_its_status(ntfy, channel, code):
    ntfy.faults.append(refused(code))
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == (f"ntfy.{code}", "config")
    assert outcome.hint


@pytest.mark.parametrize(
    ("fault", "wait_s"),
    [
        (refused(42901), 5.0),
        (refused(42901, **{"Retry-After": "9"}), 9.0),
        (refused(42908, Date="Fri, 27 Nov 2026 23:59:20 GMT"), 40.0),
        (refused(42908, Date="Fri, 27 Nov 2026 12:00:00 GMT"), 3600.0),
        (refused(42909), 60.0),
        (refused(42904), 60.0),
        (proxy(429), 60.0),
        (proxy(429, **{"Retry-After": "30"}), 30.0),
        (answer(429, {"code": 42901, "http": 400, "error": "not ntfy's"}), 60.0),
    ],
)
async def test_a_limit_says_how_long_to_wait(ntfy, channel, fault, wait_s):
    ntfy.faults.append(fault)
    outcome = await channel.send(part())
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_s == wait_s


async def test_too_many_failed_log_ins_name_the_token(ntfy, channel):
    ntfy.faults.append(refused(42909))
    assert "token_file" in (await channel.send(part())).detail


@pytest.mark.parametrize(
    ("status", "kind", "scope"),
    [
        (201, InDoubt, None), (204, InDoubt, None), (301, Rejected, "config"),
        (308, Rejected, "config"), (400, Rejected, "config"), (401, Rejected, "config"),
        (403, Rejected, "config"), (404, Rejected, "config"), (405, Rejected, "config"),
        (408, InDoubt, None), (413, Rejected, "config"), (429, Throttled, None),
        (500, InDoubt, None), (502, InDoubt, None), (503, InDoubt, None), (504, InDoubt, None),
        (507, InDoubt, None),
    ],
)  # fmt: skip
async def test_every_status_of_something_in_between_has_its_outcome(
    ntfy, channel, status, kind, scope
):
    ntfy.faults.append(proxy(status, Location="/"))
    outcome = await channel.send(part())
    assert type(outcome) is kind
    assert getattr(outcome, "scope", None) == scope
    assert getattr(outcome, "hint", "x")
    assert len(ntfy.wire.requests) == 1


@pytest.mark.parametrize("code", [50001, 50003, 50799])
async def test_the_servers_own_trouble_is_in_doubt(ntfy, channel, code):
    ntfy.faults.append(refused(code))
    assert isinstance(await channel.send(part()), InDoubt)


@pytest.mark.parametrize(
    "name",
    [
        "close", "reset_in_upload", "reset_after_body", "drop_after_body", "truncate", "garbage",
        "huge", "500", "503", "accept_then_drop", "accept_then_reset", "accept_then_500",
        "accept_then_504", "accept_then_truncate",
    ],
)  # fmt: skip
async def test_what_may_have_been_taken_is_in_doubt(ntfy, channel, name):
    ntfy.faults.append(NAMED[name])
    assert isinstance(await channel.send(part()), InDoubt)
    assert len(ntfy.messages) == name.startswith("accept")


async def test_without_an_answer_in_time_it_is_in_doubt(ntfy, make_channel):
    ntfy.faults.append(NAMED["hang"])
    outcome = await make_channel(timeout_s=1).send(part())
    assert outcome == InDoubt("no complete answer within 1 s")


async def test_nothing_is_sent_where_nobody_listens(ntfy, channel):
    ntfy.wire.refuse()
    assert isinstance(await channel.send(part()), NotSent)


async def test_no_secret_is_shown_though_the_other_side_repeats_it(ntfy, channel):
    body = {"code": 40000, "http": 400, "error": f"bad {TOKEN}\nx"}
    ntfy.faults.append(answer(400, body))
    outcome = await channel.send(part())
    assert TOKEN not in repr(outcome)
    assert "[secret]" in outcome.detail
    assert outcome.detail.isprintable()


# --- pausing ------------------------------------------------------------------------------------


async def test_a_pause_begins_when_the_burst_is_used_up(make_channel):
    channel = make_channel(burst=3, refill_s=50.0)
    pauses = [(await channel.send(part(key=f"k{number}"))).pause_s for number in range(5)]
    assert pauses[:2] == [0.0, 0.0]
    assert [round(pause / 50) for pause in pauses[2:]] == [1, 2, 3]


async def test_reading_counts_too(make_channel):
    channel = make_channel(burst=3, refill_s=50.0)
    for _ in range(3):
        assert await channel.check() == []
    assert round((await channel.send(part())).pause_s / 50) == 2


async def test_after_too_many_requests_every_message_waits_its_turn(ntfy, make_channel):
    channel = make_channel(burst=3, refill_s=50.0)
    ntfy.faults.append(refused(42901))
    assert isinstance(await channel.send(part()), Throttled)
    assert round((await channel.send(part())).pause_s / 50) == 2


@pytest.fixture
def restarted(make_channel, tmp_path):
    """Makes the channel again, as the next process does, with what the one before has kept."""

    def make(**options):
        options = {"burst": 3, "refill_s": 50.0, **options}
        return make_channel(state=FileState(tmp_path, "owner"), **options)

    return make


def move_the_clock(monkeypatch, by_s):
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + by_s)


async def test_a_restart_does_not_fill_the_bucket(restarted):
    assert NtfyChannel.keeps_state, "else the program gives it nothing to keep it in"
    pauses = []
    for key in ("k1", "k2", "k3", "k4"):
        outcome = await restarted().send(part(key=key))
        pauses.append(round(outcome.pause_s / 50))
    assert pauses == [0, 0, 1, 2]


async def test_a_request_that_a_kill_cuts_off_is_spent(ntfy, restarted):
    ntfy.faults.extend([NAMED["hang"]] * 2)
    for key in ("k1", "k2"):
        with anyio.move_on_after(0.2) as killed:
            await restarted().send(part(key=key))
        assert killed.cancelled_caught
    assert round((await restarted().send(part(key="k3"))).pause_s / 50) == 1


async def test_too_many_requests_are_remembered_over_a_restart(ntfy, restarted):
    ntfy.faults.append(refused(42901))
    assert isinstance(await restarted().send(part()), Throttled)
    assert round((await restarted().send(part())).pause_s / 50) == 2


async def test_the_time_between_two_processes_fills_the_bucket(restarted, monkeypatch):
    first = restarted()
    for key in ("k1", "k2", "k3"):
        await first.send(part(key=key))
    move_the_clock(monkeypatch, 100)
    second = restarted()
    pauses = [(await second.send(part(key=key))).pause_s for key in ("k4", "k5")]
    assert [round(pause / 50) for pause in pauses] == [0, 1]


@pytest.mark.parametrize(("by_s", "pause"), [(-1_000_000, 2), (1_000_000, 0)])
async def test_a_clock_that_jumped_makes_the_bucket_empty_or_full_and_no_more(
    restarted, monkeypatch, by_s, pause
):
    await restarted().send(part(key="k1"))
    move_the_clock(monkeypatch, by_s)
    assert round((await restarted().send(part(key="k2"))).pause_s / 50) == pause


@pytest.mark.parametrize("kept", ["", "soon", "nan", "inf", "-inf"])
async def test_what_was_kept_and_makes_no_sense_is_nothing(make_channel, kept):
    state = MemoryState()
    await state.put("requests full at", kept)
    outcome = await make_channel(state=state, burst=2, refill_s=50.0).send(part())
    assert outcome.pause_s == 0


class FullDisk(MemoryState):
    async def put(self, name, value):
        raise OSError(errno.ENOSPC, "no space left", name, value)


async def test_a_disk_that_takes_nothing_stops_no_message(make_channel):
    channel = make_channel(state=FullDisk(), burst=2, refill_s=50.0)
    pauses = [(await channel.send(part(key=key))).pause_s for key in ("k1", "k2")]
    assert [round(pause / 50) for pause in pauses] == [0, 1]


# --- looking ------------------------------------------------------------------------------------


@pytest.mark.parametrize("knows_sequences", [True, False])
@pytest.mark.parametrize("form", ["plain", "marked"])
async def test_a_lost_answer_is_found_in_either_form(ntfy, channel, knows_sequences, form):
    ntfy.knows_sequences = knows_sequences
    since = datetime.now(UTC)
    ntfy.faults.append(NAMED["accept_then_drop"])
    assert isinstance(await channel.send(part(form=form)), InDoubt)
    found = await channel.look(part(), since, frozenset())
    assert isinstance(found, Found)
    assert found.receipt.id == ntfy.messages[0].id


async def test_the_same_text_under_another_sequence_is_another_part(ntfy, channel):
    ntfy.post("All is well.", sequence_id="another")
    assert not isinstance(await channel.look(part(), an_hour_ago(), frozenset()), Found)


async def test_the_same_text_without_a_sequence_is_another_part_where_it_is_known(ntfy, channel):
    ntfy.knows_sequences = False
    first, second = ntfy.post("All is well."), ntfy.post("All is well.")
    assert (await channel.look(part(), an_hour_ago(), frozenset())).receipt.id == first.id
    found = await channel.look(part(), an_hour_ago(), frozenset({first.id}))
    assert found.receipt.id == second.id


async def test_an_attachment_is_not_the_part(ntfy, channel):
    ntfy.limit_bytes = 5
    await channel.send(part())
    assert not isinstance(await channel.look(part(), an_hour_ago(), frozenset()), Found)


async def test_absent_is_said_only_while_an_older_message_of_ours_is_there(ntfy, channel):
    since = datetime.now(UTC)
    older = ntfy.post("of ours", ago_s=3600)
    newer = ntfy.post("of ours too", ago_s=-5)
    ntfy.post("of somebody else", ago_s=3600)
    assert isinstance(await channel.look(part(), since, frozenset({older.id})), Absent)
    assert isinstance(await channel.look(part(), since, frozenset({newer.id})), Unknown)
    found = await channel.look(part(), since, frozenset())
    assert isinstance(found, Unknown)
    assert not found.transient


async def test_a_restart_that_emptied_the_cache_is_no_proof(ntfy, channel):
    since = datetime.now(UTC)
    older = ntfy.post("of ours", ago_s=3600)
    ntfy.faults.append(NAMED["accept_then_drop"])
    await channel.send(part())
    ntfy.restart()
    assert isinstance(await channel.look(part(), since, frozenset({older.id})), Unknown)


async def test_a_cache_that_is_off_is_no_proof(ntfy, channel):
    ntfy.caches = False
    since = datetime.now(UTC)
    known = frozenset({(await channel.send(part(key="k"))).receipt.id})
    await channel.send(part())
    assert isinstance(await channel.look(part(), since, known), Unknown)


async def test_what_has_expired_is_no_proof(ntfy, channel):
    older = ntfy.post("of ours", ago_s=3600)
    since = datetime.now(UTC)
    await channel.send(part())
    ntfy.shift_s = 13 * 3600
    assert isinstance(await channel.look(part(), since, frozenset({older.id})), Unknown)


@pytest.mark.parametrize("shift_s", [-3600, 3600])
async def test_the_servers_own_clock_counts(ntfy, channel, shift_s):
    ntfy.shift_s = shift_s
    older = ntfy.post("of ours", ago_s=600)
    since = datetime.now(UTC)
    missing = await channel.look(part(), since, frozenset({older.id}))
    assert isinstance(missing, Absent)
    await channel.send(part())
    assert isinstance(await channel.look(part(), since, frozenset({older.id})), Found)


async def test_a_topic_that_may_not_be_read_proves_nothing(ntfy, channel):
    ntfy.access[TOKEN] = "w"
    assert isinstance(await channel.send(part()), Confirmed)
    found = await channel.look(part(), an_hour_ago(), frozenset())
    assert isinstance(found, Unknown)
    assert not found.transient
    (problem,) = await channel.check()
    assert (problem.code, problem.blocks) == ("ntfy.40301", False)
    assert "may not be read" in problem.detail


@pytest.mark.parametrize(
    ("fault", "transient", "wait_s"),
    [
        (NAMED["close"], True, 0), (NAMED["500"], True, 0), (NAMED["truncate"], True, 0),
        (proxy(403), False, 0), (refused(40101), False, 0), (refused(42901), True, 5.0),
        (NAMED["list_json"], True, 0), (proxy(200), True, 0),
        (Fault("answer", status=200, headers=NDJSON, body="{}\n"), True, 0),
        (Fault("answer", status=200, headers=NDJSON, body="[]\n"), True, 0),
        (Fault("answer", status=200, headers=NDJSON, body='{"event": "message"}\n'), True, 0),
        (Fault("answer", status=200, headers=NDJSON, body="<html>\n"), True, 0),
        (Fault("answer", status=200, headers=VIA, body=""), True, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("read", [0, 1])
async def test_a_read_that_fails_is_unknown(ntfy, channel, fault, transient, wait_s, read):
    ntfy.read_faults.extend([*[None] * read, fault])
    found = await channel.look(part(), an_hour_ago(), frozenset())
    assert isinstance(found, Unknown), found
    assert found.transient is transient
    assert found.retry_after_s == wait_s


async def test_other_events_in_the_cache_are_passed_over(ntfy, channel):
    lines = [
        {"id": "AbCdEfGh1234", "time": 1, "event": "message_delete", "sequence_id": KEY},
        {"id": "AbCdEfGh1235", "time": 1, "event": "message", "message": "of ours"},
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    ntfy.read_always = Fault("answer", status=200, headers=NDJSON, body=body)
    found = await channel.look(part(), datetime.now(UTC), frozenset({"AbCdEfGh1235"}))
    assert isinstance(found, Absent)


async def test_a_full_cache_is_read_whole(ntfy, channel):
    for _ in range(1000):
        ntfy.post("進" * 1300)
    ntfy.faults.append(NAMED["accept_then_drop"])
    await channel.send(part())
    assert isinstance(await channel.look(part(), an_hour_ago(), frozenset()), Found)


async def test_a_silent_server_is_unknown_within_the_time(ntfy, make_channel):
    ntfy.read_always = Fault("hang")
    quick = make_channel(timeout_s=1)
    assert (await quick.look(part(), an_hour_ago(), frozenset())).transient
    assert [problem.code for problem in await quick.check()] == ["unreachable"]


async def test_without_visible_text_nothing_is_looked_for(channel):
    assert isinstance(await channel.look(part(" \0\n"), an_hour_ago(), frozenset()), Unknown)


# --- checking -----------------------------------------------------------------------------------


async def test_a_check_posts_nothing(ntfy, channel):
    assert await channel.check() == []
    assert ntfy.attempts == []


async def test_a_wrong_token_and_a_wrong_topic_are_told(ntfy, make_channel):
    (problem,) = await make_channel(token="tk_wrong").check()
    assert (problem.code, "token_file" in problem.hint) == ("ntfy.40101", True)
    (problem,) = await make_channel(token=None).check()
    assert problem.code == "ntfy.40301"
    (problem,) = await make_channel(ntfy.address.replace(TOPIC, "docs")).check()
    assert problem.code == "ntfy.40010"


@pytest.mark.parametrize("fault", [NAMED["list_json"], NAMED["other_json"], proxy(200)])
async def test_what_is_not_ntfy_is_told(ntfy, channel, fault):
    ntfy.read_faults.append(fault)
    assert [problem.code for problem in await channel.check()] == ["not_ntfy"]


# --- target and token ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "normal"),
    [
        ("owner-reports_1", "https://ntfy.sh/owner-reports_1"),
        ("ntfy.sh/Topic", "https://ntfy.sh/Topic"),
        (" https://NTFY.example.org/Topic ", "https://ntfy.example.org/Topic"),
        ("http://127.0.0.1:8080/t", "http://127.0.0.1:8080/t"),
        ("ntfy.example.org:8443/t", "https://ntfy.example.org:8443/t"),
    ],
)
def test_targets_have_one_normal_form(target, normal):
    assert NtfyChannel.check_target(target) == normal
    assert NtfyChannel.check_target(normal) == normal


@pytest.mark.parametrize(
    "target",
    ["", "a topic", "t" * 65, "https://ntfy.sh", "https://ntfy.sh/", "https://ntfy.sh/a/b",
     "https://ntfy.sh/t/", "https://u:p@ntfy.sh/t", "https://ntfy.sh/t?auth=x", "ftp://ntfy.sh/t",
     "https://ntfy.sh/t#x", "https://[/t", "https://ntfy.sh:99999/t", "進度", "https://ntfy.sh/進",
     "//t"],
)  # fmt: skip
def test_an_impossible_target_is_named_with_the_forms(target):
    with pytest.raises(ConfigError) as caught:
        NtfyChannel.check_target(target)
    assert repr(target) in str(caught.value)
    assert "https://HOST/TOPIC" in caught.value.hint


@pytest.mark.parametrize("token", ["two words", "tk_a\nb", "tk_ö"])
def test_what_is_no_token_is_refused_and_not_shown(token):
    with pytest.raises(ConfigError) as caught:
        channel_to("t", token=token)
    assert token not in str(caught.value)


# --- rendering ----------------------------------------------------------------------------------


def is_whole(report, texts, *, markdown):
    if markdown:
        return difference(report.body, texts, report, dialect=NTFY) is None
    return is_all_of(report, texts, text_max=TEXT_MAX, language="en")


@pytest.mark.parametrize("report", GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("form", ["plain", "marked"])
@pytest.mark.parametrize("markdown", [False, True])
async def test_every_good_report_arrives_whole(ntfy, make_channel, report, form, markdown):
    channel = make_channel(markdown=markdown)
    for number, each in enumerate(channel.render(report)):
        keyed = replace(each, key=f"{number:024}", form=form)
        assert isinstance(await channel.send(keyed), Confirmed)
    assert is_whole(report, ntfy.texts, markdown=markdown)
    assert not any(message.attachment for message in ntfy.messages)
    assert {message.markdown for message in ntfy.messages} == {markdown}


def test_a_table_reads_in_even_columns():
    body = "| name | count |\n|---|---:|\n| a | 1 |\n| longer | 2,373 |\n"
    (only,) = channel_to("t", markdown=True).render(Report("r", body))
    assert "| longer | 2,373 |" in only.plain.decode()
    assert "| a      |     1 |" in only.plain.decode()


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("# One\n\nText *it* **b** `c`", "One\n\nText it b c"),
        ("- a\n  - [ ] b\n- [x] c", "• a\n  ☐ b\n☑ c"),
        ("> a\n> > b", "┃ a\n┃ ┃ b"),
        ("~~old~~ <s>x</s>", "~old~ ~x~"),
        ("[t](https://e.org) <https://e.org> [u][1]\n\n[1]: /x",
         "t (https://e.org) https://e.org u (/x)"),
        ("![alt](https://e.org/a.png) ![](b.png)", "alt (https://e.org/a.png) b.png"),
        ('<a href="https://e.org">t</a> <a href="https://e.org">https://e.org</a>',
         "t (https://e.org) https://e.org"),
        ('<a href="/x">never closed', "never closed (/x)"),
        ("```sh\nls *.md\n```", "ls *.md"),
        ("| a | b |\n|---|--:|\n| 1 | 23 |", "a |  b\n──────\n1 | 23"),
        ("a<br>b &amp; &lt;c&gt;\n\n---", f"a\nb & <c>\n\n{'─' * 10}"),
        ("<!-- aside --> List<String> @you", "(aside) List<String> @you"),
    ],
)  # fmt: skip
def test_the_plain_text_has_no_marks(markdown, text):
    (only,) = channel_to("t").render(Report("r", markdown))
    assert only.plain.decode() == text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(CONSTRUCTS), min_size=1, max_size=12).map("\n\n".join))
def test_no_mark_of_markdown_is_left_in_plain_text(body):
    text = "\n".join(part.plain.decode() for part in channel_to("t").render(Report("r", body)))
    assert not re.search(r"(?m)^#|\*\*|\]\(|\]\[|!\[|`|&amp;|</?(?:b|i|u|p|br)>|<!--|^-{3,}$", text)


LONG = ["進度" * 1500, "😀" * 1100, "```", "| a |\n|---|", "x" * 4090, '"\\' * 2000]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), max_size=400) | st.sampled_from(LONG), max_size=8
    ).map("\n".join),
    st.sampled_from(["", "T", "👩‍👩‍👧" * 30]),
    st.booleans(),
)
def test_both_forms_keep_within_the_limit_and_lose_nothing(body, title, markdown):
    report = Report("r", body, title=title)
    parts = channel_to("t", markdown=markdown).render(report)
    for each in parts:
        assert 0 < len(each.plain) <= TEXT_MAX
        assert 0 < len(each.marked) <= TEXT_MAX
    if body.strip():
        assert is_whole(report, [each.plain.decode() for each in parts], markdown=markdown)


async def test_a_part_full_of_what_json_escapes_is_taken(channel):
    outcome = await channel.send(part('"\\\n' * 1333))
    assert isinstance(outcome, Confirmed)
