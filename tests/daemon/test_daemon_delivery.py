"""Reports go out in order, and each answer of a channel does what it must."""

import math

import anyio
import pytest
from daemon_house import BLIND, DEDUP, READABLE, SMALL, WHO, Owner

from ownerreportd.core.channel import Problem
from ownerreportd.core.lane_words import Phase
from ownerreportd.core.outcome import (
    Confirmed,
    Found,
    InDoubt,
    NotSent,
    Receipt,
    Rejected,
    Throttled,
    Unknown,
)
from ownerreportd.core.report import written_at
from ownerreportd.testing import Accepts, Hangs

REFUSED = Rejected("fake.50035", "report", "too odd", "shorten it")
NO_TOKEN = Rejected("fake.401", "config", "bad token", "a new token")


async def test_dropped_reports_are_delivered_oldest_first_and_archived(house):
    owner = Owner()
    here = house({"owner": owner})
    for number in (1, 2, 3):
        here.drop(f"{9 - number}.md", f"report {number}")
    async with here.running():
        await here.delivered()
    assert owner.texts == ["report 1", "report 2", "report 3"]
    assert (here.names("sent"), here.names("pending")) == (["6.md", "7.md", "8.md"], [])
    assert (here.root / "sent" / "8.md").read_text() == "report 1"
    assert here.rows("SELECT name, value FROM totals WHERE name IN ('sent', 'waiting')") == [
        ("sent", 3), ("waiting", 0),
    ]  # fmt: skip


async def test_every_part_is_one_attempt_and_the_receipts_are_kept(house):
    owner = Owner(can=SMALL)
    here = house({"owner": owner})
    here.drop("a.md", "0123456789AB")
    async with here.running():
        await here.delivered()
        report = await here.desk.report("a.md")
    assert "".join(owner.texts) == "0123456789AB"
    assert [part["receipt"]["id"] for part in report["deliveries"][0]["parts"]] == ["m1", "m2"]
    assert (report["state"], report["folder"]) == ("sent", "sent")


async def test_the_first_failure_stops_everything_behind_it(house):
    owner = Owner(REFUSED)
    here = house({"owner": owner})
    here.drop("a.md", "first")
    here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: here.code == "report")
        status = await here.desk.status()
    assert (owner.texts, len(owner.sent)) == ([], 1)
    assert (status["state"], status["code"], status["waiting"]) == ("blocked", "report", 2)
    assert status["head"]["last_error"] == "too odd"
    assert here.names("pending") == ["a.md", "b.md"]


async def test_not_sent_is_tried_again_until_it_works(house):
    owner = Owner(NotSent("no route"), NotSent("no route"))
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.delivered()
    assert (len(owner.sent), owner.texts) == (3, ["first"])
    assert len({part.key for part in owner.sent}) == 1


async def test_a_throttled_lane_waits_exactly_as_long_as_it_was_told(house):
    owner = Owner(Throttled(600))
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        assert here.lane.wake_at == here.clock.monotonic() + 600
        await here.retry()  # not before a throttled time
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        assert len(owner.sent) == 1
        here.pass_time(601)
        await here.delivered()
    assert owner.texts == ["first"]


async def test_a_long_throttle_survives_a_restart(house):
    here = house({"owner": Owner(Throttled(600))})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
    clock = here.clock
    clock.advance(100)
    owner = Owner()
    here = house({"owner": owner}, clock=clock)
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        assert here.lane.wake_at == pytest.approx(clock.monotonic() + 500)
        assert owner.sent == []


async def test_a_pause_within_the_limit_is_kept_between_parts_reports_and_restarts(house):
    """It is no trouble: nothing is said of it, and nobody is to look."""
    paced = [Confirmed(Receipt(f"m{number}"), pause_s=5) for number in range(9)]
    owner = Owner(*paced, can=SMALL)
    here = house({"owner": owner})
    here.drop("a.md", "first of all, and a second part")
    here.drop("b.md", "second")
    async with here.running():
        for count in (1, 2, 3):
            await here.until(lambda count=count: len(owner.accepted) == count)
            await here.until(lambda: here.lane.phase is Phase.WAITING)
            assert (await here.desk.status())["state"] == "sending"
            await here.retry()
            assert len(owner.sent) == count
            if count < 3:
                here.pass_time(5)
    here.clock.advance(2)
    count = len(owner.accepted)
    here = house({"owner": owner}, clock=here.clock)
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        assert here.lane.paced
        assert here.lane.wake_at == pytest.approx(here.clock.monotonic() + 3)
        assert len(owner.accepted) == count
        here.pass_time(3)
        await here.until(lambda: len(owner.accepted) == count + 1)
    assert "lane.waiting" not in here.kinds()


