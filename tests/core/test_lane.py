"""The lane's table, row by row: (phase, event) gives (phase, commands)."""

import math
from dataclasses import replace

import pytest

from ownerreportd.core.backoff import Backoff
from ownerreportd.core.channel import Problem
from ownerreportd.core.lane import IllegalEventError, step
from ownerreportd.core.lane_words import (
    Answered,
    Arrived,
    Block,
    Broke,
    Cleared,
    Doubt,
    Fetch,
    Head,
    Hindered,
    Lane,
    Left,
    Look,
    Looked,
    PartState,
    Paused,
    Phase,
    Policy,
    Postponed,
    Probe,
    Probed,
    Resumed,
    Retried,
    Send,
    Settle,
    Settled,
    WakeAt,
    Woke,
)
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    NotSent,
    Receipt,
    Rejected,
    Throttled,
    Unknown,
)

STEADY = Backoff(initial_s=2, factor=2, ceiling_s=300, jitter=0)
DEDUP = Policy(STEADY, "resend", dedup_window_s=120, read_back=True, timeout_s=20)
BLIND = Policy(STEADY, "resend", timeout_s=20)
HOLD = Policy(STEADY, "hold", timeout_s=20)
READ = Policy(STEADY, "hold", read_back=True, timeout_s=20)
OK = Confirmed(Receipt("1"))


def head(policy=DEDUP, parts=1, **first):
    states = tuple(PartState(n) for n in range(1, parts + 1))
    return Head(7, (replace(states[0], **first), *states[1:]), policy)


def sending(policy=DEDUP, parts=1, now=0.0, **first):
    lane, commands = step(Lane(), Arrived(head(policy, parts, **first), now))
    assert lane.phase is Phase.SENDING, commands
    return lane


def run(lane, *events):
    commands = ()
    for event in events:
        lane, commands = step(lane, event)
    return lane, commands


def test_an_arriving_report_is_sent_at_once():
    lane, commands = step(Lane(), Arrived(head(), 0))
    assert (lane.phase, commands) == (Phase.SENDING, (Send(7, 1, "plain"),))


def test_the_next_part_follows_a_confirmed_one_and_the_last_is_settled():
    lane, commands = step(sending(parts=2), Answered(OK, 0, 1))
    assert commands == (Send(7, 2, "plain"),)
    lane, commands = step(lane, Answered(OK, 1, 2))
    assert (lane.phase, commands) == (Phase.SETTLING, (Settle(7),))
    lane, commands = step(lane, Settled(3))
    assert (lane.phase, commands) == (Phase.EMPTY, (Fetch(),))


def test_a_delivered_report_that_arrives_after_a_crash_is_settled_without_sending():
    lane, commands = step(Lane(), Arrived(Head(7, (), DEDUP), 0))
    assert (lane.phase, commands) == (Phase.SETTLING, (Settle(7),))


def test_what_was_not_sent_is_tried_again_with_growing_waits():
    lane, waits, now = sending(), [], 0.0
    for _ in range(9):
        lane, (wake,) = step(lane, Answered(NotSent("refused"), now, now))
        waits.append(wake.at - now)
        now = wake.at
        lane, commands = step(lane, Woke(now))
        assert commands == (Send(7, 1, "plain"),)
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300]


def test_a_throttled_part_waits_exactly_as_long_as_it_was_told():
    lane, commands = step(sending(), Answered(Throttled(17.5), 0, 1))
    assert (lane.phase, commands) == (Phase.WAITING, (WakeAt(18.5),))
    lane, commands = step(lane, Retried(5))
    assert commands == (WakeAt(18.5),), "retry is no way around the channel's word"
    assert step(lane, Woke(18.5))[1] == (Send(7, 1, "plain"),)


def test_retry_cuts_a_backoff_short():
    lane, _ = step(sending(), Answered(NotSent("refused"), 0, 0))
    assert step(lane, Retried(1))[1] == (Send(7, 1, "plain"),)


