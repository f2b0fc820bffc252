"""Files that come, go, stay open, cannot be read, or are no reports; and the order of many."""

import os
import subprocess
import sys

import anyio
import pytest
from daemon_house import Owner

from ownerreportd.core.outcome import Rejected, Throttled
from ownerreportd.ledger import admission, queue

REFUSED = Rejected("c", "report", "too odd", "shorten it")
HOSTILE = os.path.join(os.path.dirname(__file__), "..", "data", "make_hostile.py")


# --- withdrawn -----------------------------------------------------------------------------------


async def test_a_deleted_report_is_withdrawn_only_after_two_scans_that_miss_it(house):
    here = house({"owner": Owner()})
    path = here.drop("a.md", "first")
    await here.engine.start()
    await here.scanned()
    path.unlink()
    await here.scanned()
    assert here.states() == {"a.md": "waiting"}
    here.clock.advance(1)
    await here.scanned()
    assert here.states() == {"a.md": "waiting"}, "two scans that lie too near each other"
    here.clock.advance(1.5)
    await here.scanned()
    assert here.states() == {"a.md": "withdrawn"}
    assert here.rows("SELECT value FROM totals WHERE name = 'waiting'") == [(0,)]


async def test_an_editor_that_renames_while_it_saves_withdraws_nothing(house):
    here = house({"owner": Owner()})
    path = here.drop("a.md", "old")
    await here.engine.start()
    await here.scanned()
    path.rename(here.root / "pending" / "a.md~")
    await here.scanned()
    here.drop("a.md", "new")
    here.clock.advance(10)
    await here.scanned()
    path.unlink()
    await here.scanned()
    assert here.states() == {"a.md": "waiting"}, "the first absence was forgotten"
    here.drop("a.md", "newest")
    async with here.running():
        await here.until(lambda: here.names("sent") == ["a.md"])
    assert here.channels["owner"].texts == ["newest"]


async def test_a_clock_that_was_set_back_withdraws_nothing_too_early(house):
    here = house({"owner": Owner()})
    path = here.drop("a.md", "first")
    await here.engine.start()
    await here.scanned()
    path.unlink()
    await here.scanned()
    here.clock.advance(-3600)
    await here.scanned()
    here.clock.advance(1)
    await here.scanned()
    assert here.states() == {"a.md": "waiting"}


async def test_a_head_that_is_deleted_lets_the_next_one_go_out(house):
    owner = Owner(Throttled(60))
    here = house({"owner": owner})
    path = here.drop("a.md", "first")
    here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: len(owner.sent) == 1 and here.lane.wake_at)
        path.unlink()
        await here.scanned(times=3, apart_s=3)
        await here.until(lambda: here.states()["a.md"] == "withdrawn")
        here.pass_time(61)
        await here.delivered()
    assert owner.texts == ["second"]
    assert "report.withdrawn" in here.kinds()


async def test_a_file_deleted_after_its_delivery_and_before_the_archive_counts_as_sent(
    house, monkeypatch
):
    here = house({"owner": Owner()})
    path = here.drop("a.md", "first")
    whole = type(here.custody).settle

    def settle(custody, rid):
        path.unlink(missing_ok=True)
        return whole(custody, rid)

    monkeypatch.setattr(type(here.custody), "settle", settle)
    async with here.running():
        await here.until(lambda: here.states()["a.md"] == "sent")
    [(fields,)] = here.rows("SELECT fields FROM events WHERE kind = 'report.warning'")
    assert "its file had been deleted" in fields


async def test_a_report_deleted_before_it_was_read_is_forgotten_and_stops_nothing(house):
    owner = Owner()
    here = house({"owner": owner})
    await here.engine.start()
    path = here.drop("a.md", "first")
    here.drop("b.md", "second")
    await here.engine.intake.scan()
    path.unlink()
    async with here.running():
        await here.delivered()
    assert (owner.texts, here.states()) == (["second"], {"b.md": "sent"})
    assert here.rows("SELECT value FROM totals WHERE name = 'waiting'") == [(0,)]


