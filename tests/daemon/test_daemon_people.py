"""What a person may ask: pause, resume, skip, retry, send. Each does what it says, and no more."""

import anyio
import pytest
from daemon_house import BLIND, CALLER, SMALL, Owner

from ownerreportd.core.errors import (
    DoesNotApplyError,
    NeedsPersonError,
    NotDeliveredError,
    NotFoundError,
    StorageError,
    UnreachableError,
    UsageError,
)
from ownerreportd.core.lane_words import Phase
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Receipt, Rejected, Throttled
from ownerreportd.testing import Accepts, Hangs

REFUSED = Rejected("c", "report", "too odd", "shorten it")


# --- pause and resume ----------------------------------------------------------------------------


async def test_a_pause_sends_nothing_and_holds_over_a_restart(house):
    owner = Owner()
    here = house({"owner": owner})
    async with here.running():
        assert (await here.desk.pause(destination=None, who="me"))["state"] == "paused"
    here = house({"owner": owner}, clock=here.clock)
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.READY)
        status = await here.desk.status()
        assert (status["state"], status["hint"]) == ("paused", "ownerreportd resume")
        assert owner.sent == []
        assert (await here.desk.resume(destination=None, who="me"))["state"] != "paused"
        await here.delivered()
    assert owner.texts == ["first"]
    kinds = here.kinds()
    assert kinds.index("queue.paused") < kinds.index("queue.resumed")


async def test_a_pause_lets_the_attempt_in_flight_end_and_archives_it(house):
    class Slow(Owner):
        async def send(self, part):
            outcome = await super().send(part)
            await paused.wait()
            return outcome

    paused = anyio.Event()
    owner = Slow()
    here = house({"owner": owner}, timeout_s=5)
    here.drop("a.md", "first")
    here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: owner.sent)
        await here.desk.pause(destination=None, who="me")
        paused.set()
        await here.until(lambda: here.names("sent") == ["a.md"])
        await here.until(lambda: here.lane.phase is Phase.READY)
    assert len(owner.sent) == 1


async def test_a_pause_of_an_unknown_destination_is_a_usage_error(house):
    here = house()
    async with here.running():
        with pytest.raises(UsageError, match="'nobody'"):
            await here.desk.pause(destination="nobody", who="me")


# --- skip and retry of what was skipped ----------------------------------------------------------


async def test_skip_of_the_head_sets_it_aside_and_the_next_goes_out(house):
    owner = Owner(REFUSED)
    here = house({"owner": owner})
    here.drop("a.md", "first")
    here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: here.code == "report")
        report = await here.skip("head")
        assert (report["state"], report["folder"]) == ("held", "held")
        assert report["reason"] == "not now (set aside by uid 0 pid 1)"
        await here.delivered()
    assert (owner.texts, here.names("held")) == (["second"], ["a.md"])


async def test_skip_of_a_later_one_leaves_the_head_alone(house):
    owner = Owner(REFUSED)
    here = house({"owner": owner})
    here.drop("a.md", "first")
    here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: here.code == "report")
        assert (await here.skip("b.md"))["state"] == "held"
        assert (here.code, len(owner.sent)) == ("report", 1)


async def test_skip_of_an_unread_one_far_behind_the_head(house):
    owner = Owner(REFUSED)
    here = house({"owner": owner})
    for number in range(40):
        here.drop(f"{number:02}.md", f"report {number}")
    async with here.running():
        await here.until(lambda: here.code == "report")
        report = await here.skip("39.md")
        assert (report["state"], report["deliveries"][0]["state"]) == ("held", "skipped")


async def test_skip_of_what_is_final_or_unknown_is_refused(house):
    here = house()
    here.drop("a.md", "first")
    async with here.running():
        await here.delivered()
        with pytest.raises(DoesNotApplyError, match="it is sent"):
            await here.skip("a.md")
        with pytest.raises(NotFoundError):
            await here.skip("b.md")


async def test_with_one_destination_skipped_the_report_ends_in_held(house):
    first, second = Owner(REFUSED, REFUSED), Owner()
    here = house({"first": first, "second": second}, to=("first", "second"))
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.code == "report")
        assert (await here.skip("a.md", "first"))["state"] != "held"
        await here.delivered()
    assert (second.texts, here.names("held"), here.names("sent")) == (["text"], ["a.md"], [])


