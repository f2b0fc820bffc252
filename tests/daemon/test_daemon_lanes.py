"""A lane for each destination: a failing one stops itself alone, and every verb can mean one."""

from functools import partial
from types import SimpleNamespace

import anyio
import pytest
from daemon_house import BLIND, CALLER, WHO, Owner

from ownerreportd.app.draining import Drain
from ownerreportd.core.errors import (
    DoesNotApplyError,
    NeedsPersonError,
    OperatorError,
    UnreachableError,
    UsageError,
)
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


class Held(Owner):
    """Answers when `let_go` is set."""

    def __init__(self, *script, **options):
        super().__init__(*script, **options)
        self.let_go = anyio.Event()

    async def send(self, part):
        outcome = await super().send(part)
        await self.let_go.wait()
        return outcome


async def test_a_file_sent_to_an_address_is_not_sent_beside_itself_by_a_new_lane(house):
    there = Held(can=BLIND)
    here = two(house, Owner(), Owner(), timeout_s=5)
    here.channels["there"] = there
    there.heard = here.engine.tell
    async with here.running(), anyio.create_task_group() as tasks:
        send = partial(
            here.desk.send, "x1", destination=None, channel="fake", target="there",
            caller=CALLER, data=b"hello",
        )  # fmt: skip
        tasks.start_soon(send)
        await here.until(lambda: there.sent)
        here.engine.lanes.nudge()
        with pytest.raises(OperatorError):  # its end lets go of lanes that nobody needs
            await here.retry("no-such")
        await here.engine.follow_lanes()
        there.let_go.set()
        await here.until(lambda: "sent" in here.states().values())
    assert there.texts == ["hello"]


async def test_what_a_direct_send_was_told_to_wait_holds_for_the_blocked_head(house):
    owner = Owner(CONFIG, Throttled(3600.0), can=BLIND)
    here = house({"owner": owner})
    here.drop("a.md", "a")
    here.drop("b.md", "b")
    async with here.running():
        await here.until(lambda: here.code == "config")
        assert (await here.send("b.md", destination="owner"))["outcome"] == "throttled"
        await here.retry("a.md")
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        assert len(owner.sent) == 2
        here.pass_time(3600)
        await here.delivered()
    assert owner.texts == ["a", "b"]


async def test_a_held_report_that_comes_back_after_its_destination_went_is_archived(house):
    owner, phone = Owner(), Owner(REPORT)
    here = two(house, owner, phone)
    here.drop("a.md", "a")
    async with here.running():
        await here.until(lambda: lane(here, "phone").lane.block and owner.accepted)
        await here.skip("a.md", destination="phone")
        await here.until(lambda: here.names("held") == ["a.md"])
        other = house_of(here, "owner")

        async def act():
            await reconfigure(here.engine, other)
            return 0

        await here.desk.act(act, here.engine.lanes)
        await here.retry("a.md")
        await here.until(lambda: here.names("sent") == ["a.md"])
    assert (owner.texts, phone.texts) == (["a"], [])


async def test_retry_of_a_held_report_for_one_destination_opens_that_one_alone(house):
    owner, phone = Owner(REPORT), Owner(REPORT)
    here = two(house, owner, phone)
    here.drop("a.md", "a")
    async with here.running():
        await here.until(lambda: all(c.lane.block for c in here.engine.lanes))
        await here.skip("a.md")
        here.engine.outlets.bounds["other"] = here.engine.outlets.bounds["owner"]
        with pytest.raises(DoesNotApplyError, match="not set aside for 'other'"):
            await here.retry("a.md", destination="other")
        await here.retry("a.md", destination="phone")
        await here.until(lambda: phone.accepted)
        await here.until(lambda: here.names("held") == ["a.md"])
    assert (owner.texts, phone.texts) == ([], ["a"])


async def test_head_alone_is_refused_where_several_lanes_have_one_and_each_hint_names_its_own(
    house,
):
    doubt = InDoubt("cut off")
    owner, phone = Owner(doubt, can=BLIND), Owner(doubt, can=BLIND)
    routes = (Route({"team": ("ops",)}, to=("phone",)),)
    here = two(house, owner, phone, to=("owner",), routes=routes, in_doubt="hold")
    here.drop("a.md", "for the owner")
    here.drop("b.md", "---\nteam: ops\n---\nfor the phone")
    async with here.running():
        await here.until(lambda: all(c.lane.block for c in here.engine.lanes))
        hints = {name: each["hint"] for name, each in (await lanes_of(here)).items()}
        assert hints == {
            name: "look at the channel, then: ownerreportd resolve head "
            f"--to {name} --sent, or --resend"
            for name in ("owner", "phone")
        }
        for verb in (here.resolve("head", "sent"), here.skip("head")):
            with pytest.raises(UsageError, match=r"several lanes are blocked.*owner, phone"):
                await verb
        await here.resolve("head", "sent", destination="phone")
        await here.until(lambda: here.names("sent") == ["b.md"])
        await here.resolve("head", "resend")  # one lane is left
        await here.delivered()
    assert owner.texts == ["(possible duplicate) for the owner"]


async def test_an_act_after_the_end_is_refused_and_does_not_hang(house):
    here = two(house, Owner(), Owner(REPORT))
    here.drop("a.md", "a")
    async with here.running():
        await here.until(lambda: lane(here, "phone").lane.block is not None)
    with anyio.fail_after(5), pytest.raises(UnreachableError):
        await here.skip("a.md")


async def test_one_pass_over_several_lanes_takes_the_oldest(house):
    owner, phone = Owner(), Owner()
    routes = (Route({"team": ("ops",)}, to=("phone",)),)
    here = two(house, owner, phone, to=("owner",), routes=routes)
    here.drop("a.md", "---\nteam: ops\n---\na")
    here.drop("b.md", "b")
    said = []
    with anyio.fail_after(20):
        await Drain(
            SimpleNamespace(engine=here.engine, outlets=here.engine.outlets), 1, said.append
        ).run()
    assert (owner.texts, phone.texts) == ([], ["a"])
    assert len(said) == 1


async def test_one_pass_goes_on_in_the_lanes_that_have_not_failed(house):
    owner, phone = Owner(), Owner(CONFIG)
    here = two(house, owner, phone)
    drop_all(here)
    with anyio.fail_after(20), pytest.raises(NeedsPersonError, match="the token is wrong"):
        await Drain(
            SimpleNamespace(engine=here.engine, outlets=here.engine.outlets), 0, print
        ).run()
    assert owner.texts == list(NAMES)
    assert len(phone.sent) == 1
