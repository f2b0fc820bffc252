"""Doubt belongs to the part and is sticky: repeated in the window, looked up, marked or held."""

import os
from datetime import timedelta

import pytest
from daemon_house import BLIND, READABLE, SMALL, Owner

from ownerreportd.core.channel import Capabilities
from ownerreportd.core.errors import DoesNotApplyError, UsageError
from ownerreportd.core.lane_words import Phase
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    InDoubt,
    NotSent,
    Receipt,
    Rejected,
    Unknown,
)
from ownerreportd.ledger import set_aside_ledger
from ownerreportd.ledger.restored import doubt_everything_open
from ownerreportd.ledger.store import LedgerError
from ownerreportd.spool import open_spool
from ownerreportd.testing import Accepts, Hangs

LOST = Accepts(InDoubt("cut"))
NEVER = InDoubt("cut")
BOTH = Capabilities(text_max=2000, dedup_window_s=120, read_back=True)


async def test_inside_the_window_the_same_key_is_repeated_and_the_owner_sees_one(house):
    owner = Owner(LOST, LOST, can=BOTH)
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.delivered()
    assert owner.texts == ["first"]
    assert (len(owner.sent), len({part.key for part in owner.sent})) == (3, 1)
    assert owner.looked == []


async def test_after_the_window_the_channel_is_searched_and_the_part_is_found(house):
    owner = Owner(LOST, can=BOTH)
    here = house({"owner": owner}, timeout_s=20, backoff_s=200)
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        here.pass_time(201)
        await here.delivered()
        report = await here.desk.report("a.md")
    assert (owner.texts, len(owner.sent), len(owner.looked)) == (["first"], 1, 1)
    assert report["deliveries"][0]["parts"][0]["receipt"]["id"] == "m1"
    assert "part.resolved" in here.kinds()


async def test_what_is_provably_absent_is_sent_again_as_if_for_the_first_time(house):
    owner = Owner(NEVER, can=READABLE)
    here = house({"owner": owner}, timeout_s=20)
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.lane.reason.startswith("a part is in doubt"))
        assert owner.looked == [], "not before a late delivery can have come"
        here.pass_time(21)
        await here.delivered()
    assert owner.texts == ["first"]


async def test_a_look_that_may_work_later_is_repeated(house):
    owner = Owner(LOST, can=READABLE, looks=[Unknown("503", transient=True)])
    here = house({"owner": owner}, timeout_s=0.01)
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.lane.reason.startswith("a part is in doubt"))
        here.pass_time(1)
        await here.delivered()
    assert (owner.texts, len(owner.looked)) == (["first"], 2)


async def test_without_window_and_look_the_second_copy_says_that_it_may_be_one(house):
    owner = Owner(LOST, NotSent("refused"), can=BLIND)
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.delivered()
    assert owner.texts == ["first", "(possible duplicate) first"]
    assert [part.form for part in owner.sent] == ["plain", "marked", "marked"]


async def test_with_hold_a_person_decides(house):
    owner = Owner(LOST, can=BLIND)
    here = house({"owner": owner}, in_doubt="hold")
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
        assert len(owner.sent) == 1
        report = await here.resolve("a.md", "sent")
        await here.delivered()
        report = await here.desk.report("a.md")
    assert (report["state"], report["deliveries"][0]["state"]) == ("sent", "asserted")
    assert report["deliveries"][0]["ended_by"] == "uid 0 pid 1"
    assert len(owner.sent) == 1


async def test_resend_by_a_person_raises_the_generation_and_sends_the_marked_form(house):
    owner = Owner(LOST, can=BLIND)
    here = house({"owner": owner}, in_doubt="hold")
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
        await here.resolve("head", "resend")
        await here.delivered()
        report = await here.desk.report("a.md")
    assert [part.form for part in owner.sent] == ["plain", "marked"]
    assert len({part.key for part in owner.sent}) == 2
    assert report["deliveries"][0]["generation"] == 1


async def test_resolve_is_refused_where_nothing_is_in_doubt_or_too_much_is(house):
    first, second = Owner(Accepts(InDoubt("x")), can=BLIND), Owner(LOST, can=BLIND)
    here = house({"first": first, "second": second}, to=("first", "second"), in_doubt="hold")
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
        with pytest.raises(UsageError, match="unknown destination"):
            await here.resolve("a.md", "sent", "third")
        with pytest.raises(DoesNotApplyError):
            await here.resolve("a.md", "sent", "second")
        await here.send("a.md", "second")
        with pytest.raises(UsageError, match="several destinations: first, second"):
            await here.resolve("a.md", "sent")
        await here.resolve("a.md", "sent", "first")
        await here.resolve("a.md", "sent", "second")
        await here.delivered()
    assert (first.texts, second.texts) == (["text"], ["text"])


