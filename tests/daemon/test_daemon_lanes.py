"""A lane for each destination: a failing one stops itself alone, and every verb can mean one."""

import anyio
import pytest
from daemon_house import BLIND, WHO, Owner

from ownerreportd.core.errors import UsageError
from ownerreportd.core.lane_words import Phase
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Receipt, Rejected, Throttled
from ownerreportd.core.routing import Route
from ownerreportd.daemon.reconfigure import Reconfigured, reconfigure
from ownerreportd.testing import Hangs

CONFIG = Rejected("401", "config", "the token is wrong", "mend it")
REPORT = Rejected("c", "report", "too odd", "shorten it")
FAILURES = {
    "config": CONFIG,
    "report": REPORT,
    "throttled": Throttled(3600.0),
    "not_sent": NotSent("no route"),
    "in_doubt": InDoubt("cut off"),
    "hangs": Hangs(),
    "bug": ZeroDivisionError("made up"),
}
NAMES = ("a.md", "b.md", "c.md")


def two(house, owner, phone, **options):
    options = {"to": ("owner", "phone"), "separate_lanes": True, **options}
    return house({"owner": owner, "phone": phone}, **options)


def lane(here, name):
    return next(courier for courier in here.engine.lanes if courier.name == name)


def drop_all(here):
    for name in NAMES:
        here.drop(name, name)


async def lanes_of(here):
    return {each["name"]: each for each in (await here.desk.status())["lanes"]}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failing_destination_stops_its_own_lane_alone(house, failure):
    owner, phone = Owner(), Owner(*[FAILURES[failure]] * 500, can=BLIND)
    here = two(house, owner, phone, in_doubt="hold", backoff_s=3600)
    drop_all(here)
    async with here.running():
        await here.until(lambda: len(owner.accepted) == 3 and len(phone.sent) == 1)
        assert owner.texts == list(NAMES)
        await here.until(lambda: lane(here, "owner").lane.phase is Phase.EMPTY)
        lanes = await lanes_of(here)
        assert lanes["owner"]["state"] == "idle"
        assert lanes["owner"]["waiting"] == 0
        assert lanes["phone"]["waiting"] == 3
        assert lanes["phone"]["head"]["destination"] == "phone"
        assert here.names("sent") == []
        phone.script.clear()
        here.clock.advance(3601)  # a retry does not shorten what the channel asked for
        await here.retry(destination="phone")
        if (await lanes_of(here))["phone"]["code"] == "doubt":
            await here.resolve("head", "resend", destination="phone")
        if failure in {"in_doubt", "hangs", "bug"}:
            await here.until(lambda: here.names("sent") or lane(here, "phone").lane.block)
            if not here.names("sent"):
                await here.resolve("head", "resend", destination="phone")
        await here.delivered()
    assert owner.texts == list(NAMES)
    assert [part.plain.decode() for _, part in phone.accepted] == list(NAMES)
    assert set(here.states().values()) == {"sent"}


@pytest.mark.parametrize("failure", FAILURES)
async def test_in_one_lane_nothing_passes_the_failure(house, failure):
    owner, phone = Owner(), Owner(*[FAILURES[failure]] * 500, can=BLIND)
    here = two(house, owner, phone, separate_lanes=False, in_doubt="hold", backoff_s=3600)
    drop_all(here)
    async with here.running():
        await here.until(lambda: len(phone.sent) == 1)
        await here.until(lambda: here.engine.lanes.of("phone").lane.phase.value in
                         {"blocked", "waiting"})  # fmt: skip
        assert owner.texts == ["a.md"]
    assert here.names("sent") == []


