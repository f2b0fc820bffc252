"""A ledger that is missing or damaged where one was is never replaced silently."""

import os
import sqlite3
import subprocess
import sys

import pytest

from ownerreportd.core.errors import StorageError
from ownerreportd.fsio import FsyncError
from ownerreportd.ledger import (
    LedgerError,
    begin_ledger,
    open_ledger,
    open_reader,
    set_aside_ledger,
    store,
)
from ownerreportd.ledger.schema import VERSION

FILE = "ledger.sqlite3"


def begun(spool):
    """A ledger that was begun and closed again; its path."""
    open_ledger(spool.root, spool.lock_fd).close()
    return spool.root / "state" / FILE


def meta(ledger):
    with ledger.reading() as db:
        return dict(tuple(row) for row in db.execute("SELECT key, value FROM meta"))


def test_a_first_start_begins_a_ledger_and_the_next_one_opens_it(spool):
    ledger = open_ledger(spool.root, spool.lock_fd)
    first = meta(ledger)
    ledger.close()
    ledger = open_ledger(spool.root, spool.lock_fd)
    assert meta(ledger) == first
    assert "doubt_at" not in first
    [mode, synchronous] = [
        ledger.db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    ]
    assert (mode, synchronous) == ("wal", 2)
    ledger.close()


def test_the_lock_says_who_holds_it_and_that_a_ledger_was_begun(spool):
    begun(spool)
    text = (spool.root / "state" / "lock").read_text()
    assert text == f"pid {os.getpid():<10}\nledger 1\n"


def test_a_ledger_that_is_missing_where_one_was_is_refused_and_two_ways_are_named(spool):
    begun(spool).unlink()
    with pytest.raises(StorageError, match="is missing") as caught:
        open_ledger(spool.root, spool.lock_fd)
    assert (caught.value.exit_status, caught.value.code) == (74, "ledger")
    assert "restore it" in caught.value.hint
    assert "doctor --new-ledger" in caught.value.hint


@pytest.mark.parametrize("damage", ["garbage", "empty", "torn", "version"])
def test_a_damaged_ledger_is_refused_and_left_as_it_is(spool, damage):
    path = begun(spool)
    if damage == "version":
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        data = path.read_bytes()
        torn = data[:5000] + os.urandom(4096) + data[9096:]
        path.write_bytes({"garbage": b"no ledger" * 100, "empty": b"", "torn": torn}[damage])
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"damaged|cannot be read|has version"):
        open_ledger(spool.root, spool.lock_fd)
    assert path.read_bytes() == before or damage == "empty"


def test_a_ledger_of_an_earlier_version_is_brought_up_to_this_one(spool):
    path = begun(spool)
    db = sqlite3.connect(path)
    db.execute("DROP INDEX events_gate")
    db.execute("ALTER TABLE throttles DROP COLUMN paced")
    db.execute("INSERT INTO throttles VALUES ('owner', 1, 60)")
    db.execute("INSERT INTO meta VALUES ('mine', 'kept')")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    for _ in range(2):
        ledger = open_ledger(spool.root, spool.lock_fd)
        assert ledger.db.execute("PRAGMA user_version").fetchone()[0] == VERSION
        names = [row[0] for row in ledger.db.execute("SELECT name FROM sqlite_master")]
        assert names.count("events_gate") == 1
        assert meta(ledger)["mine"] == "kept"
        kept = ledger.db.execute("SELECT destination, delay_s, paced FROM throttles").fetchall()
        assert [tuple(row) for row in kept] == [("owner", 60, 0)]
        ledger.close()


@pytest.mark.parametrize("left", [b"", b"SQLite format 3\0half"])
def test_a_first_start_that_died_half_way_is_begun_again(spool, left):
    path = spool.root / "state" / FILE
    path.write_bytes(left)
    path.with_name(FILE + "-wal").write_bytes(b"half")
    ledger = open_ledger(spool.root, spool.lock_fd)
    assert "uuid" in meta(ledger)
    ledger.close()


def test_a_first_start_that_died_before_it_signed_loses_nothing(spool):
    begin_ledger(spool.root).close()
    ledger = open_ledger(spool.root, spool.lock_fd)
    assert "uuid" in meta(ledger)
    ledger.close()


