"""Troubles of the machine: each blocks, says so, and ends as the design says."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from daemon_house import Owner

from ownerreportd.core.errors import StorageError
from ownerreportd.core.outcome import InDoubt, Rejected
from ownerreportd.fsio import FsyncError
from ownerreportd.ledger import deliveries
from ownerreportd.ledger.census import Census
from ownerreportd.ledger.store import LedgerError, sqlite_errors

HUGE = 1 << 62


# --- a full disk ---------------------------------------------------------------------------------


async def test_a_full_disk_blocks_before_the_send_and_ends_by_itself(house):
    owner = Owner()
    here = house({"owner": owner}, free_bytes_min=HUGE)
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "disk_full")
        status = await here.desk.status()
        assert ("bytes are free" in status["reason"], status["hint"][:9]) == (True, "make room")
        assert (await here.desk.health())["ok"] is False
        assert owner.sent == []
        here.custody.free_bytes_min = 0
        await here.delivered()
    assert owner.texts == ["first"]


async def test_few_inodes_are_a_full_disk_too(house, monkeypatch):
    here = house()
    here.drop("a.md", "first")
    monkeypatch.setattr(type(here.custody.spool), "room", lambda _spool: (1 << 40, 3))
    async with here.running():
        await here.until(lambda: here.code == "disk_full")
        assert "3 inodes are free" in here.lane.block.reason


async def test_the_ballast_is_given_up_for_a_record_and_a_move(house, monkeypatch):
    here = house()
    here.drop("a.md", "first")
    whole = type(here.custody)._end_attempt
    ballast, refused = here.root / "state" / "ballast", []

    def end(custody, attempt, outcome):
        if ballast.exists():
            refused.append(ballast.stat().st_size)
            raise LedgerError("the ledger: database or disk is full", "disk_full")
        return whole(custody, attempt, outcome)

    monkeypatch.setattr(type(here.custody), "_end_attempt", end)
    async with here.running():
        await here.until(lambda: here.states() == {"a.md": "sent"})
        await here.scanned()
    assert refused == [4 << 20]
    assert ballast.exists(), "kept back again when there is room"


async def test_an_archive_on_a_full_disk_is_made_later_and_nothing_is_sent_again(
    house, monkeypatch
):
    owner = Owner()
    here = house({"owner": owner})
    here.drop("a.md", "first")
    whole = type(here.custody)._close_settled
    full = [True]

    def close(custody, db, report, folder, name, *, gone):
        if full:
            raise LedgerError("the ledger: database or disk is full", "disk_full")
        return whole(custody, db, report, folder, name, gone=gone)

    monkeypatch.setattr(type(here.custody), "_close_settled", close)
    async with here.running():
        await here.until(lambda: here.code == "disk_full")
        assert here.names("sent") == ["a.md"], "moved, and not yet recorded"
        here.drop("a.md", "another of the same name")
        full.clear()
        await here.until(lambda: list(here.states().values()) == ["sent"])
        here.engine.nudge()
        await here.until(lambda: list(here.states().values()) == ["sent", "sent"])
    assert owner.texts == ["first", "another of the same name"]


async def test_a_disk_too_full_for_temporary_files_does_not_end_the_daemon(house, monkeypatch):
    here = house()
    await here.engine.start()

    def full(census, entries):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Census, "missing", _wrapped(full))
    here.drop("a.md", "first")
    await here.scanned()
    async with here.running():
        await here.until(lambda: here.code == "ledger")


def _wrapped(step):
    return sqlite_errors()(step)


# --- a disk that fails ---------------------------------------------------------------------------


async def test_a_failed_fsync_blocks_until_a_restart_and_is_not_tried_again(house, monkeypatch):
    owner = Owner()
    here = house({"owner": owner})
    here.drop("a.md", "first")
    here.drop("b.md", "second")

    def broken(spool, name, folder):
        raise FsyncError(5, "fsync: Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(type(here.custody.spool), "move_report", broken)
        async with here.running():
            await here.until(lambda: here.code == "disk_error")
            with pytest.raises(StorageError, match="Input/output error"):
                await here.retry()
            here.engine.retry()
            with pytest.raises(StorageError):
                await here.skip("b.md")
            await here.until(lambda: here.code == "disk_error")
            assert owner.texts == ["first"]
    here = house({"owner": owner}, clock=here.clock)
    async with here.running():
        await here.delivered()
    assert (owner.texts, here.names("held")) == (["first"], ["b.md"]), "the skip was on record"


async def test_a_ledger_that_fails_blocks_and_does_not_end_the_daemon(house, monkeypatch):
    here = house()
    here.drop("a.md", "first")

    def broken(*args):
        raise sqlite3.DatabaseError("malformed")

    monkeypatch.setattr(deliveries, "pause", broken)
    async with here.running():
        await here.until(lambda: here.code == "ledger")
        assert "malformed" in here.lane.block.reason


async def test_a_look_that_cannot_be_prepared_does_not_end_the_daemon(house, monkeypatch):
    owner = Owner(InDoubt("cut"))
    owner.capabilities = owner.capabilities.__class__(text_max=2000, read_back=True)
    here = house({"owner": owner}, timeout_s=0.01)
    here.drop("a.md", "first")

    def broken(*args, **options):
        raise sqlite3.DatabaseError("malformed")

    monkeypatch.setattr(deliveries, "known_receipts", broken)
    async with here.running():
        await here.until(lambda: here.lane.reason.startswith("a part is in doubt"))
        here.pass_time(1)
        await here.until(lambda: here.code == "ledger")
    assert owner.looked == []


async def test_a_folder_without_permission_blocks_before_the_send(house, monkeypatch):
    owner = Owner()
    here = house({"owner": owner})
    here.drop("a.md", "first")
    monkeypatch.setattr(os, "access", lambda path, _mode: not str(path).endswith("sent"))
    async with here.running():
        await here.until(lambda: here.code == "config")
        assert "no permission to move" in here.lane.block.reason
    assert owner.sent == []


async def test_a_sent_folder_that_was_removed_is_made_again(house):
    owner = Owner()
    here = house({"owner": owner})
    here.drop("a.md", "first")
    (here.root / "sent").rmdir()
    async with here.running():
        await here.delivered()
    assert (owner.texts, here.names("sent")) == (["first"], ["a.md"])


# --- another folder in the place of pending/ -----------------------------------------------------


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_replaced_folder_withdraws_nothing_and_comes_back_by_itself(house, fresh):
    owner = Owner()
    here = house({"owner": owner})
    async with here.running():
        await here.desk.pause(destination=None, who="me")
        here.drop("a.md", "first")
        here.engine.nudge()
        await here.until(lambda: here.states() == {"a.md": "waiting"})
        pending, aside = here.root / "pending", here.root / "aside"
        pending.rename(aside)
        if fresh:
            pending.mkdir()
        here.engine.nudge()
        await here.until(lambda: here.code == "spool_replaced")
        await here.scanned(times=3, apart_s=10)
        assert here.states() == {"a.md": "waiting"}
        with pytest.raises(StorageError, match="another directory" if fresh else "is gone"):
            await here.submit("not into the wrong folder")
        if fresh:
            pending.rmdir()
        aside.rename(pending)
        await here.until(lambda: here.code is None)
        await here.desk.resume(destination=None, who="me")
        await here.delivered()
    assert owner.texts == ["first"]


async def test_a_submit_right_after_the_folder_was_replaced_is_refused_at_once(house):
    here = house()
    await here.engine.start()
    (here.root / "pending").rename(here.root / "aside")
    with pytest.raises(StorageError, match="is gone"):
        await here.submit("text")
    assert not (here.root / "pending").exists()
    (here.root / "aside").rename(here.root / "pending")


async def test_retry_takes_the_new_folder_as_it_is(house):
    owner = Owner()
    here = house({"owner": owner})
    async with here.running():
        await here.desk.pause(destination=None, who="me")
        here.drop("a.md", "first")
        here.engine.nudge()
        await here.until(lambda: here.states() == {"a.md": "waiting"})
        (here.root / "pending").rename(here.root / "aside")
        here.engine.nudge()
        await here.until(lambda: here.code == "spool_replaced")
        with pytest.raises(StorageError, match="there is no folder"):
            await here.retry()
        (here.root / "pending").mkdir()
        here.drop("b.md", "in the new one")
        await here.retry()
        await here.until(lambda: "b.md" in here.states())
        await here.scanned(times=2, apart_s=3)
        assert here.states() == {"a.md": "withdrawn", "b.md": "waiting"}
        await here.desk.resume(destination=None, who="me")
        await here.delivered()
    assert owner.texts == ["in the new one"]


async def test_a_folder_replaced_while_no_daemon_ran_is_noticed_at_the_start(house):
    owner = Owner(Rejected("c", "report", "too odd", "shorten it"))
    here = house({"owner": owner})
    here.drop("a.md", "first")
    async with here.running():
        await here.until(lambda: here.code == "report")
    here.close()
    (here.root / "pending").rename(here.root / "aside")
    here = house({"owner": owner}, clock=here.clock)
    async with here.running():
        await here.until(lambda: here.code == "spool_replaced")
        (here.root / "pending").rmdir()
        (here.root / "aside").rename(here.root / "pending")
        await here.delivered()
    assert owner.texts == ["first"]


# --- no file descriptor left ---------------------------------------------------------------------


def test_a_head_that_finds_no_file_descriptor_is_asked_for_again(tmp_path):
    script = Path(__file__).with_name("without_descriptors.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "None then ['text']\n", "")