async def test_what_is_settled_while_a_scan_reads_the_folder_is_not_admitted_again(house):
    here = house({"owner": Owner()})
    here.drop("a.md", "first")
    await here.engine.start()
    await here.scanned()
    _, census = here.engine.intake._take_census()
    async with here.running():
        await here.delivered()
    assert await here.engine.intake._admit(census) == 0
    assert here.states() == {"a.md": "sent"}
    assert "report.warning" not in here.kinds()


# --- a taken name, a crash between move and record -----------------------------------------------


async def test_a_second_report_of_the_same_name_is_archived_beside_the_first(house):
    owner = Owner()
    here = house({"owner": owner})
    async with here.running():
        for text in ("first", "second", "third"):
            here.drop("a.md", text)
            here.engine.nudge()
            await here.delivered()
            await here.until(lambda: "waiting" not in here.states().values())
    assert here.names("sent") == ["a.md", "a~2.md", "a~3.md"]
    assert (here.root / "sent" / "a.md").read_text() == "first"
    assert owner.texts == ["first", "second", "third"]


async def for_ever(here):
    async with here.running():
        await anyio.sleep_forever()


async def test_a_move_that_a_crash_cut_off_from_its_record_is_recorded_later(house, monkeypatch):
    here = house({"owner": Owner()})
    here.drop("a.md", "first")
    whole = type(here.custody)._close_settled

    def crash(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(here.custody), "_close_settled", crash)
    with pytest.raises(BaseExceptionGroup):
        await for_ever(here)
    assert (here.names("sent"), here.states()) == (["a.md"], {"a.md": "waiting"})
    monkeypatch.setattr(type(here.custody), "_close_settled", whole)
    owner = Owner()
    here = house({"owner": owner}, clock=here.clock)
    here.drop("a.md", "another of the same name")
    async with here.running():
        await here.until(lambda: sorted(here.states().values()) == ["sent", "sent"])
    assert owner.texts == ["another of the same name"]
    assert here.names("sent") == ["a.md", "a~2.md"]


# --- files that cannot be taken now --------------------------------------------------------------


async def test_a_file_that_somebody_writes_does_not_hold_up_the_others(house):
    owner = Owner()
    here = house({"owner": owner})
    path = here.drop("a.md", "half")
    here.drop("b.md", "second")
    with path.open("a") as writer:
        async with here.running():
            await here.until(lambda: here.names("pending") == ["a.md"])
            await here.until(here.engine.intake.left_alone)
            assert "open for writing" in here.engine.intake.left_alone()[0]
            writer.write(" and whole")
            writer.close()
            os.utime(path, (1_700_000_000, 1_700_000_000))
            here.engine.nudge()
            await here.delivered()
            await here.until(lambda: len(owner.texts) == 2)
            assert here.engine.intake.left_alone() == []
    assert owner.texts == ["second", "half and whole"]


async def test_a_file_that_stays_open_is_told_of_once(house):
    here = house({"owner": Owner()})
    path = here.drop("a.md", "half")
    await here.engine.start()
    with path.open("a"):
        for _ in range(5):
            await here.scanned()
            for name in here.engine.intake.shelf.names:
                ino, ctime_ns, _, reason = here.engine.intake.shelf.names[name]
                here.engine.intake.shelf.names[name] = (ino, ctime_ns, 1, reason)
    assert here.kinds().count("report.warning") == 1


async def test_a_frozen_report_that_is_opened_for_writing_steps_aside(house):
    owner = Owner()
    here = house({"owner": owner})
    path = here.drop("a.md", "old")
    here.drop("b.md", "second")
    await here.engine.start()
    await here.scanned()
    with path.open("a") as writer:
        writer.write(" and more")
        writer.flush()
        async with here.running():
            await here.until(lambda: owner.texts == ["second"])
            writer.close()
            os.utime(path, (1_700_000_000, 1_700_000_000))
            here.engine.nudge()
            await here.delivered()
    assert owner.texts == ["second", "old and more"]