async def test_skip_of_a_destination_that_does_not_wait_is_refused(house):
    first, second = Owner(), Owner(REFUSED)
    here = house({"first": first, "second": second}, to=("first", "second"))
    here.drop("a.md", "text")
    async with here.running():
        await here.until(lambda: here.code == "report")
        with pytest.raises(DoesNotApplyError, match="no delivery to 'first' waits"):
            await here.skip("a.md", "first")


async def test_retry_of_a_held_report_delivers_what_was_unfinished_at_the_tail(house):
    owner = Owner(Confirmed(Receipt("m1")), REFUSED, can=SMALL)
    here = house({"owner": owner})
    here.drop("a.md", "0123456789ABCDEF")
    here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.skip("a.md")
        await here.delivered()
        await here.retry("a.md")
        await here.until(lambda: here.names("sent") == ["a.md", "b.md"])
        report = await here.desk.report("a.md")
    assert [part.number for part in owner.sent if part.count == 2] == [1, 2, 2]
    assert (report["state"], report["reason"]) == ("sent", "")


async def test_retry_of_a_held_report_keeps_its_doubt(house):
    owner = Owner(Accepts(InDoubt("cut")), can=BLIND)
    here = house({"owner": owner}, in_doubt="hold")
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
        await here.skip("a.md")
        await here.retry("a.md")
        await here.until(lambda: here.code == "doubt")
    assert len(owner.sent) == 1


async def test_a_held_report_moved_back_by_hand_or_before_a_crash_is_the_same_report(house):
    owner = Owner(Accepts(InDoubt("cut")), can=BLIND)
    here = house({"owner": owner}, in_doubt="hold")
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
        await here.skip("a.md")
        (here.root / "held" / "a.md").rename(here.root / "pending" / "a.md")
        here.engine.nudge()
        await here.until(lambda: here.code == "doubt")
    assert len(owner.sent) == 1, "its doubt came back with it"


async def test_a_held_report_that_was_edited_is_never_sent_with_its_old_text(house):
    owner = Owner(REFUSED)
    here = house({"owner": owner})
    here.drop("a.md", "old")
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.skip("a.md")
        (here.root / "held" / "a.md").write_text("new")
        await here.retry("a.md")
        await here.until(lambda: here.code == "changed")
        await here.retry("a.md")
        await here.delivered()
    assert owner.texts == ["new"]


async def test_an_unattempted_held_report_that_was_edited_is_sent_as_it_is_now(house):
    owner = Owner(REFUSED)
    here = house({"owner": owner})
    here.drop("a.md", "first")
    here.drop("b.md", "old")
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.skip("b.md")
        (here.root / "held" / "b.md").write_text("new")
        await here.retry("b.md")
        await here.retry()
        await here.delivered()
    assert owner.texts == ["first", "new"]


async def test_retry_of_a_held_report_without_a_file_says_so(house):
    here = house({"owner": Owner(REFUSED)})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.skip("a.md")
        (here.root / "held" / "a.md").unlink()
        with pytest.raises(NotFoundError, match="not in held/"):
            await here.retry("a.md")


async def test_a_report_moved_to_held_by_hand_is_held_and_can_be_retried(house):
    owner = Owner(REFUSED)
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "report")
        (here.root / "pending" / "a.md").rename(here.root / "held" / "a.md")
        here.engine.nudge()
        await here.until(lambda: here.states()["a.md"] == "held")
        await here.retry("a.md")
        await here.delivered()
    assert owner.texts == ["first"]


# --- retry ---------------------------------------------------------------------------------------


async def test_retry_of_a_waiting_lane_tries_now(house):
    owner = Owner(NotSent("no route"))
    here = house({"owner": owner}, backoff_s=300)
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        await here.retry()
        await here.delivered()
    assert owner.texts == ["first"]


async def test_retry_of_one_that_waits_behind_others_or_is_sent_is_refused(house):
    here = house({"owner": Owner(Confirmed(Receipt("m")), REFUSED)})
    for name in ("a.md", "b.md", "c.md"):
        here.drop(name, name)
    async with here.running():
        await here.until(lambda: here.code == "report")
        with pytest.raises(DoesNotApplyError, match="waits its turn behind others"):
            await here.retry("c.md")
        with pytest.raises(DoesNotApplyError, match="is sent, and retry"):
            await here.retry("a.md")