async def test_what_does_not_go_there_is_archived_past_a_blocked_destination(house):
    owner, phone = Owner(), Owner(CONFIG)
    routes = (Route({"team": ("ops",)}, also_to=("phone",)),)
    here = two(house, owner, phone, to=("owner",), routes=routes)
    here.drop("a.md", "---\nteam: ops\n---\nfor both")
    here.drop("b.md", "for the owner")
    async with here.running():
        await here.until(lambda: here.names("sent") == ["b.md"])
        await here.until(lambda: lane(here, "phone").lane.block is not None)
        status = await here.desk.status()
        assert (status["state"], status["code"]) == ("blocked", "config")
        assert status["head"]["name"] == "a.md"
        assert (await here.desk.report("a.md"))["state"] == "blocked"
        assert (await here.desk.health())["ok"] is False
    assert here.names("pending") == ["a.md"]


async def test_pause_and_resume_mean_one_lane_or_all_and_the_later_word_counts(house):
    owner, phone = Owner(), Owner()
    here = two(house, owner, phone)
    async with here.running():
        await here.desk.pause(destination="phone", who=WHO)
        drop_all(here)
        here.engine.nudge()
        await here.until(lambda: len(owner.accepted) == 3)
        await here.until(lambda: lane(here, "owner").lane.phase is Phase.EMPTY)
        lanes = await lanes_of(here)
        assert (lanes["owner"]["state"], lanes["phone"]["state"]) == ("idle", "paused")
    here = two(house, owner, phone, clock=here.clock)
    here.clock.advance(1)
    async with here.running():
        await here.until(lambda: lane(here, "phone").lane.paused)
        assert phone.sent == []
        await here.desk.pause(destination=None, who=WHO)
        here.clock.advance(1)
        await here.desk.resume(destination="phone", who=WHO)
        await here.delivered()
    here = two(house, owner, phone, clock=here.clock)
    async with here.running():
        await here.until(lambda: lane(here, "owner").lane.paused)
        assert not lane(here, "phone").lane.paused
        here.clock.advance(1)
        await here.desk.resume(destination=None, who=WHO)
        assert not any(courier.lane.paused for courier in here.engine.lanes)
    assert phone.texts == list(NAMES)


async def test_a_verb_for_an_unknown_destination_makes_no_lane(house):
    here = two(house, Owner(), Owner())
    async with here.running():
        for verb in (here.retry(destination="nobody"), here.skip("head", destination="nobody"),
                     here.desk.pause(destination="nobody", who=WHO)):  # fmt: skip
            with pytest.raises(UsageError, match="'nobody'"):
                await verb
        assert len(tuple(here.engine.lanes)) == 2


async def test_skip_for_one_destination_leaves_the_other_its_turn(house):
    owner, phone = Owner(REPORT, REPORT), Owner(REPORT)
    here = two(house, owner, phone)
    drop_all(here)
    async with here.running():
        await here.until(lambda: all(c.lane.block for c in here.engine.lanes))
        await here.skip("head", destination="phone")
        await here.until(lambda: len(phone.accepted) == 2)
        assert owner.accepted == []
        await here.skip("a.md")
        await here.until(lambda: here.names("held") == ["a.md"])
        await here.until(lambda: lane(here, "owner").lane.block is not None)
        await here.retry()
        await here.delivered()
    assert owner.texts == ["b.md", "c.md"]
    assert phone.texts == ["b.md", "c.md"]


async def test_an_act_waits_for_its_own_lanes_alone(house):
    owner, phone = Owner(REPORT), Owner(Hangs())
    routes = (Route({"team": ("ops",)}, to=("phone",)),)
    here = two(house, owner, phone, to=("owner",), routes=routes, timeout_s=60, stop_grace_s=0.01)
    here.drop("a.md", "---\nteam: ops\n---\nfor the phone")
    here.drop("b.md", "for the owner")
    async with here.running():
        await here.until(lambda: phone.sent and lane(here, "owner").lane.block)
        with anyio.fail_after(5):  # the phone's attempt is in flight for a minute
            await here.skip("b.md")
            await here.retry(destination="owner")
        assert here.names("held") == ["b.md"]


