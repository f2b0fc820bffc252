"""Reading Discord back: when a part is found, when it is surely not there, when nobody knows."""

from datetime import UTC, datetime, timedelta

import pytest
from doubles.faults import NAMED, answer, error, proxy, throttled

from ownerreportd.channels import discord_reader
from ownerreportd.core.channel import Part
from ownerreportd.core.outcome import Absent, Confirmed, Found, InDoubt, Unknown

NOBODY = frozenset()
STRANGER = "1000000000000000777"


def part(text="All is well.", key="abcdefghijklmnopqrstuvwx"):
    return Part(1, 1, text.encode(), f"(possible duplicate)\n{text}".encode(), key)


def now():
    return datetime.now(UTC)


async def test_a_message_whose_answer_was_lost_is_found(discord, channel):
    since = now()
    discord.faults.append(NAMED["accept_then_drop"])
    assert isinstance(await channel.send(part()), InDoubt)
    found = await channel.look(part(), since, NOBODY)
    assert isinstance(found, Found)
    assert found.receipt.id == discord.messages[0].id


@pytest.mark.parametrize("form", ["plain", "marked"])
async def test_either_form_is_found_in_whatever_way_discord_stripped_it(discord, channel, form):
    text = part("\n  a \x07 b\n\n\n c ").as_form(form).payload.decode()
    discord.post(" ".join(text.split()))
    assert isinstance(await channel.look(part("a b c"), now(), NOBODY), Found)


async def test_other_peoples_and_other_parts_messages_are_not_the_part(discord, channel):
    discord.post("All is well.", author=STRANGER)
    discord.post("All is well, too.")
    ours = discord.post("All is well.")
    assert isinstance(await channel.look(part(), now(), frozenset({ours.id})), Absent)


async def test_of_several_repeats_the_oldest_is_the_part(discord, channel):
    first = discord.post("All is well.")
    discord.post("All is well.")
    found = await channel.look(part(), now(), NOBODY)
    assert found.receipt.id == first.id


async def test_messages_from_before_the_attempt_do_not_count(discord, channel):
    discord.advance(-600)
    discord.post("All is well.")
    discord.advance(600)
    assert isinstance(await channel.look(part(), now(), NOBODY), Absent)


@pytest.mark.parametrize("off_s", [-3600, 3600])
async def test_clocks_that_differ_do_not_hide_a_message(discord, channel, off_s):
    discord.advance(off_s)
    message = discord.post("All is well.")
    found = await channel.look(part(), now(), NOBODY)
    assert isinstance(found, Found)
    assert found.receipt.id == message.id


async def test_a_long_history_is_read_page_by_page(discord, channel):
    for number in range(250):
        discord.post(f"message {number}", author=STRANGER)
    wanted = discord.post("All is well.")
    found = await channel.look(part(), now(), NOBODY)
    assert found.receipt.id == wanted.id
    assert len([r for r in discord.requests if "limit" in r.query]) == 3


async def test_a_history_that_never_ends_is_unknown(discord, channel, monkeypatch):
    monkeypatch.setattr(discord_reader, "PAGES_MAX", 1)
    for number in range(100):
        discord.post(f"message {number}")
    looked = await channel.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert not looked.transient


async def test_an_empty_channel_proves_nothing(channel):
    looked = await channel.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert not looked.transient
    assert "Read Message History" in looked.detail


async def test_without_history_permission_a_message_that_is_there_is_not_called_absent(
    discord, channel
):
    known = await channel.send(part("an earlier one", key="earlier"))
    discord.faults.append(NAMED["accept_then_drop"])
    await channel.send(part())
    discord.place(history=False)
    looked = await channel.look(part(), now(), frozenset({known.receipt.id}))
    assert isinstance(looked, Unknown)
    assert not looked.transient
    assert isinstance(await channel.look(part(), now(), NOBODY), Unknown)


async def test_absent_is_proven_by_an_own_message_from_before(discord, channel):
    discord.advance(-7200)
    canary = discord.post("long ago")
    discord.advance(7200)
    looked = await channel.look(part(), now(), frozenset({canary.id, "deleted-abc", "5"}))
    assert isinstance(looked, Absent)
    assert [r.path.rpartition("/")[2] for r in discord.requests][-1] == canary.id


async def test_canaries_that_are_gone_leave_the_newest_message_of_anybody(discord, channel):
    discord.advance(-7200)
    discord.post("from somebody", author=STRANGER)
    discord.advance(7200)
    gone = frozenset(str(n) for n in range(10, 20))
    assert isinstance(await channel.look(part(), now(), gone), Absent)
    single = [r for r in discord.requests if r.path.rpartition("/")[2] in gone]
    assert len(single) == discord_reader.CANARIES_MAX


async def test_a_failing_canary_proves_nothing(discord, channel):
    canary = discord.post("All is well.")
    discord.delete(canary.id)
    discord.get_faults.extend([None, None, NAMED["503"]])
    looked = await channel.look(part(), now(), frozenset({canary.id}))
    assert isinstance(looked, Unknown)
    assert looked.transient


TRANSIENT = [
    NAMED["drop_after_body"],
    NAMED["garbage"],
    NAMED["500"],
    error(502, 0),
    proxy(503),
    NAMED["rubbish"],
    NAMED["other_json"],
    answer(200, [{"id": 5}]),
    answer(200, [5]),
]


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_look_that_fails_for_now_may_be_repeated(discord, channel, fault, at):
    discord.get_faults.extend([None] * at + [fault])
    looked = await channel.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert looked.transient


async def test_a_throttled_look_says_how_long(discord, channel):
    discord.get_always = throttled(7.5)
    looked = await channel.look(part(), now(), NOBODY)
    assert looked == Unknown(looked.detail, transient=True, retry_after_s=7.5)