@pytest.mark.parametrize("separate", [False, True])
async def test_retry_of_one_whose_turn_it_is_and_that_the_lane_has_not_seen_yet(house, separate):
    owner = Owner()
    here = house({"owner": owner}, separate_lanes=separate)
    async with here.running():
        (courier,) = here.engine.lanes
        fetch, courier.fetch = courier.fetch, nothing_yet
        for name in ("a", "b"):
            await here.submit(name, report_id=name)
        await here.retry("a")
        with pytest.raises(DoesNotApplyError, match="b waits its turn behind others"):
            await here.retry("b")
        courier.fetch = fetch
        here.engine.nudge()
        await here.delivered()
    assert owner.texts == ["a", "b"]


async def nothing_yet():
    return None


async def test_an_act_that_a_stop_overtakes_is_not_said_to_be_done(house):
    owner = Owner(Hangs())
    here = house({"owner": owner}, stop_grace_s=0.01, timeout_s=60)
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: owner.sent)
        async with anyio.create_task_group() as tasks:

            async def ask():
                with pytest.raises(UnreachableError, match="stopping"):
                    await here.desk.act(never, here.engine.lanes)

            async def never():
                raise AssertionError("the act was begun")

            tasks.start_soon(ask)
            await anyio.lowlevel.checkpoint()
            await here.engine.stop()
    assert here.states() == {"a.md": "waiting"}


# --- send ----------------------------------------------------------------------------------------


async def blocked(house, *script, can=None, **options):
    """Two reports, the first of them refused; `other` is another destination."""
    owner, other = Owner(REFUSED), Owner(*script, can=can)
    here = house({"owner": owner, "other": other}, **options)
    here.drop("a.md", "first")
    here.drop("b.md", "second")
    return here, owner, other


async def test_a_direct_send_that_is_confirmed_archives_past_the_blocked_head(house):
    here, _, other = await blocked(house)
    async with here.running():
        await here.until(lambda: here.code == "report")
        answer = await here.send("b.md", "other")
        assert (answer["outcome"], answer["report"]["state"]) == ("confirmed", "sent")
        assert [receipt["id"] for receipt in answer["receipts"]] == ["m1"]
        states = {d["destination"]: d["state"] for d in answer["report"]["deliveries"]}
        assert states == {"owner": "withdrawn", "other": "confirmed"}
    assert (other.texts, "b.md" in here.names("sent")) == (["second"], True)


async def test_a_direct_send_to_another_channel_and_target(house):
    here, _, other = await blocked(house)
    async with here.running():
        await here.until(lambda: here.code == "report")
        answer = await here.send("b.md", channel="fake", target="other")
        bounds = {d["destination"]: d["direct"] for d in answer["report"]["deliveries"]}
        assert bounds == {"owner": False, "fake:other": True}
    assert other.texts == ["second"]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(NotSent("x"), "not_sent"), (Throttled(60), "throttled"), (REFUSED, "rejected")],
)
async def test_a_direct_send_that_sends_nothing_changes_nothing(house, answer, outcome):
    here, _, _ = await blocked(house, answer)
    async with here.running():
        await here.until(lambda: here.code == "report")
        answer = await here.send("b.md", "other")
        assert (answer["outcome"], answer["report"]["state"]) == (outcome, "waiting")
        states = {d["destination"]: d["state"] for d in answer["report"]["deliveries"]}
        assert states == {"owner": "waiting", "other": "withdrawn"}
    assert here.names("pending") == ["a.md", "b.md"]


async def test_a_direct_send_before_a_throttled_time_is_not_made(house):
    here, _, other = await blocked(house, Throttled(60))
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.send("b.md", "other")
        with pytest.raises(NotDeliveredError, match="60 s more"):
            await here.send("b.md", "other")
    assert len(other.sent) == 1


async def test_a_direct_send_in_doubt_is_resolved_first_by_the_queue(house):
    here, owner, other = await blocked(house, Accepts(InDoubt("cut")), can=BLIND)
    async with here.running():
        await here.until(lambda: here.code == "report")
        answer = await here.send("b.md", "other")
        assert (answer["outcome"], answer["report"]["state"]) == ("in_doubt", "waiting")
        await here.retry()
        await here.delivered()
    assert other.texts == ["second", "(possible duplicate) second"]
    assert owner.texts == ["first", "second"]