def test_a_process_that_dies_in_a_transaction_leaves_nothing_of_it(spool):
    begun(spool)
    code = """
import os, pathlib, sys
from ownerreportd.ledger import open_ledger
from ownerreportd.spool import open_spool
root = pathlib.Path(sys.argv[1])
spool = open_spool(root)
ledger = open_ledger(root, spool.lock_fd)
with ledger.transaction() as db:
    db.execute("INSERT INTO meta VALUES ('committed', 1)")
with ledger.transaction() as db:
    db.execute("INSERT INTO meta VALUES ('open', 1)")
    os._exit(9)
"""
    root = spool.root
    spool.close()
    assert subprocess.run([sys.executable, "-c", code, root]).returncode == 9
    reader = open_reader(root)
    assert {"committed", "open"} & set(meta(reader)) == {"committed"}
    reader.close()


def test_setting_a_ledger_aside_keeps_it_and_begins_one_in_which_all_is_in_doubt(spool):
    path = begun(spool)
    path.write_bytes(b"damaged")
    path.with_name(FILE + "-wal").write_bytes(b"w")
    names = set_aside_ledger(spool.root, spool.lock_fd)
    assert len(names) == 2
    assert (path.parent / names[0]).read_bytes() == b"damaged"
    ledger = open_ledger(spool.root, spool.lock_fd)
    assert "doubt_at" in meta(ledger)
    ledger.close()


def test_a_missing_ledger_can_be_begun_anew_too(spool):
    begun(spool).unlink()
    assert set_aside_ledger(spool.root, spool.lock_fd) == []
    open_ledger(spool.root, spool.lock_fd).close()


def test_a_crash_between_setting_aside_and_beginning_is_refused_and_can_be_repeated(
    spool, monkeypatch
):
    begun(spool)

    def crash(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "begin_ledger", crash)
        with pytest.raises(KeyboardInterrupt):
            set_aside_ledger(spool.root, spool.lock_fd)
    with pytest.raises(StorageError, match="is missing"):
        open_ledger(spool.root, spool.lock_fd)
    set_aside_ledger(spool.root, spool.lock_fd)
    ledger = open_ledger(spool.root, spool.lock_fd)
    assert "doubt_at" in meta(ledger)
    ledger.close()


def test_a_reader_sees_and_never_changes(spool, ledger):
    reader = open_reader(spool.root)
    with ledger.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('x', 1)")
    assert meta(reader)["x"] == 1
    with pytest.raises(LedgerError) as caught, reader.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('y', 1)")
    assert caught.value.code == "disk_error"
    reader.close()


def test_a_reader_of_nothing_is_a_ledger_error(tmp_path):
    with pytest.raises(LedgerError):
        open_reader(tmp_path)


def test_a_ledger_that_cannot_be_begun_is_a_ledger_error(tmp_path):
    with pytest.raises(LedgerError) as caught:
        begin_ledger(tmp_path)
    assert caught.value.code == "disk_error"


def test_a_transaction_that_fails_leaves_nothing_and_the_next_one_works(ledger):
    def half(statement, *args):
        with ledger.transaction() as db:
            db.execute("INSERT INTO meta VALUES ('x', 1)")
            db.execute(statement, args)

    with pytest.raises(LedgerError) as caught:
        half("INSERT INTO nonsense VALUES (1)")
    assert caught.value.code == "ledger"
    with pytest.raises(TypeError):
        half(None)
    with pytest.raises(LedgerError), ledger.reading() as db:
        db.execute("SELECT * FROM nonsense")
    with ledger.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('y', 1)")
    assert {"x", "y"} & set(meta(ledger)) == {"y"}


def test_a_full_ledger_is_a_full_disk(ledger):
    pages = ledger.db.execute("PRAGMA page_count").fetchone()[0]
    ledger.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerError) as caught, ledger.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('x', ?)", ("x" * 100_000,))
    assert caught.value.code == "disk_full"


def test_what_the_disk_says_becomes_the_lanes_reason():
    assert store.disk_code(OSError(28, "No space left on device")) == "disk_full"
    assert store.disk_code(OSError(122, "Quota exceeded")) == "disk_full"
    assert store.disk_code(OSError(5, "Input/output error")) == "disk_error"
    assert store.disk_code(FsyncError(28, "fsync: No space left on device")) == "disk_error"
