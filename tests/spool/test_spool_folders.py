"""The folders: one spool, one daemon; moves that overwrite nothing and lose nothing."""

import os
import subprocess
import sys
import time

import pytest
from spool_tools import OLD, drop

from ownerreportd import fsio
from ownerreportd.core.errors import ConfigError, SpoolHeldError, StorageError
from ownerreportd.fsio import FsyncError
from ownerreportd.ledger import open_ledger
from ownerreportd.spool import SpoolReplacedError, folders, open_spool


def names(spool, folder):
    return sorted(os.listdir(spool.root / folder))


# --- opening -------------------------------------------------------------------------------------


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(tmp_path):
    first = open_spool(tmp_path)
    open_ledger(tmp_path, first.lock_fd).close()
    with pytest.raises(SpoolHeldError, match=rf"is held by pid {os.getpid()}$") as caught:
        open_spool(tmp_path)
    assert caught.value.exit_status == 73
    first.close()
    first.close()
    open_spool(tmp_path).close()


def test_a_lock_that_nobody_signed_yet_is_held_by_another_process(tmp_path):
    first = open_spool(tmp_path)
    with pytest.raises(SpoolHeldError, match="held by another process"):
        open_spool(tmp_path)
    first.close()


def test_the_lock_dies_with_its_process(tmp_path):
    code = "import sys, pathlib, os; from ownerreportd.spool import open_spool;"
    code += "open_spool(pathlib.Path(sys.argv[1])); os._exit(9)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path])
    assert done.returncode == 9
    open_spool(tmp_path).close()


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs a second file system")
def test_folders_on_several_file_systems_are_refused(tmp_path):
    if os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("the temporary folder is on the same one")
    folder = f"/dev/shm/ownerreportd-test-{os.getpid()}"
    os.mkdir(folder)
    try:
        (tmp_path / "sent").symlink_to(folder)
        with pytest.raises(ConfigError, match="several file systems"):
            open_spool(tmp_path)
    finally:
        os.rmdir(folder)


def test_a_network_file_system_is_refused_unless_forced(tmp_path, monkeypatch):
    monkeypatch.setattr(fsio, "file_system_type", lambda _path: "nfs4")
    with pytest.raises(ConfigError, match=r"network file system \(nfs4\)"):
        open_spool(tmp_path)
    open_spool(tmp_path, force_network_fs=True).close()


def test_the_type_of_a_file_system_is_what_the_kernel_says(tmp_path):
    assert fsio.file_system_type("/proc") == "proc"
    assert fsio.file_system_type(str(tmp_path)) not in fsio.NETWORK_FILE_SYSTEMS


def test_a_root_that_is_no_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        open_spool(tmp_path / "file")


# --- the same folder still? ----------------------------------------------------------------------


def test_a_replaced_pending_is_noticed_at_every_use(spool, pending):
    spool.identity = spool.identify()
    with spool.pending():
        pass
    pending.rename(spool.root / "aside")
    with pytest.raises(SpoolReplacedError, match="is gone"), spool.pending():
        pass
    pending.mkdir()
    with pytest.raises(SpoolReplacedError, match="another directory"):
        spool.move_report(b"a.md", "sent")
    pending.rmdir()
    pending.write_text("no folder")
    with pytest.raises(SpoolReplacedError), spool.pending():
        pass
    pending.unlink()
    (spool.root / "aside").rename(pending)
    with spool.pending():
        pass


def test_every_other_folder_is_made_again(spool, pending):
    (spool.root / "held").rmdir()
    drop(pending, "a.md")
    assert spool.move_report(b"a.md", "held") == b"a.md"


# --- moving --------------------------------------------------------------------------------------


def test_a_taken_name_gets_a_number_and_nothing_is_overwritten(spool, pending):
    made = []
    for text in (b"one", b"two", b"three"):
        drop(pending, "a.md", text)
        made.append(spool.move_report(b"a.md", "sent"))
    assert made == [b"a.md", b"a~2.md", b"a~3.md"]
    assert [(spool.root / "sent" / os.fsdecode(n)).read_bytes() for n in made] == [
        b"one", b"two", b"three",
    ]  # fmt: skip
    assert names(spool, "pending") == []


@pytest.mark.parametrize("name", [b"a" * 252 + b".md", b"\xff" * 252 + b".md"])
def test_the_longest_names_find_a_place_too(spool, pending, name):
    for _ in range(3):
        drop(pending, name)
        spool.move_report(name, "sent")
    moved = os.listdir(os.fsencode(spool.root / "sent"))
    assert len(moved) == 3
    assert name in moved
    assert all(len(n) <= 255 and n.endswith(b".md") for n in moved)


def test_a_report_comes_back_under_a_free_name(spool, pending):
    drop(spool.root / "held", "a.md", b"held")
    drop(pending, "a.md", b"new")
    assert spool.take_back(b"a.md", "held") == b"a~2.md"
    assert (pending / "a~2.md").read_bytes() == b"held"


