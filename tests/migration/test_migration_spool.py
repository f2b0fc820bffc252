"""An old spool becomes history and queue; old runs are found among the processes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing

import pytest

from ownerreportd.app.migration.adopting import BYTES_MAX, adopt, left_by_old
from ownerreportd.app.migration.running import old_runs, wait_for_end
from ownerreportd.app.migration.scripts import Scripts, shipped
from ownerreportd.core.errors import SpoolHeldError
from ownerreportd.ledger import open_reader
from ownerreportd.spool import open_spool


@pytest.fixture
def spool(tmp_path):
    spool = open_spool(tmp_path / "spool")
    yield spool
    spool.close()


def put(spool, folder, name, data, at):
    path = spool.root / folder / name
    path.write_bytes(data)
    os.utime(path, (at, at))


def rows(spool, what):
    with closing(open_reader(spool.root)) as reader, reader.reading() as db:
        return [tuple(row) for row in db.execute(f"SELECT {what} FROM reports ORDER BY seq")]


def test_history_comes_first_in_its_order_then_the_queue(spool):
    put(spool, "sent", "b.md", b"one", 1_000)
    put(spool, "sent", "a.md", b"---\ntask_id: t\n---\ntwo", 2_000)
    put(spool, "sent", "no-report.txt", b"left alone", 1_000)
    put(spool, "pending", "z.md", b"three", 3_000)
    put(spool, "pending", "y.md", b"four", 4_000)
    done = adopt(spool)
    assert (done.history, done.queued, done.twins) == (2, 2, ())
    assert rows(spool, "name, state, folder") == [
        (b"b.md", "sent", "sent"), (b"a.md", "sent", "sent"),
        (b"z.md", "waiting", "pending"), (b"y.md", "waiting", "pending"),
    ]  # fmt: skip
    assert left_by_old(spool.root) == (2, 0, True, ())
    assert adopt(spool)[:2] == (0, 0)
    assert len(rows(spool, "1")) == 4


def test_what_cannot_be_a_report_is_history_all_the_same(spool):
    put(spool, "sent", "1.md", b"", 1_000)
    put(spool, "sent", "2.md", b"\xff\x00", 2_000)
    put(spool, "sent", "3.md", b"x" * (BYTES_MAX + 1), 3_000)
    put(spool, "sent", os.fsdecode(b"\xff.md"), b"x", 4_000)
    os.symlink("/etc/passwd", spool.root / "sent" / "link.md")
    assert adopt(spool).history == 4
    assert [state for (state,) in rows(spool, "state")] == ["sent"] * 4


def test_the_same_bytes_are_a_twin_only_under_the_same_name_and_no_younger(spool):
    for name, pending_at, sent_at in (("same", 1_000, 1_000), ("younger", 2_000, 1_000)):
        put(spool, "pending", f"{name}.md", b"text", pending_at)
        put(spool, "sent", f"{name}.md", b"text", sent_at)
    put(spool, "pending", "other-name.md", b"text", 900)
    put(spool, "pending", "other-bytes.md", b"texT", 900)
    put(spool, "sent", "other-bytes.md", b"text", 1_000)
    done = adopt(spool)
    assert done.twins == ("same.md",)
    assert (done.history, done.queued) == (3, 3)
    assert os.listdir(spool.root / "held") == ["same.md"]


def test_an_old_run_is_found_and_an_editor_is_none(tmp_path):
    name = tmp_path / "run_owner_report_watchdog.sh"
    name.write_text("#!/bin/sh\nread line\n")
    name.chmod(0o755)
    before = {run.pid for run in old_runs()}
    reads = {"stdin": subprocess.PIPE}
    with (
        subprocess.Popen([name], **reads) as direct,
        subprocess.Popen(["sh", "-c", f"{name} >> /dev/null; true"], **reads) as by_cron,
        subprocess.Popen(["tail", "-f", name, "/dev/null"], stdout=subprocess.DEVNULL) as reader,
        subprocess.Popen([sys.executable, "-c", "input()"], **reads) as other,
    ):
        try:
            found = {run.pid for run in old_runs()} - before
            with pytest.raises(SpoolHeldError, match="a run of the old scripts is under way"):
                wait_for_end(0)
        finally:
            reader.kill()
            for process in (direct, by_cron, other):
                process.kill()
        assert {direct.pid, by_cron.pid} <= found
        assert not {reader.pid, other.pid} & found


def test_copies_are_never_written_over(tmp_path):
    scripts = Scripts(tmp_path / "scripts", tmp_path / "keep", ["/usr/bin/true"])
    scripts.folder.mkdir()
    old = scripts.folder / "owner_report_driver.py"
    for text in ("one", "two", "one"):
        old.write_text(text)
        scripts.put(old.name)
    kept = {path.name: path.read_text() for path in scripts.keep.iterdir()}
    texts = [text for text in kept.values() if "ownerreportd" not in text]
    assert sorted(texts) == ["one", "two"]
    assert set(scripts.due()) == set(shipped()) - {old.name}
