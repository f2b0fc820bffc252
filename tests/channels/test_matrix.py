"""The Matrix channel against the double of a homeserver: what it asks, and what answers mean."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from doubles.faults import NAMED, answer, proxy
from doubles.matrix import ALIAS, BOT, DEVICE, OWNER, ROOM, TOKEN, MatrixDouble, matrix_error
from doubles.wire import Fault

from ownerreportd.channels.matrix import MatrixChannel, MatrixOptions
from ownerreportd.channels.matrix_answers import CONFIG_HINTS, REPORT_HINTS
from ownerreportd.channels.matrix_checkup import power
from ownerreportd.channels.matrix_history import PAGE, PAGES_MAX
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
from ownerreportd.testing import Bench, channel_contract

GOOD = sorted((Path(__file__).parents[1] / "data" / "good").glob("*.md"))
REPORTS = [pytest.param(path.read_bytes(), id=path.stem) for path in GOOD]
KEY = "abcdefghijklmnopqrstuv23"
SINCE = datetime.now(UTC)
KEY_FIELD = "org.ownerreportd.part"


def make(base, target, *, timeout_s=5.0, token=TOKEN, **options):
    return MatrixChannel(
        name="owner", target=target, options=MatrixChannel.Options(homeserver=base, **options),
        secrets={"token": token}, language="en", timeout_s=timeout_s,
    )  # fmt: skip


def body_of(payload):
    return json.loads(payload)["body"]


def part(text="hello 完成", key=KEY, form="plain"):
    plain, marked = (json.dumps({"body": each}).encode() for each in (text, f"(again) {text}"))
    return Part(1, 1, plain, marked, key, form)


def worst_parts(channel):
    """Parts that become as large as any can."""
    bodies = ["\x01" * 8000, "- x\n" * 1990]
    return [channel.render(Report("r", body))[0] for body in bodies]


@asynccontextmanager
async def matrix_bench():
    async with MatrixDouble() as homeserver:
        given = homeserver.destination
        channel = make(
            given["homeserver"], given["target"], timeout_s=3, device_id=given["device_id"]
        )
        yield Bench(channel, homeserver.arrange, secrets=(TOKEN,), text_of=body_of)


TestMatrix = channel_contract(matrix_bench)


@pytest.fixture
async def homeserver(no_blocking):
    async with MatrixDouble() as double:
        yield double


@pytest.fixture
async def make_channel(homeserver):
    made = []

    def to_room(target=ROOM, **options):
        made.append(make(homeserver.base, target, **{"device_id": DEVICE, **options}))
        return made[-1]

    yield to_room
    for each in made:
        await each.aclose()


@pytest.fixture
def channel(make_channel):
    return make_channel()


async def codes(channel):
    return [each.code for each in await channel.check()]


# --- sending ----------------------------------------------------------------------------------


async def test_a_part_is_confirmed_by_the_event_that_it_became(homeserver, channel):
    outcome = await channel.send(part())
    (event,) = homeserver.messages
    assert isinstance(outcome, Confirmed)
    assert outcome.receipt.id == event.id
    assert outcome.receipt.link == f"https://matrix.to/#/{ROOM}/{event.id}?via=double.test"
    assert outcome.pause_s == 0


async def test_the_event_says_no_more_and_no_less_than_intended(homeserver, channel):
    (rendered,) = channel.render(Report("r", "**All** is @room well.", title="T"))
    await channel.send(replace(rendered, key=KEY))
    assert homeserver.messages[0].content == {
        "msgtype": "m.text",
        "body": "**T**\n\n**All** is @room well.",
        "format": "org.matrix.custom.html",
        "formatted_body": "<p><strong>T</strong></p>\n<p><strong>All</strong> is @room well.</p>",
        "m.mentions": {},
        KEY_FIELD: KEY,
    }
    (attempt,) = homeserver.attempts
    assert attempt.path.endswith(f"/send/m.room.message/{KEY}")


async def test_a_silent_part_is_a_notice(homeserver, make_channel):
    await make_channel(silent=True).send(part())
    assert homeserver.messages[0].content["msgtype"] == "m.notice"


async def test_a_part_goes_to_the_thread_that_the_target_names(homeserver, make_channel):
    root = homeserver.post({"msgtype": "m.text", "body": "root"}, sender=OWNER)
    channel = make_channel(f"{ROOM}/{root.id}")
    assert await channel.check() == []
    await channel.send(part())
    assert homeserver.messages[-1].content["m.relates_to"] == {
        "rel_type": "m.thread", "event_id": root.id, "is_falling_back": True,
        "m.in_reply_to": {"event_id": root.id},
    }  # fmt: skip


async def test_a_repeat_in_either_form_is_the_first_event(homeserver, channel):
    homeserver.faults.append(NAMED["accept_then_drop"])
    assert isinstance(await channel.send(part()), InDoubt)
    first = await channel.send(part())
    again = await channel.send(part().as_form("marked"))
    assert first == again
    assert isinstance(again, Confirmed)
    assert homeserver.texts == ["hello 完成"]


async def test_the_window_is_claimed_only_for_a_named_device(make_channel):
    assert make_channel(device_id="").capabilities.dedup_window_s == 0
    assert make_channel().capabilities.dedup_window_s == 1800
    assert make_channel(dedup_window_s=60).capabilities.dedup_window_s == 60
    assert make_channel(device_id="", dedup_window_s=60).capabilities.dedup_window_s == 0


async def test_what_was_asked_once_is_not_asked_for_every_part(homeserver, make_channel):
    channel = make_channel(ALIAS)
    for number in range(3):
        assert isinstance(await channel.send(part(key=f"{number:024}")), Confirmed)
    asked = [seen.path.rpartition("/")[2] for seen in homeserver.wire.requests
             if seen.method == "GET"]  # fmt: skip
    assert asked == ["whoami", ALIAS, "m.room.encryption"]


@pytest.mark.parametrize("data", REPORTS)
async def test_every_good_report_arrives_whole(homeserver, channel, data):
    parts = channel.render(read_report(data).report)
    for number, each in enumerate(parts):
        outcome = await channel.send(replace(each, key=f"{number:024}"))
        assert isinstance(outcome, Confirmed), outcome
    assert homeserver.texts == [body_of(each.plain) for each in parts]


# --- encrypted rooms --------------------------------------------------------------------------


async def test_nothing_is_posted_into_an_encrypted_room(homeserver, channel):
    homeserver.state("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    for _ in range(2):
        outcome = await channel.send(part())
        assert isinstance(outcome, Rejected)
        assert (outcome.code, outcome.scope) == ("matrix.encrypted", "config")
    assert await codes(channel) == ["matrix.encrypted"]
    assert homeserver.attempts == []


async def test_a_room_that_becomes_encrypted_is_noticed_within_a_minute(
    homeserver, channel, monkeypatch
):
    now = anyio.current_time()
    clock = [now]
    monkeypatch.setattr(anyio, "current_time", lambda: clock[0])
    assert isinstance(await channel.send(part()), Confirmed)
    homeserver.state("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    clock[0] = now + 61
    assert (await channel.send(part(key="b" * 24))).code == "matrix.encrypted"
    assert len(homeserver.attempts) == 1


async def test_a_check_that_finds_encryption_stops_the_sending_at_once(homeserver, channel):
    assert isinstance(await channel.send(part()), Confirmed)
    homeserver.state("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert await codes(channel) == ["matrix.encrypted"]
    assert (await channel.send(part(key="b" * 24))).code == "matrix.encrypted"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (NAMED["close"], NotSent), (NAMED["garbage"], NotSent), (proxy(502), NotSent),
        (matrix_error(500, "M_UNKNOWN"), NotSent), (answer(200, []), NotSent),
        (proxy(200), NotSent), (matrix_error(429, "M_LIMIT_EXCEEDED"), Throttled),
        (matrix_error(401, "M_UNKNOWN_TOKEN"), Rejected), (proxy(403), Rejected),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", ["whoami", "m.room.encryption"])
async def test_without_knowing_that_it_is_open_nothing_is_posted(
    homeserver, channel, at, fault, kind
):
    homeserver.fault_if = lambda seen: fault if seen.path.endswith(at) else None
    outcome = await channel.send(part())
    assert type(outcome) is kind, outcome
    assert homeserver.attempts == []
    homeserver.fault_if = None
    assert isinstance(await channel.send(part()), Confirmed)


async def test_a_question_without_an_answer_in_time_is_not_sent(homeserver, make_channel):
    homeserver.get_always = NAMED["hang"]
    outcome = await make_channel(timeout_s=1).send(part())
    assert isinstance(outcome, NotSent)
    assert homeserver.attempts == []


# --- answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        NAMED["rubbish"], NAMED["other_json"], NAMED["list_json"], NAMED["empty_200"],
        answer(200, {"event_id": 1}), answer(200, {"event_id": ""}), answer(200, {"event_id": "x"}),
        answer(200, {"event_id": "$a b"}), answer(201, {"event_id": "$abc"}), answer(204),
        answer(202, {"event_id": "$abc"}),
    ],
)  # fmt: skip
async def test_a_success_that_is_not_the_documented_one_is_in_doubt(homeserver, channel, fault):
    homeserver.faults.append(fault)
    assert isinstance(await channel.send(part()), InDoubt)


@pytest.mark.parametrize("status", [408, 500, 501, 502, 503, 504, 520, 524, 599])
@pytest.mark.parametrize("made", [proxy, lambda status: matrix_error(status, "M_UNKNOWN")])
async def test_a_status_that_says_nothing_about_the_message_is_in_doubt(
    homeserver, channel, status, made
):
    homeserver.faults.append(made(status))
    assert isinstance(await channel.send(part()), InDoubt)


@pytest.mark.parametrize("name", [n for n in NAMED if NAMED[n].act != "answer"])
async def test_a_broken_exchange_is_never_a_yes(homeserver, make_channel, name):
    homeserver.faults.append(NAMED[name])
    outcome = await make_channel(timeout_s=1).send(part())
    assert isinstance(outcome, InDoubt)
    assert len(homeserver.messages) == name.startswith("accept")


@pytest.mark.parametrize(
    ("fault", "wait_s"),
    [
        (matrix_error(429, "M_LIMIT_EXCEEDED", retry_after_ms=4198), 4.198),
        (replace(matrix_error(429, "M_LIMIT_EXCEEDED", retry_after_ms=4198),
                 headers={"Retry-After": "5"}), 5.0),
        (replace(matrix_error(429, "M_LIMIT_EXCEEDED"), headers={"Retry-After": "7"}), 7.0),
        (matrix_error(429, "M_LIMIT_EXCEEDED"), 60.0),
        (matrix_error(400, "M_LIMIT_EXCEEDED", retry_after_ms=1000), 1.0),
        (matrix_error(429, "M_LIMIT_EXCEEDED", retry_after_ms="soon"), 60.0),
        (matrix_error(429, "M_LIMIT_EXCEEDED", retry_after_ms=-5), 0.0),
        (matrix_error(429, "M_LIMIT_EXCEEDED", retry_after_ms=10**400), 86_400.0),
        (matrix_error(429, "M_LIMIT_EXCEEDED", retry_after_ms=float("nan")), 60.0),
        (proxy(429), 60.0), (proxy(429, **{"Retry-After": "3"}), 3.0), (answer(429), 60.0),
    ],
)  # fmt: skip
async def test_throttling_says_how_long(homeserver, channel, fault, wait_s):
    homeserver.faults.append(fault)
    outcome = await channel.send(part())
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after_s == wait_s


@pytest.mark.parametrize("errcode", CONFIG_HINTS)
@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_an_error_of_the_configuration_is_one_whatever_its_status(
    homeserver, channel, status, errcode
):
    homeserver.faults.append(matrix_error(status, errcode))
    outcome = await channel.send(part())
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == (f"matrix.{errcode}", "config")
    assert "made up" in outcome.detail
    assert outcome.hint == CONFIG_HINTS[errcode]


@pytest.mark.parametrize("errcode", REPORT_HINTS)
async def test_an_error_of_the_report_blocks_that_report(homeserver, channel, errcode):
    homeserver.faults.append(matrix_error(400, errcode))
    outcome = await channel.send(part())
    assert (outcome.code, outcome.scope) == (f"matrix.{errcode}", "report")


@pytest.mark.parametrize(
    ("fault", "code", "scope"),
    [
        (matrix_error(400, "M_UNKNOWN"), "matrix.M_UNKNOWN", "report"),
        (matrix_error(413, "ORG.EXAMPLE_X"), "matrix.ORG.EXAMPLE_X", "report"),
        (matrix_error(401, "M_NEW"), "matrix.M_NEW", "config"),
        (matrix_error(403, "M_UNKNOWN"), "matrix.M_UNKNOWN", "config"),
        (matrix_error(404, "M_UNKNOWN"), "matrix.M_UNKNOWN", "config"),
        (matrix_error(405, "M_UNKNOWN"), "matrix.M_UNKNOWN", "config"),
        (matrix_error(403, "no code"), "http.403", "config"),
        (answer(404, {"errcode": 404}), "http.404", "config"),
        (answer(403, ["M_FORBIDDEN"]), "http.403", "config"),
        (proxy(400), "http.400", "config"), (proxy(401), "http.401", "config"),
        (proxy(403), "http.403", "config"), (proxy(404), "http.404", "config"),
        (proxy(407), "http.407", "config"), (proxy(413), "http.413", "config"),
        (answer(301, Location="http://127.0.0.1:1/"), "http.301", "config"),
        (matrix_error(307, "M_FORBIDDEN"), "http.307", "config"),
    ],
)  # fmt: skip
async def test_every_other_refusal_has_a_scope(homeserver, channel, fault, code, scope):
    homeserver.faults.append(fault)
    outcome = await channel.send(part())
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.scope) == (code, scope)
    assert outcome.hint
    assert len(homeserver.attempts) == 1, "no redirect is followed, and nothing is tried twice"


async def test_a_session_that_has_only_expired_is_told_so(homeserver, channel):
    homeserver.faults.append(matrix_error(401, "M_UNKNOWN_TOKEN", soft_logout=True))
    outcome = await channel.send(part())
    assert outcome.hint.startswith("the session has expired")


async def test_a_connection_that_is_refused_is_not_sent(homeserver, channel):
    homeserver.wire.refuse()
    assert isinstance(await channel.send(part()), NotSent)
    assert await codes(channel) == ["unreachable"]
    await homeserver.wire.accept_again()
    assert isinstance(await channel.send(part()), Confirmed)


async def test_no_secret_is_shown_though_the_other_side_repeats_it(homeserver, channel):
    homeserver.faults.append(matrix_error(400, "M_BAD_JSON", f"Bearer {TOKEN}"))
    outcome = await channel.send(part())
    assert TOKEN not in repr(outcome)
    assert "[secret]" in outcome.detail


async def test_a_part_that_is_as_large_as_can_be_is_taken(homeserver, channel):
    for number, each in enumerate(worst_parts(channel)):
        assert isinstance(await channel.send(replace(each, key=f"{number:024}")), Confirmed)


async def test_a_part_over_the_limit_is_refused_as_the_reports_fault(channel):
    outcome = await channel.send(part("x" * 65_000))
    assert (outcome.code, outcome.scope) == ("matrix.M_TOO_LARGE", "report")


# --- reading back -----------------------------------------------------------------------------


async def sent_parts(homeserver, channel, count, at=None):
    """Parts sent under the keys 000.., 001.., made at that time."""
    receipts = []
    for number in range(count):
        outcome = await channel.send(part(key=f"{number:024}"))
        receipts.append(outcome.receipt.id)
        if at is not None:
            homeserver.events[-1].at = at.timestamp()
    return receipts


async def test_a_lost_answer_is_found_by_its_key(homeserver, channel):
    homeserver.faults.append(NAMED["accept_then_drop"])
    assert isinstance(await channel.send(part()), InDoubt)
    found = await channel.look(part(), SINCE, frozenset())
    assert isinstance(found, Found)
    assert found.receipt.id == homeserver.messages[0].id
    assert found.receipt.link
    assert isinstance(await channel.look(part(key="b" * 24), SINCE, frozenset()), Absent)


async def test_the_key_is_found_from_any_device_and_the_transaction_from_its_own(
    homeserver, channel
):
    plain = {"msgtype": "m.text", "body": "x"}
    event = homeserver.post(plain | {KEY_FIELD: KEY}, device="OTHER", txn_id="other")
    assert (await channel.look(part(), SINCE, frozenset())).receipt.id == event.id
    event = homeserver.post(plain, device=DEVICE, txn_id="b" * 24)
    assert (await channel.look(part(key="b" * 24), SINCE, frozenset())).receipt.id == event.id


async def test_nobody_elses_event_and_no_other_parts_is_the_part(homeserver, channel):
    homeserver.server_filters = False
    forged = {"msgtype": "m.text", "body": "x", KEY_FIELD: KEY}
    homeserver.post(forged, sender=OWNER)
    known = homeserver.post(forged)
    assert isinstance(await channel.look(part(), SINCE, frozenset({known.id})), Absent)
    homeserver.events.remove(known)
    assert isinstance(await channel.look(part(), SINCE, frozenset()), Absent)


async def test_of_several_the_oldest_is_the_part(homeserver, channel):
    content = {"msgtype": "m.text", "body": "x", KEY_FIELD: KEY}
    first, _ = homeserver.post(content), homeserver.post(content)
    assert (await channel.look(part(), SINCE, frozenset())).receipt.id == first.id


async def test_pages_are_read_back_to_the_time_of_the_attempt_and_no_further(homeserver, channel):
    await sent_parts(homeserver, channel, 3 * PAGE, SINCE - timedelta(days=2))
    await channel.send(part())
    for number in range(2 * PAGE):
        await channel.send(part(key=f"b{number:023}"))
    assert isinstance(await channel.look(part(), SINCE, frozenset()), Found)
    asked = [seen for seen in homeserver.wire.requests if seen.path.endswith("/messages")]
    assert len(asked) == 3
    early = SINCE - timedelta(days=3)
    assert isinstance(await channel.look(part(key=f"{0:024}"), early, frozenset()), Found)
    assert isinstance(await channel.look(part(key=f"{0:024}"), SINCE, frozenset()), Absent)


async def test_an_event_of_someone_with_another_clock_does_not_end_the_reading(homeserver, channel):
    homeserver.server_filters = False
    await channel.send(part())
    for _ in range(PAGE + 1):
        homeserver.post({"body": "x"}, sender=OWNER, at=1.0)
    assert isinstance(await channel.look(part(), SINCE, frozenset()), Found)


async def test_a_busy_room_is_read_though_pages_of_it_are_empty(homeserver, channel):
    await channel.send(part())
    for _ in range(160):
        homeserver.post({"body": "x"}, sender=OWNER)
    assert isinstance(await channel.look(part(), SINCE, frozenset()), Found)


async def test_a_history_that_just_ends_proves_nothing(homeserver, channel):
    await sent_parts(homeserver, channel, 3)
    homeserver.history_from = len(homeserver.events) - 1
    lost = await channel.look(part(), SINCE, frozenset())
    assert isinstance(lost, Unknown)
    assert not lost.transient
    homeserver.history_from = len(homeserver.events)
    assert isinstance(await channel.look(part(), SINCE, frozenset()), Unknown)


async def test_a_history_that_begins_with_our_joining_is_whole(homeserver, channel):
    member = next(e for e in homeserver.events if e.state_key == BOT)
    homeserver.history_from = homeserver.events.index(member)
    assert isinstance(await channel.look(part(), SINCE, frozenset()), Absent)
    homeserver.join()  # as a change of the display name
    homeserver.history_from = len(homeserver.events) - 1
    assert isinstance(await channel.look(part(), SINCE, frozenset()), Unknown)


async def test_a_deleted_message_is_known_by_its_transaction_or_not_at_all(homeserver, channel):
    (first,) = await sent_parts(homeserver, channel, 1)
    homeserver.redact(first)
    found = await channel.look(part(key=f"{0:024}"), SINCE, frozenset())
    assert (found.receipt.id, found.receipt.note) == (first, "delivered, and deleted since")
    assert isinstance(await channel.look(part(), SINCE, frozenset()), Absent)
    homeserver.redact(first, forget_txn=True)
    lost = await channel.look(part(), SINCE, frozenset())
    assert isinstance(lost, Unknown)
    assert not lost.transient
    assert isinstance(await channel.look(part(), SINCE, frozenset({first})), Absent)


async def test_a_history_without_end_is_given_up(homeserver, make_channel):
    for number in range(PAGE * PAGES_MAX + 1):
        homeserver.post({"body": "x", KEY_FIELD: str(number)})
    lost = await make_channel(timeout_s=30).look(part(), SINCE, frozenset())
    assert isinstance(lost, Unknown)
    assert not lost.transient
    assert "more than 1000" in lost.detail


@pytest.mark.parametrize(
    ("fault", "transient"),
    [
        (NAMED["close"], True), (proxy(502), True), (matrix_error(500, "M_UNKNOWN"), True),
        (matrix_error(429, "M_LIMIT_EXCEEDED", retry_after_ms=9000), True),
        (answer(200, {}), True), (answer(200, {"chunk": [1]}), True),
        (answer(200, {"chunk": [{"event_id": "$a"}]}), True), (NAMED["rubbish"], True),
        (matrix_error(403, "M_FORBIDDEN"), False), (matrix_error(401, "M_UNKNOWN_TOKEN"), False),
    ],
)  # fmt: skip
async def test_a_look_that_fails_proves_nothing(homeserver, channel, fault, transient):
    homeserver.fault_if = lambda seen: fault if seen.path.endswith("/messages") else None
    lost = await channel.look(part(), SINCE, frozenset())
    assert isinstance(lost, Unknown)
    assert lost.transient is transient
    assert lost.retry_after_s == (9.0 if fault.status == 429 else 0.0)


async def test_a_look_without_an_answer_in_time_may_be_tried_again(homeserver, make_channel):
    homeserver.get_always = NAMED["hang"]
    lost = await make_channel(timeout_s=1).look(part(), SINCE, frozenset())
    assert isinstance(lost, Unknown)
    assert lost.transient


async def test_clocks_that_differ_are_allowed_for(homeserver, channel):
    homeserver.advance(-3600)
    for key in (KEY, "b" * 24):
        assert isinstance(await channel.send(part(key=key)), Confirmed)
    assert isinstance(await channel.look(part(), datetime.now(UTC), frozenset()), Found)


# --- checking ---------------------------------------------------------------------------------


async def test_a_check_changes_nothing(homeserver, channel):
    assert await channel.check() == []
    assert {seen.method for seen in homeserver.wire.requests} == {"GET"}


async def test_a_check_names_what_is_wrong(homeserver, channel, make_channel):
    homeserver.levels(events={"m.room.message": 25}, users={BOT: 24})
    (problem,) = await channel.check()
    assert problem.code == "matrix.power"
    assert "25" in problem.hint
    homeserver.levels(events={"m.room.message": "25"}, users={BOT: "25"})
    assert await codes(channel) == []
    homeserver.state("m.room.tombstone", {"replacement_room": "!next"})
    (problem,) = await channel.check()
    assert (problem.code, "!next" in problem.hint) == ("matrix.replaced", True)
    homeserver.join("leave")
    assert await codes(channel) == ["matrix.M_FORBIDDEN"]
    homeserver.devices = {TOKEN: "OTHER"}
    assert await codes(make_channel()) == ["matrix.device"]
    homeserver.devices = {}
    assert await codes(make_channel()) == ["matrix.M_UNKNOWN_TOKEN"]
    assert await codes(make_channel(token="wrong")) == ["matrix.M_UNKNOWN_TOKEN"]


@pytest.mark.parametrize(
    ("state", "said"), [(answer(404, {"errcode": "M_NOT_FOUND", "error": ""}), "never"),
                        (answer(200, {"membership": "invite"}), "invite")],
)  # fmt: skip
async def test_a_check_says_how_the_account_is_not_in_the_room(homeserver, channel, state, said):
    homeserver.fault_if = lambda seen: state if "m.room.member" in seen.path else None
    (problem,) = await channel.check()
    assert problem.code == "matrix.not_joined"
    assert said in problem.detail


async def test_an_alias_is_looked_up_once_and_compared_by_each_check(homeserver, make_channel):
    channel = make_channel(ALIAS)
    assert await codes(channel) == []
    homeserver.aliases = {ALIAS: "!another", "#kept:double.test": ROOM}
    (problem,) = await channel.check()
    assert problem.code == "matrix.alias_moved"
    assert "!another" in problem.detail
    assert isinstance(await channel.send(part()), Confirmed)
    assert homeserver.attempts[0].path.count(ROOM) == 1
    unknown = make_channel("#nobody:double.test")
    assert await codes(unknown) == ["matrix.M_NOT_FOUND"]
    assert (await unknown.send(part(key="b" * 24))).code == "matrix.M_NOT_FOUND"


@pytest.mark.parametrize("body", [{}, {"room_id": 1}, {"room_id": "#x:y"}, {"room_id": "!"}, []])
async def test_an_alias_that_leads_to_no_room_sends_nothing(homeserver, make_channel, body):
    homeserver.fault_if = lambda seen: answer(200, body) if "/directory/" in seen.path else None
    assert isinstance(await make_channel(ALIAS).send(part()), NotSent)
    assert homeserver.attempts == []


async def test_a_thread_must_be_there_and_be_none_itself(homeserver, make_channel):
    assert await codes(make_channel(f"{ROOM}/$none")) == ["matrix.thread"]
    content = {"body": "x", "m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}}
    reply = homeserver.post(content)
    assert await codes(make_channel(f"{ROOM}/{reply.id}")) == ["matrix.thread"]


@pytest.mark.parametrize(
    "fault",
    [NAMED["close"], proxy(502), matrix_error(429, "M_LIMIT_EXCEEDED"), NAMED["garbage"]],
)
@pytest.mark.parametrize(
    "at", ["whoami", "m.room.member", "encryption", "tombstone", "power_levels", "create", "event/"]
)
async def test_a_check_that_cannot_ask_is_unreachable_wherever_it_stops(
    homeserver, make_channel, at, fault
):
    root = homeserver.post({"body": "x"})
    homeserver.fault_if = lambda seen: fault if at in seen.path else None
    assert await codes(make_channel(f"{ROOM}/{root.id}")) == ["unreachable"]


async def test_a_check_without_an_answer_in_time_is_unreachable(homeserver, make_channel):
    homeserver.get_always = NAMED["hang"]
    assert await codes(make_channel(timeout_s=1)) == ["unreachable"]


@pytest.mark.parametrize("body", [{}, {"user_id": 1}, {"user_id": "reports"}, [], "x"])
async def test_an_account_that_is_none_is_no_homeservers_answer(homeserver, channel, body):
    homeserver.fault_if = lambda seen: answer(200, body) if "whoami" in seen.path else None
    assert await codes(channel) == ["matrix.not_matrix"]


@pytest.mark.parametrize(
    ("levels", "create", "may"),
    [
        ({}, {}, True),
        ({"events_default": 1}, {}, False),
        ({"events_default": 1, "users_default": 1}, {}, True),
        ({"events_default": 1, "users": {BOT: 0}, "users_default": 1}, {}, False),
        ({"events_default": 1, "events": {"m.room.message": 0}}, {}, True),
        ({"events_default": 99}, {"content": {"room_version": "12"}, "sender": BOT}, True),
        ({"events_default": 99}, {"content": {"room_version": "12"}, "sender": OWNER}, False),
        ({"events_default": 99}, {"content": {"room_version": "11"}, "sender": BOT}, False),
        ({"events_default": 99}, {"room_version": "12"}, True),
        ({"events_default": 99}, {"room_version": "11"}, False),
        ({"events_default": 99}, {"room_version": "12", "sender": OWNER,
                                  "additional_creators": [BOT]}, True),
        ({"events_default": None, "users": [], "events": 1}, {"content": 1}, True),
    ],
)  # fmt: skip
def test_power_levels_are_counted_as_rooms_do(levels, create, may):
    own, needed = power(BOT, levels, create)
    assert (own >= needed) is may


# --- configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("!room:example.org", "!room:example.org"),
        (ROOM, ROOM),
        (" !room:example.org ", "!room:example.org"),
        ("#a.b/c:example.org:8448", "#a.b/c:example.org:8448"),
        ("#完成:example.org", "#完成:example.org"),
        ("!room:example.org/$event-id_x", "!room:example.org/$event-id_x"),
        ("#alias:example.org/$event", "#alias:example.org/$event"),
        ("https://matrix.to/#/!room:example.org?via=example.org", "!room:example.org"),
        ("https://matrix.to/#/%23alias%3Aexample.org", "#alias:example.org"),
        ("https://matrix.to/#/!room:example.org/$event?via=a&via=b", "!room:example.org/$event"),
    ],
)
def test_targets_have_one_normal_form(given, normal):
    assert MatrixChannel.check_target(given) == normal
    assert MatrixChannel.check_target(normal) == normal


@pytest.mark.parametrize(
    "given",
    ["", "room", "@owner:example.org", "!", "#alias", "!a b", "!room/x", "#a:b/event", "!a\nb",
     "https://matrix.to/#/@owner:example.org", "https://example.org/#/!room:example.org", "!röom"],
)  # fmt: skip
def test_an_impossible_target_is_named_with_the_forms(given):
    with pytest.raises(ConfigError) as caught:
        MatrixChannel.check_target(given)
    assert repr(given) in str(caught.value)
    assert "!ROOM:SERVER" in caught.value.hint


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "", "tökén"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(token):
    with pytest.raises(ConfigError) as caught:
        make("https://example.org", ROOM, token=token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("homeserver", ["https://matrix.example.org", "http://127.0.0.1:8008/",
                                        "https://example.org/sub/path"])  # fmt: skip
def test_a_homeserver_is_a_web_address(homeserver):
    assert MatrixOptions(homeserver=homeserver).homeserver == homeserver


@pytest.mark.parametrize("homeserver", ["", "example.org", "ftp://example.org", "https://",
                                        "https://a@b.c", "https://a.b?x", "https://a.b#x",
                                        "https://a b"])  # fmt: skip
def test_what_is_no_web_address_is_no_homeserver(homeserver):
    with pytest.raises(ValueError, match="homeserver"):
        MatrixOptions(homeserver=homeserver)


async def test_a_homeserver_below_a_path_is_asked_there():
    async with MatrixDouble() as homeserver:
        channel = make(f"{homeserver.base}/below/", ROOM)
        homeserver.fault_if = lambda _seen: Fault("answer", status=404, body="no")
        assert await codes(channel) == ["http.404"]
        assert homeserver.wire.requests[0].path == "/below/_matrix/client/v3/account/whoami"
        await channel.aclose()