def test_a_doubt_inside_the_window_is_repeated_with_the_same_form():
    lane, commands = step(sending(), Answered(InDoubt("reset"), 0, 5))
    assert commands == (WakeAt(7),)
    assert lane.head.parts[0].doubt == Doubt(0, 5)
    assert step(lane, Woke(7))[1] == (Send(7, 1, "plain"),)


def test_a_repeat_that_could_end_after_the_window_is_a_look_instead():
    lane = sending(doubt=Doubt(0, 0), now=100)  # 100 + 20 <= 0 + 120
    lane, _ = step(lane, Answered(InDoubt("reset"), 100, 101))
    lane, commands = step(lane, Woke(103))
    assert (lane.phase, commands) == (Phase.WAITING, (WakeAt(121),)), "timeout_s after the last"
    lane, commands = step(lane, Woke(121))
    assert (lane.phase, commands) == (Phase.LOOKING, (Look(7, 1, 0),))


def test_a_pause_within_the_limit_is_waited_for_and_is_no_failure():

    lane, commands = step(sending(parts=2), Answered(replace(OK, pause_s=5), 0, 1))
    assert commands == (WakeAt(6),)
    assert (lane.phase, lane.paced, lane.failures) == (Phase.WAITING, True, 0)
    retried, commands = step(lane, Retried(2))
    assert (retried.wake_at, commands) == (6, (WakeAt(6),))
    paused, _ = step(lane, Paused(2))
    assert (paused.phase, paused.paced) == (Phase.READY, False)
    lane, commands = step(lane, Woke(6))
    assert commands == (Send(7, 2, "plain"),)
    assert not lane.paced


@pytest.mark.parametrize("outcome", [NotSent("x"), Throttled(1), Rejected("c", "report", "d", "h")])
def test_no_answer_to_a_repeat_clears_the_doubt_but_a_confirmation(outcome):
    lane = sending(doubt=Doubt(0, 0))
    lane, _ = step(lane, Answered(outcome, 10, 11))
    assert lane.head.parts[0].doubt == Doubt(0, 0)


def test_a_second_doubt_keeps_the_first_ones_beginning():
    lane = sending(doubt=Doubt(0, 3))
    lane, _ = step(lane, Answered(InDoubt("again"), 10, 12))
    assert lane.head.parts[0].doubt == Doubt(0, 12)


def looking(policy=READ):
    lane, commands = step(Lane(), Arrived(head(policy, doubt=Doubt(-math.inf, -100)), 0))
    assert commands == (Look(7, 1, -math.inf),)
    return lane


def test_found_is_a_confirmation():
    assert step(looking(), Looked(Found(Receipt("9")), 1))[1] == (Settle(7),)


def test_absent_clears_the_doubt_and_the_plain_form_is_sent():
    lane, commands = step(looking(), Looked(Absent(), 1))
    assert commands == (Send(7, 1, "plain"),)
    assert lane.head.parts[0].doubt is None


def test_a_look_that_may_work_later_is_repeated():
    lane, commands = step(looking(), Looked(Unknown("503", transient=True, retry_after_s=30), 1))
    assert commands == (WakeAt(31),)
    assert step(lane, Woke(31))[1] == (Look(7, 1, -math.inf),)


def test_an_unknown_is_resent_with_the_mark_or_held():
    resend = replace(READ, in_doubt="resend")
    assert step(looking(resend), Looked(Unknown("?"), 1))[1] == (Send(7, 1, "marked"),)
    lane, commands = step(looking(), Looked(Unknown("?"), 1))
    assert (lane.phase, lane.block.code, commands) == (Phase.BLOCKED, "doubt", ())


def test_an_unknown_under_a_pause_sends_nothing():
    lane, _ = step(looking(replace(READ, in_doubt="resend")), Paused(1))
    lane, commands = step(lane, Looked(Unknown("?"), 2))
    assert (lane.phase, commands) == (Phase.READY, ())


def test_without_window_and_look_a_doubt_is_marked_or_held():
    blind, _ = step(sending(BLIND), Answered(InDoubt("cut"), 0, 1))
    assert step(blind, Woke(3))[1] == (Send(7, 1, "marked"),)
    held, _ = step(sending(HOLD), Answered(InDoubt("cut"), 0, 1))
    lane, commands = step(held, Woke(3))
    assert (lane.phase, lane.block.code, commands) == (Phase.BLOCKED, "doubt", ())


