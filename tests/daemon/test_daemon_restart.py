"""Another configuration, or another run, at each stage of a report's life."""

from dataclasses import replace

import pytest
from daemon_house import BLIND, READABLE, SMALL, Owner

from ownerreportd.core.lane_words import Phase
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Receipt, Rejected
from ownerreportd.core.routing import Route
from ownerreportd.testing import Accepts

REFUSED = Rejected("c", "report", "too odd", "shorten it")


async def stopped_at(house, owner, code, **options):
    """A spool whose daemon stopped at its only report."""
    here = house({"owner": owner}, **options)
    here.drop("a.md", "0123456789ABCDEF")
    async with here.running():
        await here.until(lambda: here.code == code)
    return here.clock


async def test_a_frozen_report_goes_to_the_new_target(house):
    here = house({"owner": Owner()})
    here.drop("a.md", "text")
    await here.engine.start()
    await here.scanned()
    owner = Owner()
    here = house({"owner": owner}, targets={"owner": "new-room"}, clock=here.clock)
    async with here.running():
        await here.delivered()
        report = await here.desk.report("a.md")
    assert owner.texts == ["text"]
    assert [(d["target"], d["state"]) for d in report["deliveries"]][-1] == (
        "new-room",
        "confirmed",
    )


async def test_a_refused_report_goes_to_the_new_target_with_new_keys(house):
    first = Owner(REFUSED, can=SMALL)
    clock = await stopped_at(house, first, "report")
    owner = Owner(can=SMALL)
    here = house({"owner": owner}, targets={"owner": "new-room"}, clock=clock)
    async with here.running():
        await here.delivered()
    assert "".join(owner.texts) == "0123456789ABCDEF"
    assert not {part.key for part in owner.sent} & {part.key for part in first.sent}


async def test_what_was_confirmed_at_the_old_target_stays_on_record(house):
    clock = await stopped_at(house, Owner(Confirmed(Receipt("m1")), REFUSED, can=SMALL), "report")
    here = house({"owner": Owner(can=SMALL)}, targets={"owner": "new-room"}, clock=clock)
    async with here.running():
        await here.delivered()
        report = await here.desk.report("a.md")
    old, new = report["deliveries"]
    assert (old["target"], old["state"]) == ("room-owner", "withdrawn")
    assert old["parts"][0]["receipt"]["id"] == "m1"
    assert (new["target"], new["state"]) == ("new-room", "confirmed")
    assert [part["number"] for part in new["parts"]] == [2]
    assert here.channels["owner"].texts == ["BCDEF"]


async def test_a_target_that_comes_back_gets_only_what_neither_has(house):
    clock = await stopped_at(house, Owner(Confirmed(Receipt("m1")), REFUSED, can=SMALL), "report")
    here = house({"owner": Owner(REFUSED, can=SMALL)}, targets={"owner": "b"}, clock=clock)
    async with here.running():
        await here.until(lambda: here.code == "report")
    here = house({"owner": Owner(can=SMALL)}, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert here.channels["owner"].texts == ["BCDEF"]


async def test_what_is_complete_at_the_old_target_is_not_sent_to_the_new_one(house):
    owner, phone = Owner(), Owner(REFUSED)
    here = house({"owner": owner, "phone": phone}, to=("owner", "phone"))
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.code == "report")
    channels = {"owner": Owner(), "phone": Owner()}
    here = house(channels, to=("owner", "phone"), targets={"owner": "new"}, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert [len(channels[name].sent) for name in ("owner", "phone")] == [0, 1]


async def test_a_target_with_another_rendering_gets_the_whole(house):
    clock = await stopped_at(house, Owner(Confirmed(Receipt("m1")), REFUSED, can=SMALL), "report")
    here = house({"owner": Owner()}, targets={"owner": "new-room"}, clock=clock)
    async with here.running():
        await here.delivered()
    assert here.channels["owner"].texts == ["0123456789ABCDEF"]


async def test_a_part_in_doubt_stays_bound_to_its_old_target_until_it_is_resolved(house):
    owner = Owner(Accepts(InDoubt("cut")), can=READABLE)
    here = house({"owner": owner}, timeout_s=20)
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.lane.reason.startswith("a part is in doubt"))
    here = house({"owner": owner}, targets={"owner": "new-room"}, clock=here.clock, timeout_s=20)
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        here.pass_time(21)
        await here.until(lambda: here.states()["a.md"] == "sent")
        report = await here.desk.report("a.md")
    old = report["deliveries"][0]
    assert len(report["deliveries"]) == 1
    assert (old["target"], old["state"]) == ("room-owner", "confirmed")
    assert (len(owner.looked), len(owner.sent)) == (1, 1)


async def test_a_doubt_that_ends_well_at_the_old_target_leaves_the_rest_to_the_new_one(house):
    owner = Owner(Accepts(InDoubt("cut")), can=replace(SMALL, dedup_window_s=0))
    here = house({"owner": owner}, timeout_s=20)
    here.drop("a.md", "0123456789ABCDEF")
    async with here.running():
        await here.until(lambda: here.lane.reason.startswith("a part is in doubt"))
    here = house({"owner": owner}, targets={"owner": "new-room"}, clock=here.clock, timeout_s=20)
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        here.pass_time(21)
        await here.delivered()
        report = await here.desk.report("a.md")
    sent = [
        (d["target"], d["state"], [p["number"] for p in d["parts"] if p["state"] == "confirmed"])
        for d in report["deliveries"]
    ]
    assert sent == [("room-owner", "withdrawn", [1]), ("new-room", "confirmed", [2])]


