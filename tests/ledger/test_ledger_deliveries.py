"""Attempts, doubt, receipts: what follows from each answer, in rows and in events."""

import json

import pytest
from ledger_tools import AT, admit, attempt, frozen, rows

from ownerreportd.core.errors import NotFoundError, UsageError
from ownerreportd.core.outcome import (
    Confirmed,
    InDoubt,
    NotSent,
    Receipt,
    Rejected,
    Throttled,
)
from ownerreportd.ledger import deliveries, lanes, queue, views
from ownerreportd.ledger.deliveries import Bound, Pause
from ownerreportd.ledger.frozen import thaw
from ownerreportd.ledger.lanes import KeptLane

REFUSED = Rejected("c.1", "report", "too odd", "shorten it")


def part(ledger, number=1):
    names = "state, form, doubt_since, doubt_last, receipt_id"
    return rows(ledger, f"SELECT {names} FROM parts WHERE number = ?", number)[0]


@pytest.fixture
def delivery(ledger):
    return frozen(ledger, admit(ledger, b"a.md")[0], parts=2)


# --- attempts ------------------------------------------------------------------------------------


def test_a_confirmation_keeps_the_receipt_and_the_last_one_ends_the_delivery(ledger, delivery):
    attempt(ledger, delivery, 1, Confirmed(Receipt("m1", "https://x", note="n")))
    assert part(ledger) == ("confirmed", "plain", None, None, "m1")
    assert rows(ledger, "SELECT state FROM deliveries") == [("waiting",)]
    attempt(ledger, delivery, 2, Confirmed(Receipt("m2")))
    assert rows(ledger, "SELECT state FROM deliveries") == [("confirmed",)]
    with ledger.reading() as db:
        assert queue.final_folder(db, 1) == "sent"
        assert [receipt["id"] for receipt in views.receipts(db, delivery)] == ["m1", "m2"]


@pytest.mark.parametrize("outcome", [NotSent("x"), Throttled(9, "x"), REFUSED])
def test_what_was_not_accepted_leaves_no_doubt_and_clears_none(ledger, delivery, outcome):
    attempt(ledger, delivery, 1, outcome)
    assert part(ledger) == ("waiting", "plain", None, None, None)
    attempt(ledger, delivery, 1, InDoubt("cut"), AT + 10, AT + 11)
    attempt(ledger, delivery, 1, outcome, AT + 20, AT + 21)
    assert part(ledger) == ("waiting", "plain", AT + 10, AT + 11, None)


def test_doubt_begins_with_the_first_doubtful_attempt_and_ends_with_the_last(ledger, delivery):
    attempt(ledger, delivery, 1, InDoubt("cut"), AT, AT + 5)
    attempt(ledger, delivery, 1, InDoubt("cut"), AT + 10, AT + 15, form="marked")
    assert part(ledger) == ("waiting", "marked", AT, AT + 15, None)
    attempt(ledger, delivery, 1, Confirmed(Receipt("m1")), AT + 20, AT + 21, form="marked")
    assert part(ledger) == ("confirmed", "marked", None, None, "m1")


def test_an_attempt_that_is_open_is_a_doubt_for_whoever_reads_the_queue(ledger, delivery):
    attempt(ledger, delivery, 1, None, AT)
    with ledger.reading() as db:
        first, second = queue.next_delivery(db, 1).parts
    assert (first.doubt_since, first.doubt_last) == (AT, AT)
    assert second.doubt_since is None
    with ledger.transaction() as db:
        deliveries.clear_doubt(db, delivery, 1, AT + 1, "absent")
    with ledger.reading() as db:
        assert queue.next_delivery(db, 1).parts[0].doubt_since is None
    with ledger.transaction() as db:
        assert deliveries.end_open_attempts(db, AT + 2, "stopped") == 0


def test_open_attempts_of_a_dead_process_put_their_parts_in_doubt(ledger, delivery):
    attempt(ledger, delivery, 1, None, AT)
    with ledger.transaction() as db:
        assert deliveries.end_open_attempts(db, AT + 9, "the program stopped") == 1
        assert deliveries.end_open_attempts(db, AT + 9, "the program stopped") == 0
    assert part(ledger) == ("waiting", "plain", AT, AT + 9, None)


def test_a_confirmed_part_is_never_in_doubt_again(ledger, delivery):
    attempt(ledger, delivery, 1, None, AT)
    attempt(ledger, delivery, 1, Confirmed(Receipt("m1")), AT + 1)
    with ledger.transaction() as db:
        deliveries.end_open_attempts(db, AT + 9, "the program stopped")
    assert part(ledger) == ("confirmed", "plain", None, None, "m1")


