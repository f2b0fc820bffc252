"""Old events are forgotten, from the beginning on; what was delivered stays."""

import pytest
from daemon_house import Owner

from ownerreportd.daemon.housekeeping import BATCH, DAY_S, Housekeeper
from ownerreportd.ledger import event_log
from ownerreportd.ledger.event_log import Chosen
from ownerreportd.ledger.store import record


def note(here, count, at):
    with here.custody.ledger.transaction() as db:
        for _ in range(count):
            record(db, at, "gate.decided")


def numbers(here):
    return [number for (number,) in here.rows("SELECT id FROM events ORDER BY id")]


@pytest.mark.parametrize("days", [0, 90])
async def test_what_is_over_its_time_is_forgotten_and_receipts_stay(house, days):
    here = house({"owner": Owner()})
    here.drop("a.md", "text")
    async with here.running():
        await here.delivered()
        before = numbers(here)
        here.clock.advance(100 * DAY_S)
        await here.engine.workers.write(note, here, 3, here.clock.utc())
        kept = numbers(here)[-3:]
        count = await Housekeeper(here.engine, days).forget()
        assert count == (len(before) if days else 0)
        assert numbers(here) == (kept if days else [*before, *kept])
        report = await here.desk.report("a.md")
    assert report["deliveries"][0]["parts"][0]["receipt"]["id"]


async def test_many_are_forgotten_in_batches(house):
    here = house()
    await here.engine.start()
    note(here, 2 * BATCH + 7, here.clock.utc() - 91 * DAY_S)
    assert await Housekeeper(here.engine, 90).forget() == 2 * BATCH + 7
    assert await Housekeeper(here.engine, 90).forget() == 0


async def test_a_time_that_a_wrong_clock_wrote_leaves_no_hole(house):
    here = house()
    await here.engine.start()
    now = here.clock.utc()
    for days in (100, 100, 0, 100):
        note(here, 1, now - days * DAY_S)
    assert await Housekeeper(here.engine, 90).forget() == 2
    assert numbers(here) == [3, 4]
    with here.engine.asking.reading() as db:
        found = event_log.after(db, 1, Chosen(), 10)
    assert [each["kind"] for each in found] == ["gap", "gate.decided", "gate.decided"]
    assert found[0] == {"id": 2, "kind": "gap", "from": 2, "to": 2}


async def test_a_ledger_that_cannot_be_written_is_tried_again_later(house):
    here = house()
    await here.engine.start()
    note(here, 1, here.clock.utc() - 91 * DAY_S)
    here.custody.ledger.db.execute("PRAGMA query_only = 1")
    assert await Housekeeper(here.engine, 90).forget() == 0
    here.custody.ledger.db.execute("PRAGMA query_only = 0")
    assert await Housekeeper(here.engine, 90).forget() == 1