@pytest.mark.parametrize(
    ("how", "texts"),
    [("sent", ["BCDEF"]), ("resend", ["(possible duplicate) 0123456789A", "BCDEF"])],
)
async def test_a_person_who_ends_a_doubt_at_the_old_target_sends_the_rest_to_the_new(
    house, how, texts
):
    can = replace(SMALL, dedup_window_s=0, read_back=False)
    first = Owner(Accepts(InDoubt("cut")), can=can)
    clock = await stopped_at(house, first, "doubt", in_doubt="hold")
    owner = Owner(can=can)
    here = house({"owner": owner}, targets={"owner": "new-room"}, clock=clock, in_doubt="hold")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
        await here.resolve("a.md", how)
        await here.delivered()
    assert owner.texts == texts
    assert [part.form for part in owner.sent] == ["marked", "plain"][-len(texts) :]
    assert len(first.sent) == 1


async def test_a_destination_that_was_removed_hands_its_reports_to_the_default(house):
    old = Owner(REFUSED)
    here = house({"old": old}, to=("old",))
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.code == "report")
    owner = Owner()
    here = house({"owner": owner}, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert owner.texts == ["text"]


async def test_a_removed_destination_with_a_part_in_doubt_blocks_and_says_which(house):
    old = Owner(Accepts(InDoubt("cut")), can=BLIND)
    here = house({"old": old}, to=("old",), in_doubt="hold")
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
    owner = Owner()
    here = house({"owner": owner}, clock=here.clock, missing={"room-old"})
    async with here.running():
        await here.until(lambda: here.code == "config")
        assert "cannot deliver to old" in here.lane.block.reason
        here.pass_time(61)
        await here.until(lambda: here.lane.probes == 2)
        await here.resolve("a.md", "sent", None)
        await here.delivered()
    assert (len(old.sent), owner.texts) == (1, ["text"])


async def test_an_override_takes_the_place_of_every_destination(house):
    owner, other = Owner(REFUSED), Owner()
    here = house({"owner": owner, "other": other})
    here.drop("a.md", "---\nto: owner\n---\ntext\n")
    async with here.running():
        await here.until(lambda: here.code == "report")
    here = house({"owner": owner, "other": other}, override=("other",), clock=here.clock)
    async with here.running():
        await here.delivered()
    assert (owner.texts, [t.strip() for t in other.texts]) == ([], ["text"])


async def test_a_new_route_adds_a_destination_to_what_waits(house):
    owner, phone = Owner(REFUSED), Owner()
    channels = {"owner": owner, "phone": phone}
    here = house(channels)
    here.drop("a.md", "---\nstatus: failed\n---\ntext\n")
    async with here.running():
        await here.until(lambda: here.code == "report")
    route = Route({"status": ("fail*",)}, also_to=("phone",))
    here = house(channels, routes=[route], clock=here.clock)
    async with here.running():
        await here.delivered()
    assert (len(owner.texts), len(phone.texts)) == (1, 1)


async def test_the_same_frozen_bytes_are_sent_by_a_newer_version(house):
    here = house({"owner": Owner(NotSent("x"))}, backoff_s=300)
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)

    class Newer(Owner):
        def render(self, report):
            raise AssertionError(f"a frozen report is rendered again: {report.id}")

    owner = Newer()
    here = house({"owner": owner}, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert owner.texts == ["text"]


async def test_a_blocked_lane_keeps_since_when_over_a_restart(house):
    clock = await stopped_at(house, Owner(REFUSED), "report")
    since = clock.utc()
    clock.advance(1000)
    here = house({"owner": Owner(REFUSED)}, clock=clock)
    async with here.running():
        await here.until(lambda: here.code == "report")
        status = await here.desk.status()
    assert here.courier.kept.since == pytest.approx(since, abs=1)
    assert (status["state"], status["stale"]) == ("blocked", True)


async def test_a_direct_send_that_died_before_its_first_attempt_leaves_the_report_as_it_was(house):
    clock = await stopped_at(house, Owner(REFUSED), "report")
    here = house({"owner": Owner()}, clock=clock)
    from ownerreportd.core.channel import Part
    from ownerreportd.ledger.deliveries import Bound
    from ownerreportd.ledger.frozen import freeze

    with here.custody.ledger.transaction() as db:
        part = Part(1, 1, b"x", b"marked x")
        freeze(db, 1, Bound("d", "fake", "d"), [part], ordinal=-1, direct=True)
    async with here.running():
        await here.delivered()
        report = await here.desk.report("a.md")
    states = {d["destination"]: d["state"] for d in report["deliveries"]}
    assert states == {"d": "withdrawn", "owner": "confirmed"}


async def test_a_part_that_is_absent_at_the_old_target_is_sent_to_the_new_one_alone(house):
    owner = Owner(InDoubt("cut"), can=READABLE)
    here = house({"owner": owner}, timeout_s=20)
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.lane.reason.startswith("a part is in doubt"))
    here = house({"owner": owner}, targets={"owner": "new-room"}, clock=here.clock, timeout_s=20)
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        here.pass_time(21)
        await here.delivered()
        report = await here.desk.report("a.md")
    sent = [(d["target"], d["state"]) for d in report["deliveries"]]
    assert sent == [("room-owner", "withdrawn"), ("new-room", "confirmed")]