async def test_an_attempt_that_a_crash_left_open_is_in_doubt_and_looked_up(house):
    here = house({"owner": Owner(can=READABLE)})
    here.drop("a.md", "first")
    await here.engine.start()
    await here.scanned()
    found = await here.engine.intake.fetch()
    opened = here.custody.open_attempt(found.delivery.id, 1, "plain")
    owner = Owner(can=READABLE)
    owner._accept(opened.part)  # the channel had it, and the answer never came
    here = house({"owner": owner}, clock=here.clock, timeout_s=20)
    async with here.running():
        await here.until(lambda: here.lane.reason.startswith("a part is in doubt"))
        here.pass_time(21)
        await here.delivered()
    assert (owner.texts, owner.sent) == (["first"], [])


async def test_a_part_that_was_confirmed_before_the_crash_is_not_sent_again(house):
    here = house({"owner": Owner(Hangs(), can=SMALL)})
    here.drop("a.md", "0123456789ABCDEF")
    await here.engine.start()
    await here.scanned()
    delivery = (await here.engine.intake.fetch()).delivery.id
    opened = here.custody.open_attempt(delivery, 1, "plain")
    here.custody.close_attempt(opened.attempt, _confirmed())
    owner = Owner(can=SMALL)
    here = house({"owner": owner}, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert [part.number for part in owner.sent] == [2]


def _confirmed():
    return Confirmed(Receipt("m0"))


async def test_a_crash_between_the_last_part_and_the_archive_sends_nothing(house):
    here = house()
    here.drop("a.md", "first")
    await here.engine.start()
    await here.scanned()
    delivery = (await here.engine.intake.fetch()).delivery.id
    opened = here.custody.open_attempt(delivery, 1, "plain")
    here.custody.close_attempt(opened.attempt, _confirmed())
    owner = Owner()
    here = house({"owner": owner}, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert (owner.sent, here.names("sent")) == ([], ["a.md"])


async def test_after_a_failed_record_the_part_is_in_doubt_for_everybody(house, monkeypatch):
    """Whoever fetches the head anew, in this process too, must not take it for never sent."""
    owner = Owner(can=BLIND)
    here = house({"owner": owner}, in_doubt="hold")
    here.drop("a.md", "first")
    failing = True

    def close(custody, attempt, outcome):
        if failing:
            raise LedgerError("the ledger: input/output error", "disk_error")
        return whole(custody, attempt, outcome)

    whole = type(here.custody).close_attempt
    monkeypatch.setattr(type(here.custody), "close_attempt", close)
    async with here.running():
        await here.until(lambda: here.code == "disk_error")
        part = (await here.engine.intake.fetch()).delivery.parts[0]
        assert part.doubt_since is not None
        with pytest.raises(Exception, match="input/output error"):
            await here.retry()
        assert (here.code, len(owner.sent)) == ("disk_error", 1), "only a restart ends it"
    failing = False
    again = Owner(can=BLIND)
    here = house({"owner": again}, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert again.texts == ["(possible duplicate) first"]


async def test_an_answer_waits_for_room_to_be_recorded(house, monkeypatch):
    owner = Owner(can=BLIND)
    here = house({"owner": owner})
    here.drop("a.md", "first")
    left = [3]

    def close(custody, attempt, outcome):
        if left[0]:
            left[0] -= 1
            raise LedgerError("the ledger: database or disk is full", "disk_full")
        return whole(custody, attempt, outcome)

    whole = type(here.custody).close_attempt
    monkeypatch.setattr(type(here.custody), "close_attempt", close)
    async with here.running():
        await here.delivered()
    assert (owner.texts, left) == (["first"], [0])


async def test_while_an_answer_waits_for_room_the_status_says_so_and_a_stop_is_a_doubt(
    house, monkeypatch
):
    owner = Owner(can=BLIND)
    here = house({"owner": owner}, stop_grace_s=0.01)
    here.drop("a.md", "first")

    def close(custody, attempt, outcome):
        here.engine.tell()
        raise LedgerError("the ledger: database or disk is full", "disk_full")

    whole = type(here.custody).close_attempt
    monkeypatch.setattr(type(here.custody), "close_attempt", close)
    async with here.running():
        await here.until(lambda: here.courier.attempts.stalled is not None)
        status = await here.desk.status()
        assert (status["state"], status["code"]) == ("blocked", "disk_full")
    monkeypatch.setattr(type(here.custody), "close_attempt", whole)
    again = Owner(can=BLIND)
    here = house({"owner": again}, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert again.texts == ["(possible duplicate) first"]


@pytest.mark.parametrize(
    ("look", "texts"),
    [
        (Found(Receipt("m0")), []),
        (Absent(), ["first"]),
        (Unknown("cannot be read"), ["(possible duplicate) first"]),
    ],
)
async def test_with_a_new_ledger_everything_pending_is_in_doubt(house, look, texts):
    here = house({"owner": Owner(Rejected("c", "report", "d", "h"))})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "report")
    here.close()
    spool = open_spool(here.root)
    set_aside_ledger(here.root, spool.lock_fd)
    spool.close()
    owner = Owner(can=READABLE, looks=[look])
    here = house({"owner": owner}, clock=here.clock)
    async with here.running():
        await here.delivered()
        here.drop("b.md", "later")
        here.engine.nudge()
        await here.delivered()
    assert owner.texts == [*texts, "later"], "what came later is in no doubt"
    assert len(owner.looked) == 1


@pytest.mark.parametrize(
    ("look", "texts"),
    [
        (Found(Receipt("m0")), []),
        (Absent(), ["first", "second"]),
        (Unknown("cannot be read"), [f"(possible duplicate) {n}" for n in ("first", "second")]),
    ],
)
async def test_what_a_restored_ledger_calls_unsent_is_in_doubt(house, look, texts):
    here = house({"owner": Owner(Rejected("c", "report", "d", "h"))})
    here.drop("a.md", "first")
    here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: here.code == "report")
    for _ in range(2):  # twice is harmless
        with here.custody.ledger.transaction() as db:
            assert doubt_everything_open(db, here.clock.utc()) == 2
            last = db.execute("SELECT max(id) FROM events").fetchone()[0]
    here.close()
    owner = Owner(can=READABLE, looks=[look, look])
    here = house({"owner": owner}, clock=here.clock)
    async with here.running():
        await here.delivered()
        here.drop("c.md", "later")
        here.engine.nudge()
        await here.delivered()
        new = here.rows("SELECT min(id) FROM events WHERE id > ?", last)[0][0]
    assert owner.texts == [*texts, "later"], "what came later is in no doubt"
    assert len(owner.looked) == 2
    assert new > 1_600_000_000_000, "no earlier ledger came so far"


async def test_what_was_held_when_the_backup_was_made_is_searched_before_it_is_sent(house):
    here = house({"owner": Owner(Rejected("c", "report", "d", "h"))})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.skip("a.md")
        await here.until(lambda: here.names("held"))
    with here.custody.ledger.transaction() as db:
        assert doubt_everything_open(db, here.clock.utc()) == 1
    here.close()
    owner = Owner(can=READABLE, looks=[Found(Receipt("m0"))])
    here = house({"owner": owner}, clock=here.clock)
    async with here.running():
        await here.retry("a.md")
        await here.delivered(1)
    assert (owner.texts, len(owner.looked)) == ([], 1)


class Asked(Owner):
    """Notes from when on it was searched."""

    async def look(self, part, since, known):
        self.since = since
        return await super().look(part, since, known)


async def test_a_look_begins_nowhere_when_the_reports_own_times_lie_ahead(house):
    """The clock was ahead when the report came, and was put right: its times prove nothing."""
    owner = Asked(LOST, can=READABLE)
    here = house({"owner": owner}, timeout_s=20)
    right = here.clock.now()
    here.clock.set_now(right + timedelta(days=3))
    path = here.drop("a.md", "first")
    os.utime(path, (here.clock.utc(), here.clock.utc()))
    async with here.running():
        await here.until(lambda: here.lane.reason.startswith("a part is in doubt"))
    with here.custody.ledger.transaction() as db:
        db.execute("UPDATE reports SET ctime_ns = mtime_ns")
    here.close()
    here.clock.set_now(right)
    here = house({"owner": owner}, timeout_s=20, clock=here.clock)
    async with here.running():
        here.pass_time(21)
        await here.delivered()
    assert owner.since.timestamp() == 0
    assert owner.texts == ["first"]