async def test_an_unreadable_file_is_left_and_named_and_stops_nothing(house, monkeypatch):
    owner = Owner()
    here = house({"owner": owner})
    here.drop("a.md", "secret")
    here.drop("b.md", "second")
    readable = []
    whole = os.open

    def refusing(path, *args, **options):
        if path == b"a.md" and not readable:
            raise PermissionError(13, "Permission denied")
        return whole(path, *args, **options)

    monkeypatch.setattr(os, "open", refusing)
    async with here.running():
        await here.until(lambda: here.names("sent") == ["b.md"])
        await here.until(here.engine.intake.left_alone)
        assert (await here.desk.status())["left_alone"] == ["a.md (no permission to read it)"]
        assert here.rows("SELECT value FROM totals WHERE name = 'waiting'") == [(0,)]
        readable.append(True)
        (here.root / "pending" / "a.md").chmod(0o644)
        (here.root / "pending" / "a.md").chmod(0o600)
        here.engine.nudge()
        await here.delivered()
    assert owner.texts == ["second", "secret"]


async def test_an_unreadable_file_that_is_removed_is_named_no_more(house):
    here = house()
    path = here.drop("a.md", "secret")
    await here.engine.start()
    with path.open("a"):
        await here.scanned()
    assert len(here.engine.intake.left_alone()) == 1
    path.unlink()
    await here.scanned()
    assert here.engine.intake.left_alone() == []


async def test_a_forgotten_report_whose_destination_had_changed_stops_nothing(house):
    """Its withdrawn delivery must not keep the row from being forgotten."""
    here = house({"owner": Owner(REFUSED)})
    here.drop("a.md", "first")
    path = here.drop("b.md", "second")
    async with here.running():
        await here.until(lambda: here.code == "report")
        await here.scanned()
        await here.skip("a.md")
        await here.desk.pause(destination=None, who="me")
    here = house({"owner": Owner()}, targets={"owner": "elsewhere"}, clock=here.clock)
    here.drop("c.md", "third")
    await here.engine.start()
    path.unlink(missing_ok=True)
    async with here.running():
        await here.desk.resume(destination=None, who="me")
        await here.delivered()
    assert here.code is None


# --- what is no report ---------------------------------------------------------------------------


async def test_everything_hostile_is_delivered_set_aside_or_left_alone_and_stops_nothing(house):
    here = house({"owner": Owner(can=None)})
    subprocess.run([sys.executable, HOSTILE, str(here.root / "pending")], check=True)
    for name in os.listdir(os.fsencode(here.root / "pending")):
        path = os.path.join(os.fsencode(here.root / "pending"), name)
        if not os.path.islink(path):
            os.utime(path, (1_700_000_000, 1_700_000_000))
    async with here.running():
        await here.until(lambda: here.states().get("good-among-them.md") == "sent")
        await here.until(lambda: "waiting" not in here.states().values())
    assert set(here.names("rejected")) == {
        "empty.md", "blank.md", "binary.md", "latin1.md", "nul-tail.md", "too-large.md",
        "fifo.md", "socket.md", "link-to-secret.md", "link-dangling.md",
    }  # fmt: skip
    for name in here.names("rejected"):
        assert (here.root / "rejected" / f"{name}.reason.txt").read_text().strip()
    left = set(here.names("pending"))
    if os.getuid() == 0:
        left.add("unreadable.md")  # root may read everything
    assert left == {".hidden.md", "half.md.tmp", "notes.txt", "directory.md", "unreadable.md"}
    sent = os.listdir(os.fsencode(here.root / "sent"))
    for name in (b"not-utf8-\xff\xfe.md", b"new\nline.md", b"-rf.md", b"a" * 251 + b".md"):
        assert name in sent
    assert here.engine.intake.left_alone() == ["notes.txt (a report's name ends in .md)"]
    rejected = here.rows("SELECT value FROM totals WHERE name = 'rejected'")
    assert rejected == [(len(here.names("rejected")),)]


# --- many ----------------------------------------------------------------------------------------


