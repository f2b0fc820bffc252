"""A pass over pending/: it says what is there, opens nothing, and waits for what is fresh."""

import os
import subprocess
import sys
import time

from spool_tools import HOSTILE, OLD, drop

from ownerreportd import fsio
from ownerreportd.spool import scan as scanning
from ownerreportd.spool.scan import Scan, Shelf, submitted_at_ns


def scanned(folder, settle_s=1.0, shelf=None):
    """The entries of one pass by name, and the pass."""
    with fsio.directory(folder) as fd:
        scan = Scan(fd, settle_s, Shelf() if shelf is None else shelf)
        entries = [entry for batch in scan.batches() for entry in batch]
    return {entry.name: entry for entry in entries}, scan


def test_everything_hostile_is_seen_as_what_it_is(pending):
    subprocess.run([sys.executable, HOSTILE, str(pending)], check=True)
    entries, scan = scanned(pending)
    assert {name for name, _ in scan.odd} == {
        b"fifo.md", b"link-to-secret.md", b"link-dangling.md", b"socket.md",
    }  # fmt: skip
    assert dict(scan.odd)[b"fifo.md"] == "this is a FIFO, not a regular file"
    assert dict(scan.odd)[b"link-to-secret.md"] == "this is a symbolic link, not a regular file"
    assert (scan.slips, scan.slip_count) == ([b"notes.txt"], 1)
    for name in (b"not-utf8-\xff\xfe.md", b"new\nline.md", b"-rf.md", b"a" * 251 + b".md"):
        assert name in entries
    assert not {b".hidden.md", b"half.md.tmp", b"directory.md"} & set(entries)
    assert len(entries) == 15


def test_a_file_is_ripe_when_it_has_rested(pending):
    drop(pending, "old.md")
    drop(pending, "fresh.md", at=time.time())
    entries, scan = scanned(pending)
    assert (entries[b"old.md"].ripe, entries[b"fresh.md"].ripe) == (True, False)
    assert 0 < scan.due_ns - time.time_ns() <= 1.1e9
    assert scanned(pending, settle_s=0)[0][b"fresh.md"].ripe


def test_an_entry_carries_what_tells_whether_the_file_is_the_same(pending):
    drop(pending, "a.md", b"12345")
    entry = scanned(pending)[0][b"a.md"]
    found = fsio.FileStat.of((pending / "a.md").stat())
    assert (entry.dev, entry.ino, entry.size) == (found.dev, found.ino, 5)
    assert (entry.mtime_ns, entry.ctime_ns) == (OLD * 10**9, found.ctime_ns)
    assert entry.at_ns == OLD * 10**9


def test_a_name_as_submit_makes_it_is_trusted_at_once_and_carries_the_time(pending):
    name = drop(pending, "20261122T105400.123456Z-team-task-some-id.md", at=time.time())
    entry = scanned(pending, settle_s=60)[0][name]
    assert entry.ripe
    assert entry.at_ns == 1_795_344_840_123_456_000


def test_names_that_only_look_like_it_carry_no_time():
    for name in (
        b"20261122T105400.123456Z-x.md",
        b"20261122T105400Z-x-id.md",
        b"20261322T105400.123456Z-x-id.md",
        b"20261122T105400.123456Z-x-id.txt",
        b"20261122T105400.123456Z-x-" + b"i" * 65 + b".md",
        b"20261122T105400.123456Z-x-i d.md",
    ):
        assert submitted_at_ns(name) is None


def test_a_time_ahead_of_the_clock_rests_by_being_watched(pending, monkeypatch):
    shelf, ticks = Shelf(), [10**12]
    monkeypatch.setattr(time, "monotonic_ns", lambda: ticks[0])
    drop(pending, "a.md", at=time.time() + 3600)
    entries, scan = scanned(pending, shelf=shelf)
    assert (entries[b"a.md"].ripe, scan.due_ns is not None) == (False, True)
    ticks[0] += 10**9
    drop(pending, "a.md", at=time.time() + 7200)
    assert not scanned(pending, shelf=shelf)[0][b"a.md"].ripe, "it changed meanwhile"
    ticks[0] += 10**9
    assert scanned(pending, shelf=shelf)[0][b"a.md"].ripe
    entries, scan = scanned(pending, shelf=shelf)
    assert (entries[b"a.md"].ripe, scan.due_ns) == (True, None), "watched no more while it waits"