async def test_a_crash_between_the_last_confirmation_and_the_archive_loses_nothing(house):
    owner, phone = Owner(), Owner(REPORT)
    here = two(house, owner, phone)
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: owner.accepted and lane(here, "phone").lane.block)
    with here.custody.ledger.transaction() as db:  # what is on the disk when it is cut off there
        db.execute("UPDATE deliveries SET state = 'confirmed'")
        db.execute("UPDATE parts SET state = 'confirmed'")
    here = two(house, owner, phone, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert here.states() == {"a.md": "sent"}
    assert len(owner.sent) == len(phone.sent) == 1


async def test_a_direct_send_passes_a_blocked_lane_and_frees_the_others(house):
    owner, phone = Owner(CONFIG), Owner(Confirmed(Receipt("m1")))
    here = two(house, owner, phone, to=("owner",))
    drop_all(here)
    async with here.running():
        await here.until(lambda: lane(here, "owner").lane.block is not None)
        assert (await here.send("a.md", destination="phone"))["outcome"] == "confirmed"
        assert here.names("sent") == ["a.md"]
        await here.delivered()
    assert owner.texts == ["b.md", "c.md"]
    assert phone.texts == ["a.md"]


async def test_a_doubt_of_an_address_that_is_not_configured_has_a_lane_of_its_own(house):
    owner, phone = Owner(CONFIG, CONFIG), Owner()
    elsewhere = Owner(InDoubt("cut off"), can=BLIND)
    here = two(house, owner, phone, to=("owner",))
    here.channels["there"] = elsewhere
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: lane(here, "owner").lane.block is not None)
        found = await here.send("a.md", channel="fake", target="there")
        assert found["outcome"] == "in_doubt"
        await here.until(lambda: len(elsewhere.accepted) == 1)  # repeated, and marked
        assert set(await lanes_of(here)) == {"owner", "phone", "fake:there"}
        here.drop("b.md", "second")
        await here.scanned()
        assert (await here.send("b.md", channel="fake", target="there"))["outcome"] == "confirmed"
        assert set(await lanes_of(here)) == {"owner", "phone"}
        assert (await here.desk.report("head"))["name"] == "a.md"


@pytest.mark.parametrize("removed", ["phone", "owner"])
async def test_a_reload_that_removes_and_adds_a_destination_moves_the_lanes(house, removed):
    """At each stage: one report confirmed at one place, one waiting, one not read."""
    owner, phone = Owner(), Owner()
    (owner if removed == "owner" else phone).script.extend([CONFIG] * 9)
    here = two(house, owner, phone)
    drop_all(here)
    left = "owner" if removed == "phone" else "phone"
    stays, goes = here.channels[left], here.channels[removed]
    async with here.running():
        await here.until(lambda: len(stays.accepted) == 3)
        await here.until(lambda: lane(here, removed).lane.block is not None)
        other = house_of(here, left)

        async def act():
            await reconfigure(here.engine, other)
            return 0

        await here.desk.act(act, here.engine.lanes)
        await here.delivered()
        assert [courier.name for courier in here.engine.lanes] == [left]
        goes.script.clear()
        await here.desk.act(act, here.engine.lanes)  # both again: the exchange is its own inverse
        assert {courier.name for courier in here.engine.lanes} == {"owner", "phone"}
        here.drop("d.md", "d.md")
        here.engine.nudge()
        await here.until(lambda: "d.md" in here.names("sent"))
    assert stays.texts == [*NAMES, "d.md"]
    assert goes.texts == ["d.md"]


def house_of(here, left):
    """The same outlets with one destination only."""
    from ownerreportd.core.routing import Routing
    from ownerreportd.outlets import Outlets

    outlets = here.engine.outlets
    bounds = {left: outlets.bounds[left]}
    routing = Routing((left,), frozenset(bounds))
    new = Outlets(routing, bounds, outlets.open, outlets.implicit_inbox)
    return Reconfigured(new, here.engine.values, 0, 1 << 20, lambda: None)