def test_a_marked_part_stays_marked():
    lane, _ = run(sending(BLIND), Answered(InDoubt("cut"), 0, 1), Woke(3))
    lane, _ = run(lane, Answered(NotSent("refused"), 3, 4))
    assert step(lane, Woke(9))[1] == (Send(7, 1, "marked"),)


def test_a_refused_report_blocks_the_lane_until_a_person_acts():
    refused = Rejected("discord.50035", "report", "too long", "shorten it")
    lane, commands = step(sending(), Answered(refused, 0, 1))
    assert (lane.phase, commands) == (Phase.BLOCKED, ())
    assert lane.block == Block("report", "too long (discord.50035)", "shorten it", 1)
    assert step(lane, Retried(2))[1] == (Send(7, 1, "plain"),)
    assert step(lane, Left(2))[1] == (Fetch(),)


def test_a_refused_configuration_is_probed_ever_more_rarely():
    refused = Rejected("discord.401", "config", "no", "new token")
    lane, (wake,) = step(sending(), Answered(refused, 0, 0))
    waits, now = [wake.at], wake.at
    for _ in range(4):
        lane, commands = step(lane, Woke(now))
        assert (lane.phase, commands) == (Phase.PROBING, (Probe(7),))
        lane, (wake,) = step(lane, Probed((Problem("unreachable", "d", "h"),), now))
        assert lane.block.since == 0, "blocked since the refusal, not since the last probe"
        waits.append(wake.at - now)
        now = wake.at
    assert [wait / 60 for wait in waits] == [1, 5, 15, 60, 60]
    lane, _ = step(lane, Woke(now))
    lane, commands = step(lane, Probed((), now))
    assert commands == (Send(7, 1, "plain"),)
    lane, (wake,) = step(lane, Answered(refused, now, now))
    assert wake.at == now + 3600, "a probe that promised too much does not begin at a minute again"
    lane, _ = run(lane, Retried(now), Answered(OK, now, now), Settled(now))
    assert lane.probes == 0


def test_a_probe_without_a_block_begins_one():
    probing = replace(sending(), phase=Phase.PROBING)
    lane, _ = step(probing, Probed((Problem("c", "d", "h"),), 5))
    assert (lane.phase, lane.block.since) == (Phase.BLOCKED, 5)


def test_an_exception_blocks_and_a_send_is_in_doubt():
    lane, commands = step(sending(), Broke("ValueError", 0, 1))
    assert (lane.phase, lane.block.code, commands) == (Phase.BLOCKED, "channel_bug", ())
    assert lane.head.parts[0].doubt == Doubt(0, 1)
    lane, _ = step(looking(), Broke("ValueError", 1, 2))
    assert lane.head.parts[0].doubt == Doubt(-math.inf, -100)


def test_a_postponed_send_asks_again_at_the_given_time():
    lane, commands = step(sending(), Postponed(5, "its file is gone", 1))
    assert (lane.phase, lane.reason, commands) == (Phase.WAITING, "its file is gone", (WakeAt(5),))


def test_a_hindrance_blocks_and_its_end_lets_go_on():
    lane, _ = step(sending(), Hindered("disk_full", "full", "make room", 1))
    assert lane.block.code == "disk_full"
    assert step(lane, Cleared("spool_replaced", 2)) == (lane, ())
    assert step(lane, Cleared("disk_full", 2))[1] == (Send(7, 1, "plain"),)


def test_a_hindrance_of_an_empty_lane_ends_in_a_fetch():
    lane, _ = step(Lane(), Hindered("spool_replaced", "gone", "put it back", 1))
    assert lane.phase is Phase.BLOCKED
    lane, commands = step(lane, Cleared("spool_replaced", 2))
    assert (lane.phase, commands) == (Phase.EMPTY, (Fetch(),))