async def test_a_backlog_is_admitted_in_the_order_of_names_times_then_mtimes_then_names(house):
    here = house()
    await here.engine.start()
    expected = []
    for number in range(3000):
        at = 1_700_000_000 + (number * 7919) % 3000
        if number % 3:
            name = f"{number:04}.md"
        else:
            stamp = f"20231114T{22 + at // 3600 % 1:02}1320.{at - 1_700_000_000:06}Z"
            name = f"{stamp}-team-{number:04}.md"
        path = here.root / "pending" / name
        path.write_text("x")
        os.utime(path, (at, at))
        fraction_ns = 0 if number % 3 else (at - 1_700_000_000) * 1000
        at_ns = at * 10**9 if number % 3 else 1_700_000_000 * 10**9 + fraction_ns
        expected.append((at_ns, at * 10**9, name.encode()))
    assert (await here.engine.intake.scan()).admitted == 3000
    names = [name for (name,) in here.rows("SELECT name FROM reports ORDER BY seq")]
    assert names == [name for _, _, name in sorted(expected)]
    before = here.rows("SELECT name, seq FROM reports ORDER BY seq")
    os.utime(here.root / "pending" / "0001.md", (1, 1))
    assert (await here.engine.intake.scan()).admitted == 0
    assert here.rows("SELECT name, seq FROM reports ORDER BY seq") == before
    assert here.rows("SELECT count(*) FROM reports WHERE fields IS NOT NULL") == [(0,)]


async def test_a_fresh_file_is_taken_when_it_has_rested(house):
    owner = Owner()
    here = house({"owner": owner}, settle_s=0.2)
    async with here.running():
        (here.root / "pending" / "a.md").write_text("fresh")
        here.engine.nudge()
        await here.delivered()
    assert owner.texts == ["fresh"]


async def test_the_watcher_notices_a_new_file_by_itself(house):
    owner = Owner()
    here = house({"owner": owner})
    async with here.running(watching=True):
        here.drop("a.md", "first")
        await here.delivered()
    assert owner.texts == ["first"]


@pytest.mark.parametrize("folder", ["rejected", "held"])
async def test_a_report_set_aside_just_before_a_crash_has_its_row_closed_later(house, folder):
    here = house()
    here.drop("a.md", "" if folder == "rejected" else "text")
    await here.engine.start()
    await here.engine.intake.scan()
    if folder == "rejected":
        here.custody.spool.reject(b"a.md", "empty")
    else:
        here.custody.spool.move_report(b"a.md", "held")
    here = house(clock=here.clock)
    async with here.running():
        await here.until(lambda: here.states() == {"a.md": folder})
    assert here.rows("SELECT value FROM totals WHERE name = 'waiting'") == [(0,)]
    assert f"report.{folder}" in here.kinds()


async def test_a_delivered_report_whose_move_was_not_recorded_is_found_by_a_scan(house):
    owner = Owner()
    here = house({"owner": owner})
    here.drop("a.md", "text")
    await here.engine.start()
    await here.scanned()
    delivery = (await here.engine.intake.fetch()).delivery.id
    opened = here.custody.open_attempt(delivery, 1, "plain")
    here.custody.close_attempt(opened.attempt, await owner.send(opened.part))
    here.custody.spool.move_report(b"a.md", "sent")
    await here.scanned()
    assert here.states() == {"a.md": "sent"}
    assert here.rows("SELECT value FROM totals WHERE name = 'sent'") == [(1,)]


async def test_a_report_that_left_the_queue_while_it_was_read_is_no_error(house):
    owner = Owner()
    here = house({"owner": owner})
    here.drop("a.md", "text")
    await here.engine.start()
    await here.engine.intake.scan()
    with here.custody.ledger.transaction() as db:
        [report] = queue.near_head(db, 1)
        admission.forget(db, report.rid, "", here.clock.utc())
    assert await here.engine.intake.freeze(report) is None
    async with here.running():
        await here.delivered()
    assert owner.texts == ["text"]