@pytest.mark.parametrize(("said_s", "kept_s"), [(math.nan, 0), (-1, 0), (math.inf, 86_400)])
async def test_a_pause_that_makes_no_sense_does_not_stop_the_queue_for_ever(house, said_s, kept_s):
    owner = Owner(Confirmed(Receipt("m1"), pause_s=said_s))
    here = house({"owner": owner})
    here.drop("a.md", "first")
    here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: here.names("sent"))
        here.pass_time(kept_s)
        await here.delivered()
    assert owner.texts == ["first", "second"]


async def test_a_refused_configuration_is_probed_and_mends_itself(house):
    owner = Owner(NO_TOKEN)
    owner.problems = [Problem("fake.401", "bad token", "a new token")]
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "config")
        here.pass_time(61)
        await here.until(lambda: here.lane.probes == 2)
        assert (here.code, len(owner.sent)) == ("config", 1)
        owner.problems = []
        here.pass_time(301)
        await here.delivered()
    assert owner.texts == ["first"]


async def test_a_channel_that_raises_blocks_and_leaves_the_part_in_doubt(house):
    owner = Owner(ValueError("boom"))
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "channel_bug")
        assert "ValueError" in here.lane.block.reason
        part = (await here.desk.report("a.md"))["deliveries"][0]["parts"][0]
        assert part["state"] == "in_doubt"
        await here.retry()
        await here.delivered()
    assert owner.texts == ["first"]


async def test_a_channel_that_cannot_render_a_report_blocks_and_does_not_end_the_daemon(house):
    owner = Owner(broken_at="odd")
    here = house({"owner": owner})
    here.drop("a.md", "odd")
    here.drop("b.md", "even")
    async with here.running():
        await here.until(lambda: here.code == "channel_bug")
        assert (await here.desk.status())["head"]["name"] == "a.md"
        report = await here.skip("a.md")
        assert report["state"] == "held"
        await here.delivered()
    assert owner.texts == ["even"]
    assert here.names("held") == ["a.md"]


async def test_a_channel_is_told_when_the_file_was_last_written(house):
    seen = []

    class Reader(Owner):
        def render(self, report):
            seen.append(report.written)
            return super().render(report)

    here = house({"owner": Reader()})
    mtime_ns = here.drop("a.md", "first").stat().st_mtime_ns
    async with here.running():
        await here.delivered()
    assert set(seen) == {written_at(mtime_ns)}


async def test_a_hanging_channel_is_cut_off_and_its_part_in_doubt(house):
    owner = Owner(Hangs(accepts=True))
    here = house({"owner": owner}, timeout_s=0.05)
    here.drop("a.md", "first")
    async with here.running():
        await here.delivered()
    assert owner.texts == ["first"], "the repeat with the same key is no second message"
    assert [part.form for part in owner.sent] == ["plain", "plain"]


async def test_what_the_channel_merely_accepted_is_no_confirmation_unless_asked_for(house):
    accepted = Confirmed(Receipt("x", proof="accepted"))
    here = house({"owner": Owner(accepted, can=BLIND)}, in_doubt="hold")
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
    assert here.names("sent") == []


@pytest.mark.parametrize("can", [BLIND, DEDUP, READABLE])
async def test_a_receipt_that_is_weaker_than_promised_is_never_sent_again_by_itself(house, can):
    """Whatever the channel could do about a doubt: no repeat would bring a better receipt."""
    weak = Confirmed(Receipt("x", proof="accepted"))
    owner = Owner(*[weak] * 9, can=can)
    here = house({"owner": owner}, in_doubt="resend")
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
        assert 'archive_on = "accepted"' in here.lane.block.hint
        here.pass_time(86_400)
        await here.retry()
        await here.until(lambda: here.code == "doubt")
    here = house({"owner": owner}, clock=here.clock, in_doubt="resend")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
        assert (len(owner.sent), owner.looked, here.names("sent")) == (1, [], [])
        await here.resolve("head", "resend")
        await here.until(lambda: here.code == "doubt")
        assert [part.form for part in owner.sent] == ["plain", "marked"]
        await here.resolve("head", "sent")
        await here.delivered()


async def test_a_look_whose_receipt_is_weaker_than_promised_confirms_nothing(house):
    found = Found(Receipt("x", proof="accepted"))
    owner = Owner(Accepts(InDoubt("cut")), can=READABLE, looks=[found])
    here = house({"owner": owner}, in_doubt="resend", timeout_s=0.01)
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.lane.reason.startswith("a part is in doubt"))
        here.pass_time(1)
        await here.until(lambda: here.code == "doubt")
    owner.looks.append(Unknown("no more to be read"))
    here = house({"owner": owner}, clock=here.clock, in_doubt="resend", timeout_s=0.01)
    async with here.running():
        await here.until(lambda: here.code == "doubt")
    assert (len(owner.sent), len(owner.looked), here.names("sent")) == (1, 1, [])