def test_a_cancelled_attempt_never_was(ledger, delivery):
    made = attempt(ledger, delivery, 1, None)
    with ledger.transaction() as db:
        deliveries.cancel_attempt(db, made)
        assert not queue.attempted(db, 1)


def test_events_tell_of_each_step_with_rising_numbers(ledger, delivery):
    attempt(ledger, delivery, 1, REFUSED)
    attempt(ledger, delivery, 1, Confirmed(Receipt("m1")))
    told = rows(ledger, "SELECT id, kind, fields FROM events ORDER BY id")
    assert [kind for _, kind, _ in told] == [
        "report.admitted", "part.sending", "part.failed", "part.sending", "part.confirmed",
    ]  # fmt: skip
    failed = json.loads(told[2][2])
    assert (failed["outcome"], failed["code"], failed["part"], failed["parts"]) == (
        "rejected", "c.1", 1, 2,
    )  # fmt: skip
    numbers = [number for number, _, _ in told]
    assert numbers == sorted(set(numbers))


def test_numbers_of_events_rise_even_where_the_last_was_removed(ledger):
    admit(ledger, b"a.md")
    last = rows(ledger, "SELECT max(id) FROM events")[0][0]
    with ledger.transaction() as db:
        db.execute("DELETE FROM events")
    admit(ledger, b"b.md")
    assert rows(ledger, "SELECT min(id) FROM events")[0][0] > last


# --- freezing and thawing ------------------------------------------------------------------------


def test_frozen_parts_come_back_as_the_same_bytes_in_both_forms(ledger, delivery):
    with ledger.reading() as db:
        plain, marked = (queue.load_part(db, delivery, 2, form) for form in ("plain", "marked"))
    assert (plain.payload, marked.payload) == (b"part 2", b"(mark) part 2")
    assert (plain.key, plain.count, len(plain.key)) == (marked.key, 2, 24)


def test_only_what_was_never_attempted_is_thawed(ledger, delivery):
    other = frozen(ledger, 1, Bound("other", "fake", "room"), ordinal=1)
    attempt(ledger, delivery, 1, NotSent("x"))
    with ledger.transaction() as db:
        thaw(db, 1)
    assert rows(ledger, "SELECT id FROM deliveries") == [(delivery,)]
    assert rows(ledger, "SELECT DISTINCT delivery FROM parts") == [(delivery,)]
    assert other != delivery


def test_a_resend_gives_new_keys_to_what_is_unfinished_alone(ledger, delivery):
    attempt(ledger, delivery, 1, Confirmed(Receipt("m1")))
    attempt(ledger, delivery, 2, InDoubt("cut"), form="marked")
    before = dict(rows(ledger, "SELECT number, key FROM parts"))
    with ledger.transaction() as db:
        deliveries.raise_generation(db, delivery, 2, AT, "me")
    after = dict(rows(ledger, "SELECT number, key FROM parts"))
    assert (before[1] == after[1], before[2] == after[2]) == (True, False)
    assert part(ledger, 2) == ("waiting", "marked", None, None, None)


def test_an_asserted_part_ends_as_asserted_by_whom(ledger, delivery):
    attempt(ledger, delivery, 1, Confirmed(Receipt("m1")))
    with ledger.transaction() as db:
        deliveries.assert_part(db, delivery, 2, AT, "me")
        assert queue.final_folder(db, 1) == "sent"
        assert queue.maybe_seen(db, 1)
    assert rows(ledger, "SELECT state, ended_by FROM deliveries") == [("asserted", "me")]


def test_a_twin_that_was_asserted_cannot_be_told_apart(ledger, delivery):
    second = frozen(ledger, admit(ledger, b"b.md")[0], parts=2)
    with ledger.transaction() as db:
        assert not deliveries.asserted_twin(db, second, 1)
        deliveries.assert_part(db, delivery, 1, AT, "me")
        assert deliveries.asserted_twin(db, second, 1)
        assert not deliveries.asserted_twin(db, second, 2)


def test_known_receipts_are_those_of_other_parts_at_the_same_target(ledger, delivery):
    attempt(ledger, delivery, 1, Confirmed(Receipt("m1")))
    attempt(ledger, delivery, 2, Confirmed(Receipt("m2")))
    with ledger.reading() as db:

        def known(target, number):
            return deliveries.known_receipts(
                db, "fake", target, except_delivery=delivery, except_number=number
            )

        assert known("room", 1) == {"m2"}
        assert known("room", 3) == {"m1", "m2"}
        assert known("elsewhere", 3) == frozenset()


