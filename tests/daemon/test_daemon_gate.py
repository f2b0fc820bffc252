"""The gate in the daemon: answers first, records behind, and drops rather than waits."""

import threading

import anyio
import pytest
from daemon_house import CALLER
from gate.gate_tools import fields, receipt

from ownerreportd.core import events
from ownerreportd.core.errors import NotFoundError
from ownerreportd.daemon.gatekeeper import WAITING_MAX, Gatekeeper, Recorder
from ownerreportd.gate import GateConfig
from ownerreportd.receipts import Filter, ReceiptStore


@pytest.fixture
async def here(house):
    opened = house()
    await opened.engine.start()
    return opened


@pytest.fixture
def keeper(here):
    store = ReceiptStore(here.root / "receipts")
    return Gatekeeper(here.engine, GateConfig(), store, Recorder(here.engine))


async def check(keeper, **changes):
    contract = await keeper.check("manual", fields(**changes), caller=CALLER)
    return contract["evaluation"]


def recorded(here):
    return here.rows("SELECT count(*) FROM events WHERE kind = ?", events.GATE_DECIDED)[0][0]


def fill_ledger(here):
    """As on a full disk: SQLite itself has no page left."""
    db = here.custody.ledger.db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")


def make_room(here):
    here.custody.ledger.db.execute("PRAGMA max_page_count = 1000000")


async def test_an_answer_comes_before_its_record_and_many_are_one_batch(here, keeper):
    for _ in range(50):
        assert (await check(keeper))["rule"] == 5
    assert recorded(here) == 0
    await keeper.recorder.flush()
    assert recorded(here) == 50
    await keeper.recorder.flush()
    assert (recorded(here), keeper.recorder.dropped) == (50, 0)


async def test_it_records_by_itself(here, keeper):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        for count in (1, 2):
            await check(keeper)
            await here.until(lambda wanted=count: recorded(here) == wanted)
        tasks.cancel_scope.cancel()


async def test_somebody_who_looks_does_not_stop_the_recording(here, keeper):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        await anyio.lowlevel.checkpoint()
        await keeper.decisions(limit=1, before=None, plan_id=None)
        await check(keeper)
        await here.until(lambda: recorded(here) == 1)
        tasks.cancel_scope.cancel()


async def test_what_was_answered_is_recorded_though_the_recording_is_cut_off(here, keeper):
    held = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.engine.workers.write, held.wait, 20)  # as a slow commit
        await anyio.lowlevel.checkpoint()
        await check(keeper)
        tasks.start_soon(keeper.recorder.flush)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
        held.set()
    assert recorded(here) == 1


async def test_a_receipts_answer_does_not_wait_for_a_slow_ledger(here, keeper):
    held = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        tasks.start_soon(here.engine.workers.write, held.wait, 20)
        await anyio.lowlevel.checkpoint()
        found = await keeper.write_receipt(receipt(keeper._now()), caller=CALLER)
        assert (found["created"], held.is_set()) == (True, False)
        held.set()
        written = "SELECT count(*) FROM events WHERE kind = 'receipt.written'"
        await here.until(lambda: here.rows(written) == [(1,)])
        tasks.cancel_scope.cancel()


async def test_on_a_full_disk_it_answers_all_the_same_and_counts_what_it_drops(here, keeper):
    fill_ledger(here)
    for _ in range(400):
        assert (await check(keeper))["rule"] == 5
    await keeper.recorder.flush()
    assert (recorded(here), keeper.figures()["dropped"]) == (0, 400)
    assert (await keeper.decisions(limit=10, before=None, plan_id=None))["decisions"] == []
    make_room(here)
    await check(keeper)
    await keeper.recorder.flush()
    assert (recorded(here), keeper.figures()["dropped"]) == (1, 400)


async def test_a_receipt_is_kept_on_a_full_ledger_too(here, keeper):
    fill_ledger(here)
    now = keeper._now()
    given = receipt(now, replyClosureState="x" * 60_000)
    found = await keeper.write_receipt(given, caller=CALLER)
    assert (found["created"], found["errors"]) == (True, [])
    assert (await check(keeper))["receipt"]["source"] == "store"


async def test_more_than_can_wait_is_dropped_and_counted(here, keeper):
    for _ in range(WAITING_MAX + 7):
        keeper.recorder.note(events.GATE_DECIDED, {})
    assert keeper.recorder.dropped == 7
    await keeper.recorder.flush()
    assert recorded(here) == WAITING_MAX


async def test_receipts_that_cannot_be_looked_at_are_a_warning(here, keeper):
    (here.root / "receipts").write_text("a file")
    found = await check(keeper)
    assert found["rule"] == 5
    assert found["warnings"][-1].startswith("stored receipts were not looked at: ")
    await keeper._keep_store(sweep=True)


async def test_decisions_are_told_newest_first_and_by_plan(here, keeper):
    for number in range(4):
        await check(keeper, planId=f"approved-plan-{number % 2}", currentTask=f"t{number}")
    found = (await keeper.decisions(limit=10, before=None, plan_id=None))["decisions"]
    assert [each["currentTask"] for each in found] == ["t3", "t2", "t1", "t0"]
    older = await keeper.decisions(limit=1, before=found[1]["id"], plan_id="approved-plan-1")
    assert [each["currentTask"] for each in older["decisions"]] == ["t1"]
    assert await keeper.decision(found[0]["id"]) == found[0]
    with pytest.raises(NotFoundError):
        await keeper.decision(1 << 40)


async def test_what_is_kept_of_a_decision_is_short(here, keeper):
    await check(
        keeper, planId="approved-plan-" + "x" * 5000,
        nextDerivedAction={"type": "y" * 5000, "more": "z" * 5000},
    )  # fmt: skip
    [found] = (await keeper.decisions(limit=10, before=None, plan_id=None))["decisions"]
    assert len(str(found)) < 2000
    assert found["nextAction"] == "y" * 256


async def test_counts_by_status_and_reason(keeper):
    await check(keeper)
    await check(keeper)
    await check(keeper, highRiskStop=True)
    await keeper.write_receipt(receipt(keeper._now()), caller=CALLER)
    await keeper.write_receipt({}, caller=CALLER)
    assert keeper.figures() == {
        "decided": [
            {"status": "fail", "reason": "missing_auto_next_dispatch", "count": 2},
            {"status": "pass", "reason": "high_risk_stop", "count": 1},
        ],
        "dropped": 0,
        "receipts_written": 1,
    }
    assert len((await keeper.receipts(Filter(), limit=5))["receipts"]) == 1