def test_a_crash_between_link_and_unlink_is_finished(spool, pending):
    drop(pending, "a.md", b"one")
    os.link(pending / "a.md", spool.root / "sent" / "a.md")
    assert spool.move_report(b"a.md", "sent") == b"a.md"
    assert (names(spool, "pending"), names(spool, "sent")) == ([], ["a.md"])


def test_a_crash_between_link_and_unlink_under_a_numbered_name_is_finished(spool, pending):
    drop(spool.root / "sent", "a.md", b"another")
    drop(pending, "a.md", b"one")
    os.link(pending / "a.md", spool.root / "sent" / "a~2.md")
    assert spool.move_report(b"a.md", "sent") == b"a~2.md"
    assert (names(spool, "pending"), names(spool, "sent")) == ([], ["a.md", "a~2.md"])


def test_a_file_that_was_moved_is_found_by_its_inode(spool, pending):
    drop(spool.root / "sent", "a.md")
    drop(pending, "a.md")
    ino = (pending / "a.md").stat().st_ino
    assert spool.find_moved(b"a.md", ino, "sent") is None
    spool.move_report(b"a.md", "sent")
    assert spool.find_moved(b"a.md", ino, "sent") == b"a~2.md"


def test_a_missing_file_is_not_found_and_a_failed_fsync_says_that_nobody_knows(
    spool, pending, monkeypatch
):
    with pytest.raises(FileNotFoundError):
        spool.move_report(b"a.md", "sent")
    drop(pending, "a.md")

    def fsync(_fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(FsyncError):
        spool.move_report(b"a.md", "sent")
    assert names(spool, "sent") == ["a.md"]


def test_a_move_brings_the_new_folder_to_the_disk_before_the_old_one(spool, pending, monkeypatch):
    synced = []

    def fsync(fd):
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))

    monkeypatch.setattr(os, "fsync", fsync)
    drop(pending, "a.md")
    spool.move_report(b"a.md", "sent")
    assert synced == ["sent", "pending"]


# --- rejecting -----------------------------------------------------------------------------------


def test_what_is_no_report_lies_in_rejected_beside_its_reason(spool, pending):
    os.mkfifo(pending / "a.md")
    assert spool.reject(b"a.md", "this is a FIFO") == b"a.md"
    drop(pending, "a.md", b"\0")
    assert spool.reject(b"a.md", "a NUL byte") == b"a~2.md"
    assert names(spool, "rejected") == [
        "a.md", "a.md.reason.txt", "a~2.md", "a~2.md.reason.txt",
    ]  # fmt: skip
    assert (spool.root / "rejected" / "a~2.md.reason.txt").read_text() == "a NUL byte\n"


def test_a_reason_that_a_crash_left_without_its_file_is_written_anew(spool, pending):
    (spool.root / "rejected" / "a.md.reason.txt").write_text("ha")
    drop(pending, "a.md", b"")
    assert spool.reject(b"a.md", "empty") == b"a.md"
    assert (spool.root / "rejected" / "a.md.reason.txt").read_text() == "empty\n"


def test_nothing_is_left_of_a_rejection_whose_file_has_gone(spool):
    with pytest.raises(FileNotFoundError):
        spool.reject(b"a.md", "empty")
    assert names(spool, "rejected") == []


@pytest.mark.parametrize("name", [b"a" * 252 + b".md", b"\xff\xfe.md", b"new\nline.md", b"-rf.md"])
def test_odd_names_are_rejected_like_any_other(spool, pending, name):
    drop(pending, name, b"")
    assert spool.reject(name, "empty") == name
    assert len(os.listdir(spool.root / "rejected")) == 2


# --- ballast and leftovers -----------------------------------------------------------------------


def test_ballast_is_kept_where_there_is_room_and_given_up_once(spool):
    spool.keep_ballast(0)
    spool.keep_ballast(0)
    assert (spool.root / "state" / "ballast").stat().st_blocks * 512 >= folders.BALLAST_BYTES
    assert spool.give_up_ballast()
    assert not spool.give_up_ballast()
    spool.keep_ballast(1 << 62)
    assert names(spool, "state") == ["lock"]


def test_a_ballast_that_finds_no_room_after_all_leaves_nothing(spool, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    spool.keep_ballast(0)
    assert names(spool, "state") == ["lock"]


def test_only_old_leftovers_of_a_submit_are_removed(spool, pending):
    now = time.time()
    for folder, name, at in (
        ("tmp", "old", OLD),
        ("tmp", "fresh", now),
        ("pending", ".ownerreportd-old", OLD),
        ("pending", ".ownerreportd-fresh", now),
        ("pending", ".hidden.md", OLD),
        ("pending", "report.md", OLD),
    ):
        drop(spool.root / folder, name, at=at)
    (spool.root / "tmp" / "folder").mkdir()
    spool.remove_leftovers()
    assert names(spool, "tmp") == ["folder", "fresh"]
    assert names(spool, "pending") == [".hidden.md", ".ownerreportd-fresh", "report.md"]


def test_there_is_room_on_a_disk(spool):
    free_bytes, inodes = spool.room()
    assert free_bytes > 0
    assert inodes > 0