# --- throttles -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "left_s"),
    [(AT, 60), (AT + 50, 10), (AT + 60, 0), (AT + 9999, 0), (AT - 9999, 60)],
)
def test_a_throttle_lasts_exactly_as_long_and_never_longer_than_it_was_given(ledger, now, left_s):
    with ledger.transaction() as db:
        deliveries.throttle(db, "owner", Pause(60), AT)
        assert deliveries.pause(db, "owner", now) == Pause(left_s)
        assert deliveries.pause(db, "phone", now) == Pause()
        deliveries.throttle(db, "owner", Pause(0), AT)
        assert deliveries.pause(db, "owner", AT) == Pause()


def test_a_throttled_attempt_throttles_its_destination(ledger, delivery):
    attempt(ledger, delivery, 1, Throttled(30), AT, AT + 1)
    with ledger.reading() as db:
        assert deliveries.pause(db, "owner", AT + 11) == Pause(20)


def test_a_confirmation_can_name_the_pause_that_its_limit_needs(ledger, delivery):
    with ledger.transaction() as db:
        attempt = deliveries.begin_attempt(db, delivery, 1, "plain", AT)
        deliveries.end_attempt(db, attempt, Confirmed(Receipt("m"), pause_s=5), AT + 1)
        assert deliveries.pause(db, "owner", AT + 2) == Pause(4, paced=True)


# --- where a report belongs ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "folder"),
    [
        ((), None),
        (("withdrawn",), None),
        (("waiting", "confirmed"), None),
        (("confirmed", "asserted", "withdrawn"), "sent"),
        (("confirmed", "skipped"), "held"),
        (("skipped", "waiting"), None),
    ],
)
def test_the_folder_follows_from_how_the_deliveries_ended(ledger, states, folder):
    rid = admit(ledger, b"a.md")[0]
    for ordinal, state in enumerate(states):
        made = frozen(ledger, rid, Bound(f"d{ordinal}", "fake", "room"), ordinal=ordinal)
        with ledger.transaction() as db:
            if state != "waiting":
                deliveries.end_delivery(db, made, state, AT)
    with ledger.reading() as db:
        assert queue.final_folder(db, rid) == folder


def test_a_target_that_comes_back_gets_no_key_that_a_person_has_given_up(ledger, delivery):
    attempt(ledger, delivery, 1, InDoubt("cut"))
    with ledger.transaction() as db:
        deliveries.raise_generation(db, delivery, 1, AT, "uid 0")
        deliveries.end_delivery(db, delivery, "withdrawn", AT)
    frozen(ledger, 1)
    keys = rows(ledger, "SELECT key FROM parts WHERE number = 1 ORDER BY delivery")
    (first,) = rows(ledger, "SELECT key FROM attempts")
    assert keys[0] == keys[1] != first


def test_a_direct_delivery_stands_first_and_one_that_did_nothing_is_withdrawn(ledger, delivery):
    direct = frozen(ledger, 1, Bound("d", "fake", "d"), ordinal=-1, direct=True)
    with ledger.transaction() as db:
        assert queue.next_delivery(db, 1).id == direct
        assert queue.next_delivery(db, 1).direct
        deliveries.withdraw_unused_direct(db, AT)
        assert queue.next_delivery(db, 1).id == delivery
        assert queue.delivery_by_id(db, direct) is None
        assert queue.served_destinations(db, 1) == {"owner"}


def test_a_direct_delivery_in_doubt_stays(ledger, delivery):
    direct = frozen(ledger, 1, Bound("d", "fake", "d"), ordinal=-1, direct=True)
    attempt(ledger, direct, 1, InDoubt("cut"))
    with ledger.transaction() as db:
        deliveries.withdraw_unused_direct(db, AT)
        assert queue.next_delivery(db, 1).id == direct


# --- lanes ---------------------------------------------------------------------------------------


def test_a_lane_keeps_its_pause_and_its_trouble(ledger):
    with ledger.transaction() as db:
        assert lanes.load(db, "main") == KeptLane()
        lanes.set_paused(db, "main", paused=True, at=AT, who="me")
        lanes.keep(db, "main", KeptLane(state="blocked", code="config", since=AT), at=AT,
                   reason="no token", hint="a token")  # fmt: skip
        assert lanes.load(db, "main") == KeptLane(
            paused=True, state="blocked", code="config", since=AT, paused_at=AT
        )
        lanes.set_paused(db, "main", paused=False, at=AT + 1, who="me")
    told = [kind for (kind,) in rows(ledger, "SELECT kind FROM events ORDER BY id")]
    assert told == ["queue.paused", "lane.blocked", "queue.resumed"]