def test_more_times_ahead_than_can_be_watched_are_taken_one_lot_after_another(pending, monkeypatch):
    shelf, ticks, ripe = Shelf(), [10**12], set()
    monkeypatch.setattr(time, "monotonic_ns", lambda: ticks[0])
    monkeypatch.setattr(scanning, "FUTURE_MAX", 4)
    for number in range(10):
        drop(pending, f"{number}.md", at=time.time() + 3600)
    for _ in range(12):
        entries, _ = scanned(pending, shelf=shelf)
        for name, entry in entries.items():
            if entry.ripe:
                ripe.add(name)
                (pending / os.fsdecode(name)).unlink()
        assert len(shelf.future) <= 4
        ticks[0] += 10**9
    assert len(ripe) == 10


def test_what_is_on_the_shelf_is_left_alone_until_it_changes_or_its_time_comes(pending):
    shelf = Shelf()
    drop(pending, "a.md")
    found = fsio.FileStat.of((pending / "a.md").stat())
    shelf.put(b"a.md", found, "no permission")
    entries, scan = scanned(pending, shelf=shelf)
    assert (entries[b"a.md"].ripe, scan.due_ns) == (False, None)
    (pending / "a.md").chmod(0o600)
    assert scanned(pending, shelf=shelf)[0][b"a.md"].ripe
    shelf.put(b"a.md", fsio.FileStat.of((pending / "a.md").stat()), "open", time.time_ns() + 10**10)
    entries, scan = scanned(pending, shelf=shelf)
    assert not entries[b"a.md"].ripe
    assert scan.due_ns == shelf.due_ns()
    shelf.put(b"a.md", fsio.FileStat.of((pending / "a.md").stat()), "open", 1)
    assert scanned(pending, shelf=shelf)[0][b"a.md"].ripe


def test_what_has_gone_is_taken_off_the_shelf(pending):
    shelf = Shelf()
    shelf.put(b"gone.md", fsio.FileStat(1, 2, 3, 4, 5), "no permission")
    scanned(pending, shelf=shelf)
    assert shelf.names == {}
    assert shelf.take(b"gone.md") is None


def test_slips_are_counted_and_some_are_named_but_no_folders(pending):
    for number in range(25):
        drop(pending, f"{number:02}.markdown")
    for name in ("A.MD", "b.Txt", "c.md ", "half.md.tmp", "c.md.swp", "data.json", "md"):
        drop(pending, name)
    (pending / "folder.txt").mkdir()
    _, scan = scanned(pending)
    assert (len(scan.slips), scan.slip_count) == (20, 28)


def test_odd_things_are_bounded(pending, monkeypatch):
    monkeypatch.setattr(scanning, "ODD_MAX", 3)
    for number in range(5):
        os.symlink("nowhere", pending / f"{number}.md")
    assert len(scanned(pending)[1].odd) == 3


def test_a_pass_comes_in_batches(pending, monkeypatch):
    monkeypatch.setattr(scanning, "BATCH", 4)
    for number in range(10):
        drop(pending, f"{number}.md")
    with fsio.directory(pending) as fd:
        sizes = [len(batch) for batch in Scan(fd, 1, Shelf()).batches()]
    assert sizes == [4, 4, 2]


def test_a_pass_opens_nothing_and_follows_no_link(pending, monkeypatch):
    os.mkfifo(pending / "fifo.md")
    os.symlink(pending / "fifo.md", pending / "link.md")
    drop(pending, "a.md")
    with fsio.directory(pending) as fd:

        def refuse(*_args, **_options):
            raise AssertionError("a pass opens nothing")

        monkeypatch.setattr(os, "open", refuse)
        entries = [entry for batch in Scan(fd, 1, Shelf()).batches() for entry in batch]
    assert [entry.name for entry in entries] == [b"a.md"]