def test_an_archive_that_failed_is_tried_again_without_sending():
    lane, _ = step(sending(), Answered(OK, 0, 1))
    lane, _ = step(lane, Hindered("disk_full", "full", "make room", 2))
    assert step(lane, Cleared("disk_full", 3))[1] == (Settle(7),)


def test_a_pause_lets_the_attempt_end_and_sends_nothing_more():
    lane, commands = step(sending(parts=2), Paused(1))
    assert (lane.phase, commands) == (Phase.SENDING, ())
    lane, commands = step(lane, Answered(OK, 0, 2))
    assert (lane.phase, commands) == (Phase.READY, ())
    lane, commands = step(lane, Resumed(3))
    assert commands == (Send(7, 2, "plain"),)


def test_a_pause_ends_a_wait_and_a_resume_of_a_running_lane_changes_nothing():
    lane, _ = step(sending(), Answered(NotSent("x"), 0, 1))
    lane, commands = step(lane, Paused(2))
    assert (lane.phase, lane.wake_at, commands) == (Phase.READY, None, ())
    running = sending()
    assert step(running, Resumed(1)) == (running, ())


def test_a_pause_of_a_blocked_lane_stays_blocked():
    lane, _ = step(sending(), Answered(Rejected("c", "report", "d", "h"), 0, 1))
    lane, _ = step(lane, Paused(2))
    assert (lane.phase, lane.paused) == (Phase.BLOCKED, True)
    lane, commands = step(lane, Retried(3))
    assert (lane.phase, commands) == (Phase.READY, ())


def test_what_is_not_in_the_table_raises_and_changes_nothing():
    lane = Lane()
    with pytest.raises(IllegalEventError, match="Settled in phase empty"):
        step(lane, Settled(1))
    with pytest.raises(IllegalEventError, match="no head"):
        step(Lane(phase=Phase.SENDING), Answered(NotSent("x"), 0, 1))
    assert lane == Lane()


def test_what_mends_itself_does_not_take_the_place_of_what_needs_a_person():
    lane, _ = step(sending(), Answered(Rejected("c", "report", "d", "h"), 0, 1))
    assert step(lane, Hindered("spool_replaced", "gone", "put it back", 2)) == (lane, ())
    lane, _ = step(lane, Hindered("disk_error", "I/O error", "restart", 3))
    assert lane.block.code == "disk_error"
    assert step(lane, Hindered("ledger", "I/O error", "restart", 4)) == (lane, ())


# --- accepted, where a confirmation is asked for ---------------------------------------------


@pytest.mark.parametrize("policy", [DEDUP, BLIND, HOLD, READ])
def test_what_was_accepted_and_not_confirmed_waits_for_a_person_and_is_never_repeated(policy):
    weak = InDoubt("accepted only", accepted=True)
    lane, commands = step(sending(policy), Answered(weak, 0, 1))
    assert (lane.phase, lane.block.code, commands) == (Phase.BLOCKED, "doubt", ())
    assert 'archive_on = "accepted"' in lane.block.hint
    lane, commands = step(lane, Retried(500))
    assert (lane.phase, lane.block.code, commands) == (Phase.BLOCKED, "doubt", ())
    assert lane.head.parts[0].doubt == Doubt(0, 1, accepted=True)


def test_an_accepted_part_that_arrives_after_a_restart_waits_for_a_person():
    arrived = Arrived(head(DEDUP, doubt=Doubt(0, 1, accepted=True)), 2)
    lane, commands = step(Lane(), arrived)
    assert (lane.block.code, commands) == ("doubt", ())


@pytest.mark.parametrize("paused", [False, True])
def test_a_look_that_finds_it_accepted_only_waits_for_a_person(paused):
    looking = replace(sending(BLIND, doubt=Doubt(0, 1)), phase=Phase.LOOKING, paused=paused)
    lane, commands = step(looking, Looked(Unknown("accepted only", accepted=True), 30))
    assert commands == ()
    if paused:
        assert lane.phase is Phase.READY
        lane, commands = step(lane, Resumed(31))
    assert (lane.phase, lane.block.code, commands) == (Phase.BLOCKED, "doubt", ())