# --- views ---------------------------------------------------------------------------------------


@pytest.fixture
def known(ledger):
    """Three reports: `abcd-1`, `abcd-2`, and one whose id is another's beginning."""
    for number, name in enumerate(("abcd-1", "abcd-2", "abcd"), 1):
        rid = admit(ledger, b"%d.md" % number)[0]
        with ledger.transaction() as db:
            db.execute("UPDATE reports SET id = ? WHERE rid = ?", (name, rid))
    return ledger


@pytest.mark.parametrize(
    ("ref", "rid"), [("abcd-1", 1), ("abcd", 3), ("2.md", 2), ("head", 1), ("abcd-2", 2)]
)
def test_a_report_is_found(known, ref, rid):
    with known.reading() as db:
        assert views.find(db, ref) == rid


def test_a_prefix_must_be_long_enough_and_mean_one(known):
    with known.reading() as db:
        with pytest.raises(
            UsageError, match=r"several reports begin with 'abcd-': abcd-1 and abcd-2"
        ):
            views.find(db, "abcd-")
        for ref in ("abc", "zzzz", "", "\udcff.md", "\ud800\ud800", "x" * 100, "a\U0010ffff" * 3):
            with pytest.raises(NotFoundError):
                views.find(db, ref)


def test_a_name_that_is_not_utf8_is_found_as_the_command_line_gives_it(ledger):
    rid = admit(ledger, b"\xff.md")[0]
    with ledger.reading() as db:
        assert views.find(db, "\udcff.md") == rid


def test_a_name_means_the_report_that_waits_else_the_newest(ledger):
    first = admit(ledger, b"a.md")[0]
    with ledger.transaction() as db:
        db.execute("UPDATE reports SET state = 'sent' WHERE rid = ?", (first,))
    second = admit(ledger, b"a.md")[0]
    with ledger.transaction() as db:
        assert views.find(db, "a.md") == second
        db.execute("UPDATE reports SET state = 'held' WHERE rid = ?", (second,))
        assert views.find(db, "a.md") == second
        db.execute("UPDATE reports SET state = 'waiting' WHERE rid = ?", (first,))
        assert views.find(db, "a.md") == first


def test_without_a_queue_there_is_no_head(ledger):
    with ledger.reading() as db, pytest.raises(NotFoundError, match="nothing is waiting"):
        views.find(db, "head")


def test_one_report_shows_every_part_attempt_and_receipt(ledger, delivery):
    attempt(ledger, delivery, 1, InDoubt("cut"))
    attempt(ledger, delivery, 1, Confirmed(Receipt("m1", "https://x")))
    attempt(ledger, delivery, 2, InDoubt("cut again"))
    with ledger.reading() as db:
        shown = views.one_report(db, 1)
        with pytest.raises(NotFoundError):
            views.one_report(db, 99)
    first, second = shown["deliveries"][0]["parts"]
    assert [found["outcome"] for found in first["attempts"]] == ["in_doubt", "confirmed"]
    assert (first["state"], first["receipt"]["id"], first["receipt"]["link"]) == (
        "confirmed", "m1", "https://x",
    )  # fmt: skip
    assert (second["state"], second["receipt"]) == ("in_doubt", None)
    assert second["doubt_since"] == "1970-01-12T13:46:40.000Z"
    assert second["attempts"][0]["duration_s"] == 1
    assert (shown["position"], shown["state"]) == (1, "waiting")
    json.dumps(shown)


def test_figures_are_those_of_the_queue(ledger, delivery):
    with ledger.reading() as db:
        assert views.figures(db)["last_delivery"] is None
    attempt(ledger, delivery, 1, Confirmed(Receipt("m1")))
    with ledger.reading() as db:
        figures = views.figures(db)
        head = views.head_figures(db, 1, delivery)
        assert views.head_figures(db, 99, None) == {}
        assert views.remote_delivery_known(db) == "fake"
        assert views.known_id(db, "id-1")["rid"] == 1
    assert (figures["waiting"], figures["oldest_at"]) == (1, AT)
    assert figures["last_delivery"]["receipt"]["id"] == "m1"
    assert (head["attempts"], head["last_outcome"], head["last_error"]) == (1, "confirmed", None)