async def test_an_unreachable_service_may_be_looked_at_later(discord, channel):
    discord.refuse()
    looked = await channel.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert looked.transient


async def test_a_look_has_one_deadline_for_all_its_requests(discord, make_channel):
    discord.get_faults.extend([None, NAMED["drip"]])
    looked = await make_channel(timeout_s=1).look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert looked.transient


@pytest.mark.parametrize("change", [{"view": False}, {"id": "5"}])
async def test_a_look_that_is_not_allowed_will_not_be_allowed_later(discord, channel, change):
    discord.place(**change)
    if "id" in change:
        discord.places = {"5": discord.place()}
    looked = await channel.look(part(), now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert not looked.transient


async def test_a_part_that_shows_nothing_cannot_be_looked_for(discord, channel):
    invisible = Part(1, 1, "\u200b".encode(), b"mark", "k")
    looked = await channel.look(invisible, now(), NOBODY)
    assert isinstance(looked, Unknown)
    assert discord.requests == []


async def test_a_ready_destination_has_no_problem_and_then_receipts_have_links(discord, channel):
    assert await channel.check() == []
    outcome = await channel.send(part())
    assert isinstance(outcome, Confirmed)
    place = discord.place()
    expected = f"https://discord.com/channels/{place.guild_id}/{place.id}/{outcome.receipt.id}"
    assert outcome.receipt.link == expected
    assert discord.attempts == discord.requests[-1:]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"view": False}, "discord.50001"),
        ({"type": 4}, "discord.50008"),
        ({"type": 15}, "discord.50008"),
        ({"type": 11, "archived": True}, "discord.50083"),
        ({"type": 11, "locked": True, "archived": True}, "discord.160005"),
        ({"history": False}, "discord.history"),
        ({"send": False}, "discord.50013"),
        ({"type": 11, "send_in_threads": False}, "discord.50013"),
    ],
)
async def test_check_names_what_is_wrong_with_the_channel(discord, channel, change, code):
    discord.post("something")
    discord.place(**change)
    (problem,) = await channel.check()
    assert problem.code == code
    assert problem.hint


@pytest.mark.parametrize("has_messages", [True, False])
async def test_a_bot_that_may_not_read_the_history_sends_all_the_same(
    discord, channel, has_messages
):
    if has_messages:
        discord.post("something")
    discord.place(history=False)
    (problem,) = await channel.check()
    assert (problem.code, problem.blocks) == ("discord.history", False)
    assert isinstance(await channel.send(part()), Confirmed)


async def test_a_history_that_is_not_shown_hides_no_permission_that_is_missing(discord, channel):
    discord.post("something")
    discord.place(send=False, history=False)
    assert [(each.code, each.blocks) for each in await channel.check()] == [
        ("discord.50013", True), ("discord.history", False),
    ]  # fmt: skip


async def test_check_names_every_permission_that_is_missing_before_the_first_message(
    discord, channel
):
    discord.place(send=False, history=False)
    assert [each.code for each in await channel.check()] == ["discord.50013", "discord.history"]
    discord.place(send=True, history=True)
    discord.role_bits = 0
    (problem,) = await channel.check()
    assert "Send Messages" in problem.hint
    discord.place(type=11, send=False)  # which has no effect in threads
    discord.role_bits = 1 << 38
    assert await channel.check() == []


@pytest.mark.parametrize("bits", [0, 1 << 3])
async def test_the_owner_and_an_administrator_may_everything(discord, channel, bits):
    discord.place(send=False, history=False)
    discord.role_bits = bits
    discord.owner_id = "2" if bits else discord.bot_id
    assert await channel.check() == []


@pytest.mark.parametrize("at", [3, 4])
@pytest.mark.parametrize("fault", ["403", "404"])
async def test_what_a_bot_may_not_ask_forbids_it_nothing(discord, channel, at, fault):
    discord.get_faults.extend([None] * at + [NAMED[fault]])
    assert await channel.check() == []


@pytest.mark.parametrize("shape", [[], {}, {"id": "1", "owner_id": "2", "roles": [{"id": "1"}]}])
async def test_a_server_in_another_shape_forbids_nothing(discord, channel, shape):
    discord.get_faults.extend([None, None, None, answer(200, shape)])
    assert await channel.check() == []


async def test_check_names_an_unknown_channel_and_a_wrong_token(make_channel):
    assert [p.code for p in await make_channel(target="5").check()] == ["discord.10003"]
    assert [p.code for p in await make_channel(token="wrong").check()] == ["discord.401"]


@pytest.mark.parametrize("fault", [*TRANSIENT[:5], throttled(1)])
@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
async def test_a_check_that_fails_for_now_says_unreachable(discord, channel, fault, at):
    discord.get_faults.extend([None] * at + [fault])
    (problem,) = await channel.check()
    assert problem.code == "unreachable"


async def test_a_check_in_which_another_channel_is_shown_says_so(discord, channel):
    discord.get_faults.extend([None, answer(200, {"id": "5", "type": 0})])
    assert [p.code for p in await channel.check()] == ["not_discord"]


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_a_check_that_something_else_answered_says_so(discord, channel, at):
    discord.get_faults.extend([None] * at + [NAMED["other_json"]])
    (problem,) = await channel.check()
    assert problem.code == "not_discord"


async def test_a_check_of_a_silent_service_ends_in_time(discord, make_channel):
    discord.get_faults.extend([None, None, NAMED["hang"]])
    (problem,) = await make_channel(timeout_s=1).check()
    assert problem.code == "unreachable"


async def test_nothing_is_ever_posted_by_reading(discord, channel):
    await channel.check()
    await channel.look(part(), now() - timedelta(days=1), NOBODY)
    assert discord.attempts == []