async def test_a_direct_send_of_a_part_in_doubt_needs_a_person(house):
    owner = Owner(Accepts(InDoubt("cut")), can=BLIND)
    here = house({"owner": owner}, in_doubt="hold")
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "doubt")
        with pytest.raises(NeedsPersonError, match="may have been delivered"):
            await here.send("a.md", "owner")
    assert len(owner.sent) == 1


async def test_a_direct_send_of_an_edited_report_sends_what_it_is_now(house):
    here, _, other = await blocked(house)
    async with here.running():
        await here.until(lambda: here.code == "report")
        (here.root / "pending" / "b.md").write_text("edited")
        assert (await here.send("b.md", "other"))["outcome"] == "confirmed"
    assert other.texts == ["edited"]


async def test_a_direct_send_that_breaks_the_channel_is_in_doubt(house):
    here, _, _ = await blocked(house, ValueError("boom"), can=BLIND, in_doubt="hold")
    async with here.running():
        await here.until(lambda: here.code == "report")
        answer = await here.send("b.md", "other")
        assert (answer["outcome"], answer["detail"]) == (
            "in_doubt", "the channel failed with ValueError",
        )  # fmt: skip


async def test_a_direct_send_must_say_where_to(house):
    here, _, _ = await blocked(house)
    async with here.running():
        for where in ({}, {"channel": "fake"}):
            with pytest.raises(UsageError, match="not said where"):
                await here.send("b.md", **where)
        with pytest.raises(UsageError, match="unknown destination 'nobody'"):
            await here.send("b.md", destination="nobody")
        with pytest.raises(UsageError, match="cannot deliver to nowhere:x"):
            await here.send("b.md", channel="nowhere", target="x")


async def test_an_address_that_is_configured_is_that_destination(house):
    here, owner, other = await blocked(house)
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.send("b.md", channel="fake", target="room-other")
        owner.script.clear()
        answer = await here.send("a.md", channel="fake", target="room-owner")
        report = answer["report"]
    assert [d["destination"] for d in report["deliveries"]] == ["owner"]
    assert [text for text in owner.texts if text != "first"] == []
    assert other.texts == ["second"]


async def test_a_direct_send_without_the_folder_is_a_storage_error(house):
    here, _, _ = await blocked(house)
    async with here.running():
        await here.until(lambda: here.code == "report")
        (here.root / "pending").rename(here.root / "elsewhere")
        with pytest.raises(StorageError, match="is gone"):
            await here.send("b.md", "other")
        (here.root / "elsewhere").rename(here.root / "pending")


async def test_a_submitted_file_is_sent_directly_and_not_by_the_queue_before(house):
    owner, other = Owner(), Owner()
    here = house({"owner": owner, "other": other})
    async with here.running():
        answer = await here.desk.send(
            "my-own-id", destination="other", channel=None, target=None, caller=CALLER,
            data=b"from outside",
        )  # fmt: skip
    assert (answer["outcome"], answer["report"]["id"]) == ("confirmed", "my-own-id")
    assert (owner.texts, other.texts) == ([], ["from outside"])


async def test_what_concerns_a_later_report_or_fails_does_not_end_the_block_of_the_head(house):
    here, owner, other = await blocked(house, NotSent("x"))
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.send("b.md", "other")
        with pytest.raises(DoesNotApplyError):
            await here.resolve("head", "sent")
        with pytest.raises(DoesNotApplyError):
            await here.skip("head", "other")
        await here.send("b.md", "other")
        await here.skip("a.md")
        await here.until(lambda: here.lane.phase is Phase.EMPTY)
    assert (len(owner.sent), other.texts) == (1, ["second"])


async def test_a_skip_whose_move_failed_sends_nothing_of_it(house, monkeypatch):
    owner = Owner(Throttled(60))
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.lane.phase is Phase.WAITING)
        with monkeypatch.context() as patch:

            def full(spool, name, folder):
                raise OSError(28, "No space left on device")

            patch.setattr(type(here.custody.spool), "move_report", full)
            with pytest.raises(StorageError, match="No space left"):
                await here.skip("a.md")
        here.pass_time(61)
        await here.until(lambda: here.names("held") == ["a.md"])
    assert len(owner.sent) == 1
