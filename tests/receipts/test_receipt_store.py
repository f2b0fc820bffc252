"""Receipts as files: whole, once, found, listed, retained; and files of others left in peace."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta

import pytest
from gate.gate_tools import NOW, receipt
from hypothesis import given, settings
from hypothesis import strategies as st

from ownerreportd.core.errors import StorageError
from ownerreportd.gate import LookUp, canonical, receipt_name, validate_receipt
from ownerreportd.receipts import Filter, ReceiptStore

DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path):
    return ReceiptStore(tmp_path / "state" / "receipts", retention_days=90)


def names(store):
    return sorted(os.listdir(store.folder))


def newest(store, plan="approved-plan-1", task="task-3", since=NOW - DAY, now=NOW):
    return store.newest(LookUp(plan, task, since), now)


def drop(store, name, data):
    store.folder.mkdir(parents=True, exist_ok=True)
    path = store.folder / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


# --- write ---------------------------------------------------------------------------------------


def test_a_receipt_is_one_file_of_its_owners_own(store):
    path, created = store.write(receipt())
    assert (created, path.name) == (True, receipt_name(receipt()))
    assert names(store) == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_bytes()) == receipt()


def test_the_same_receipt_again_is_the_same_file_and_no_error(store):
    first, _ = store.write(receipt())
    before = first.stat()
    again, created = store.write(dict(reversed(receipt().items())))
    assert (again, created) == (first, False)
    assert first.stat() == before
    assert len(names(store)) == 1


def test_a_name_that_holds_something_else_is_never_overwritten(store):
    path = drop(store, receipt_name(receipt()), b"mine")
    with pytest.raises(StorageError, match="holds something else"):
        store.write(receipt())
    assert path.read_bytes() == b"mine"
    assert names(store) == [path.name]


def test_a_link_in_the_place_of_a_receipt_is_not_followed(store, tmp_path):
    target = tmp_path / "target"
    target.write_bytes(canonical(receipt()))
    store.folder.mkdir(parents=True)
    (store.folder / receipt_name(receipt())).symlink_to(target)
    with pytest.raises(StorageError):
        store.write(receipt())
    assert target.read_bytes() == canonical(receipt())


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    store = ReceiptStore(tmp_path / "file" / "receipts")
    with pytest.raises(StorageError, match="receipts"):
        store.write(receipt())
    with pytest.raises(StorageError, match="cannot read the receipts"):
        store.listed(Filter(), 10, NOW)


@given(plan=st.text(min_size=1, max_size=60), task=st.text(min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_plan_or_task_leaves_the_folder(tmp_path_factory, plan, task):
    folder = tmp_path_factory.mktemp("r")
    store = ReceiptStore(folder / "receipts")
    for each in (plan, f"../{plan}", f"/{plan}", f"{plan}\0/../../x"):
        found = validate_receipt(receipt(planId=each, currentTask=task), NOW)
        if found.valid:
            path, _ = store.write(found.receipt)
            assert path.parent == store.folder
            assert path.is_file()
    assert os.listdir(folder) in ([], ["receipts"])


# --- look up and list ----------------------------------------------------------------------------


def test_the_newest_of_plan_and_task_is_looked_up(store):
    for minutes in (30, 10, 20):
        at = NOW - timedelta(minutes=minutes)
        store.write(receipt(at, dispatchRunId=f"run-{minutes}"))
    store.write(receipt(NOW, currentTask="task-4"))
    store.write(receipt(NOW, planId="approved-plan-2"))
    assert newest(store)["dispatchRunId"] == "run-10"
    assert newest(store, task="task-4")["currentTask"] == "task-4"
    assert newest(store, task="task-5") is None


def test_what_lies_ahead_of_the_clock_waits_for_its_time(store):
    store.write(receipt(NOW - timedelta(hours=1), dispatchRunId="old"))
    drop(store, "ahead.json", receipt(NOW + timedelta(hours=1), dispatchRunId="ahead"))
    assert newest(store)["dispatchRunId"] == "old"
    assert [each["receipt"]["dispatchRunId"] for each in store.listed(Filter(), 9, NOW)] == ["old"]
    assert [each["file"] for each in store.invalid(NOW)] == ["ahead.json"]
    later = NOW + timedelta(hours=1)
    assert newest(store, now=later)["dispatchRunId"] == "ahead"
    assert store.invalid(later) == []


def test_times_are_compared_and_not_their_spelling(store):
    store.write({**receipt(dispatchRunId="early"), "dispatchedAt": "2026-03-01T19:00:00+08:00"})
    store.write({**receipt(dispatchRunId="late"), "dispatchedAt": "2026-03-01T11:30:00Z"})
    assert newest(store)["dispatchRunId"] == "late"


def test_the_list_is_filtered_and_newest_first(store):
    for number in range(6):
        at = NOW - timedelta(minutes=number)
        plan = f"approved-plan-{number % 2}"
        store.write(receipt(at, planId=plan, dispatchRunId=f"run-{number}"))

    def runs(limit=10, **wanted):
        found = store.listed(Filter(**wanted), limit, NOW)
        return [int(each["receipt"]["dispatchRunId"][4:]) for each in found]

    assert runs() == [0, 1, 2, 3, 4, 5]
    assert runs(limit=2) == [0, 1]
    assert runs(plan_id="approved-plan-1") == [1, 3, 5]
    assert runs(run_id="run-4") == [4]
    assert runs(current_task="task-9") == []
    assert runs(since=NOW - timedelta(minutes=2)) == [0, 1, 2]


# --- files of others -----------------------------------------------------------------------------


def test_a_file_that_somebody_else_wrote_is_picked_up_at_once_and_so_is_its_end(store):
    assert newest(store) is None
    path = drop(store, "by-hand.json", receipt(dispatchRunId="hand"))
    assert newest(store)["dispatchRunId"] == "hand"
    path.write_text(json.dumps(receipt(dispatchRunId="edited")))
    assert newest(store)["dispatchRunId"] == "edited"
    path.unlink()
    assert newest(store) is None


def test_a_file_that_is_rewritten_in_place_for_another_task_is_seen_within_two_seconds(store):
    path = drop(store, "current.json", receipt())
    old_s = datetime.now(UTC).timestamp() - 300
    for each in (path, store.folder):
        os.utime(each, (old_s, old_s))
    store.refresh(1000.0)
    path.write_text(json.dumps(receipt(currentTask="task-9")))
    store.refresh(1002.0)
    assert newest(store, task="task-9") is not None
    assert newest(store) is None


def test_a_file_that_is_still_being_written_counts_when_it_is_whole(store):
    data = canonical(receipt())
    path = drop(store, "slow.json", data[:40])
    assert newest(store) is None
    assert [each["file"] for each in store.invalid(NOW)] == ["slow.json"]
    path.write_bytes(data)
    assert newest(store) == receipt()
    assert store.invalid(NOW) == []


def test_what_is_no_receipt_is_told_of_and_left_alone(store):
    drop(store, "text.json", b"hello")
    drop(store, "list.json", [])
    drop(store, "part.json", receipt(dispatchRunId=None))
    drop(store, "huge.json", b" " * 300_000)
    drop(store, "deep.json", b"[" * 100_000)
    drop(store, "other.txt", receipt())
    drop(store, ".hidden.json", receipt())
    (store.folder / "folder.json").mkdir()
    os.mkfifo(store.folder / "fifo.json")
    (store.folder / "link.json").symlink_to("/etc/hostname")
    before = names(store)
    assert store.listed(Filter(), 10, NOW) == []
    assert {each["file"]: each["reason"] for each in store.invalid(NOW)} == {
        "deep.json": "it is no valid JSON",
        "fifo.json": "it is a FIFO",
        "folder.json": "it is a directory",
        "huge.json": "it has over 262,144 bytes",
        "link.json": "it is a symbolic link",
        "list.json": "/ must be an object, and is a list",
        "part.json": "/dispatchRunId must be a string, and not blank",
        "text.json": "it is no valid JSON",
    }
    store.sweep(NOW + 1000 * DAY)
    assert names(store) == before


def test_a_name_that_is_no_utf_8_is_read_too(store):
    store.folder.mkdir(parents=True)
    path = os.fsencode(store.folder) + b"/\xff.json"
    with open(path, "wb") as file:
        file.write(canonical(receipt()))
    [found] = store.listed(Filter(), 10, NOW)
    assert found["receipt"] == receipt()


class Counting(ReceiptStore):
    """A store that says how often it has read its folder."""

    scans = 0

    def _scan(self, fd, *, full):
        Counting.scans += 1
        super()._scan(fd, full=full)


def test_an_unchanged_folder_costs_a_glance(tmp_path):
    store = Counting(tmp_path / "receipts")
    store.write(receipt(NOW))
    long_ago_s = datetime.now(UTC).timestamp() - 3600
    for path in (*store.folder.iterdir(), store.folder):
        os.utime(path, (long_ago_s, long_ago_s))
    store.refresh(100.0)
    assert Counting.scans == 1
    store.refresh(101.0)
    assert Counting.scans == 1
    store.refresh(131.0)
    assert Counting.scans == 2


def test_the_first_scan_reads_only_what_is_wanted_and_no_file_is_forgotten(store):
    for number in range(30):
        store.write(receipt(NOW - timedelta(minutes=number), currentTask=f"task-{number % 10}"))
    drop(store, "by-hand.json", receipt(NOW - timedelta(minutes=99), dispatchRunId="hand"))
    broken = drop(store, "20260301T000000Z-approved-plan-1-task-7-00000000.json", b"broken")
    fresh = ReceiptStore(store.folder, retention_days=90)
    fresh.refresh()
    assert len(fresh._index.entries) == 1
    assert not fresh.surely_none(LookUp("approved-plan-1", "task-3", NOW - DAY))
    assert (
        newest(fresh, task="task-3")["dispatchedAt"]
        == receipt(NOW - timedelta(minutes=3))["dispatchedAt"]
    )
    assert len(fresh._index.entries) == 4  # task-3's three, and the one by hand
    assert fresh.read_on(2) == 2
    (store.folder / receipt_name(receipt(NOW, currentTask="task-0"))).unlink()
    assert len(fresh.listed(Filter(), 100, NOW)) == 30
    assert [each["file"] for each in fresh.invalid(NOW)] == [broken.name]
    assert fresh.read_on(10) == 0
    assert ReceiptStore(store.folder, retention_days=1).sweep(NOW + 3 * DAY) == 0  # just written


def test_what_was_put_off_is_removed_in_its_time_too(store):
    old, young = (written(store, NOW - days * DAY) for days in (91, 1))
    again = ReceiptStore(store.folder, retention_days=90)
    assert again.sweep(NOW) == 1
    assert names(store) == [young.name]
    assert not old.exists()


# --- retention -----------------------------------------------------------------------------------


def written(store, at):
    """A receipt that was written when it says that it was dispatched."""
    path, _ = store.write(receipt(at))
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def test_our_own_old_receipts_are_removed_and_no_others(store):
    old = written(store, NOW - 91 * DAY)
    young = written(store, NOW - 89 * DAY)
    late, _ = store.write(receipt(NOW - 200 * DAY))  # of long ago, and written just now
    hand = drop(store, "hand.json", receipt(NOW - 400 * DAY))
    forged = drop(store, old.name.replace("task-3-", "task-3-0"), receipt(NOW - 400 * DAY))
    assert store.sweep(NOW) == 1
    assert names(store) == sorted([young.name, late.name, hand.name, forged.name])
    assert store.sweep(NOW) == 0


def test_without_retention_everything_stays(store):
    store.retention_days = 0
    store.write(receipt(NOW - 4000 * DAY))
    assert store.sweep(NOW) == 0
    store.retention_days = 1e9  # before the first day of the calendar
    assert store.sweep(NOW) == 0
    assert len(names(store)) == 1


def test_what_a_dead_writer_left_is_removed_an_hour_later(store):
    store.write(receipt())
    name = f".{receipt_name(receipt())}.0123456789abcdef.new"
    fresh = drop(store, name, b"half")
    stale = drop(store, name.replace("0123", "4567"), b"half")
    other = drop(store, ".keep.new", b"not ours")
    os.utime(stale, (1, 1))
    os.utime(other, (1, 1))
    store.sweep(NOW)
    assert (fresh.exists(), stale.exists(), other.exists()) == (True, False, True)


def test_a_store_without_a_folder_is_empty(store):
    assert store.sweep(NOW) == 0
    assert store.listed(Filter(), 10, NOW) == []
    assert not store.folder.exists()