async def test_a_weak_receipt_of_a_direct_send_is_in_doubt_and_says_what_to_do(house):
    weak = Confirmed(Receipt("x", proof="accepted"))
    here = house({"owner": Owner(weak, can=BLIND)}, in_doubt="resend")
    await here.desk.pause(destination=None, who=WHO)
    here.drop("a.md", "first")
    async with here.running():
        await here.scanned()
        answer = await here.send("a.md", "owner")
    assert answer["outcome"] == "in_doubt"
    assert "the queue finds out" not in answer["hint"]
    assert "resolve ID" in answer["hint"]


async def test_an_accepted_report_is_archived_where_the_operator_wants_it_so(house):
    accepted = Confirmed(Receipt("x", proof="accepted"))
    here = house({"owner": Owner(accepted, can=BLIND)}, archive_on="accepted")
    here.drop("a.md", "first")
    async with here.running():
        await here.delivered()
        report = await here.desk.report("a.md")
    assert report["deliveries"][0]["parts"][0]["receipt"]["proof"] == "accepted"


async def test_a_report_for_two_goes_to_sent_when_both_have_it_and_never_twice_to_one(house):
    first, second = Owner(), Owner(REFUSED)
    here = house({"first": first, "second": second}, to=("first", "second"))
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.code == "report")
        assert (first.texts, here.names("sent")) == (["text"], [])
        await here.retry()
        await here.delivered()
    assert (first.texts, second.texts) == (["text"], ["text"])
    assert len(first.sent) == 1


async def test_a_name_that_is_not_configured_is_replaced_by_the_defaults_and_said(house):
    owner, phone = Owner(), Owner()
    here = house({"owner": owner, "phone": phone})
    here.drop("a.md", "---\nto: [nobody, phone]\n---\ntext\n")
    async with here.running():
        await here.delivered()
    assert "'nobody'" in owner.texts[0]
    assert len(phone.texts) == 1
    assert "report.warning" in here.kinds()


async def test_secrets_are_taken_out_of_what_a_channel_says(house):
    owner = Owner(Rejected("c", "config", "token s3cret is bad", "do not use s3cret"))
    owner.problems = [Problem("c", "s3cret again", "not s3cret")]
    here = house({"owner": owner}, redact=lambda text: text.replace("s3cret", "***"))
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.code == "config")
        here.pass_time(61)
        await here.until(lambda: here.lane.probes == 2)
        status = await here.desk.status()
    assert "s3cret" not in repr(status)
    assert "s3cret" not in repr(here.rows("SELECT fields FROM events"))
    assert "s3cret" not in repr(here.rows("SELECT detail FROM attempts"))


async def test_a_probe_without_an_answer_is_no_all_clear(house):
    class Silent(Owner):
        async def check(self):
            await anyio.sleep_forever()

    owner = Silent(NO_TOKEN)
    here = house({"owner": owner}, timeout_s=0.01)
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.code == "config")
        here.pass_time(61)
        await here.until(lambda: here.lane.probes == 2)
    assert len(owner.sent) == 1


async def test_a_stop_lets_the_attempt_in_flight_end_and_archives_it(house):
    class Slow(Owner):
        async def send(self, part):
            outcome = await super().send(part)
            await stopping.wait()
            return outcome

    stopping = anyio.Event()
    owner = Slow()
    here = house({"owner": owner}, timeout_s=5)
    here.drop("a.md", "first")
    here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: len(owner.sent) == 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.engine.stop)
            await anyio.lowlevel.checkpoint()
            stopping.set()
    assert (owner.texts, here.names("sent")) == (["first"], ["a.md"])


async def test_a_stop_cuts_off_what_takes_too_long_and_it_is_in_doubt(house):
    owner = Owner(Hangs(accepts=True), can=BLIND)
    here = house({"owner": owner}, stop_grace_s=0.01, timeout_s=60)
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: len(owner.sent) == 1)
    assert here.rows("SELECT outcome FROM attempts") == [("in_doubt",)]
    again = Owner(can=BLIND)
    here = house({"owner": again}, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert again.texts == ["(possible duplicate) first"]


async def test_a_throttle_and_a_refusal_of_the_repeat_do_not_end_a_doubt(house):
    owner = Owner(Accepts(InDoubt("cut")), Throttled(1), REFUSED, can=BLIND)
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING and len(owner.sent) == 2)
        here.pass_time(2)
        await here.until(lambda: here.code == "report")
        part = (await here.desk.report("a.md"))["deliveries"][0]["parts"][0]
        assert part["state"] == "in_doubt"
        await here.retry()
        await here.delivered()
    assert owner.texts == ["first", "(possible duplicate) first"]
