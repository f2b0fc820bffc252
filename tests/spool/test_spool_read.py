"""Reading a report: nothing is followed, nothing blocks, nothing half-written is taken."""

import hashlib
import os
import signal
import socket

import pytest
from spool_tools import as_nobody, drop

from ownerreportd import fsio
from ownerreportd.spool.read import NoRegularFileError, NotReadable, ReadFile, read_report


@pytest.fixture(autouse=True)
def _no_sigio():
    """As the daemon does: a writer who comes while we hold a lease must not end us."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


def read(folder, name, bytes_max=1000, *, durable=True):
    with fsio.directory(folder) as fd:
        return read_report(fd, name, bytes_max, durable=durable)


def test_a_file_is_read_with_the_state_that_its_bytes_are_from(pending):
    drop(pending, "a.md", b"text")
    file = read(pending, b"a.md")
    assert isinstance(file, ReadFile)
    assert (file.data, file.sha256) == (b"text", hashlib.sha256(b"text").hexdigest())
    assert file.found == fsio.FileStat.of((pending / "a.md").stat())


def test_it_is_on_the_disk_where_that_is_asked_for(pending, monkeypatch):
    drop(pending, "a.md", b"text")
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    read(pending, b"a.md", durable=False)
    assert synced == []
    read(pending, b"a.md", durable=True)
    assert len(synced) == 1


def test_a_file_that_is_too_large_is_read_one_byte_too_far_and_no_further(pending):
    drop(pending, "a.md", b"x" * 5000)
    file = read(pending, b"a.md", 1000)
    assert (len(file.data), file.found.size) == (1001, 5000)


@pytest.mark.timeout(5)
def test_what_is_no_regular_file_is_never_opened(pending):
    os.mkfifo(pending / "fifo.md")
    os.symlink("/etc/passwd", pending / "link.md")
    (pending / "folder.md").mkdir()
    with socket.socket(socket.AF_UNIX) as server, fsio.directory(pending) as fd:
        server.bind(f"/proc/self/fd/{fd}/socket.md")
    for name, what in (
        (b"fifo.md", "a FIFO"),
        (b"link.md", "a symbolic link"),
        (b"folder.md", "a directory"),
        (b"socket.md", "a socket"),
    ):
        with pytest.raises(NoRegularFileError, match=what):
            read(pending, name)
    with pytest.raises(FileNotFoundError):
        read(pending, b"nothing.md")


@pytest.mark.timeout(5)
@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_turns_into_something_else_at_the_last_moment_is_noticed(pending, monkeypatch, kind):
    drop(pending, "a.md")
    whole = os.open

    def swap(path, *args, **options):
        if path == b"a.md":
            (pending / "a.md").unlink()
            make = {
                "link": lambda p: os.symlink("/etc/passwd", p),
                "fifo": os.mkfifo,
                "folder": os.mkdir,
            }[kind]
            make(pending / "a.md")
        return whole(path, *args, **options)

    with fsio.directory(pending) as fd:
        monkeypatch.setattr(os, "open", swap)
        with pytest.raises(NoRegularFileError):
            read_report(fd, b"a.md", 1000, durable=True)


def test_a_file_that_a_process_has_open_for_writing_is_not_taken(pending):
    drop(pending, "a.md", b"half")
    with (pending / "a.md").open("ab") as writer:
        file = read(pending, b"a.md")
        assert isinstance(file, NotReadable)
        assert (file.being_written, file.reason) == (True, "a process has it open for writing")
        writer.write(b" and whole")
    assert read(pending, b"a.md").data == b"half and whole"


def test_a_file_that_others_only_read_is_taken(pending):
    drop(pending, "a.md", b"text")
    with (pending / "a.md").open("rb"):
        assert read(pending, b"a.md").data == b"text"


def test_no_lease_is_left_behind(pending):
    drop(pending, "a.md", b"text")
    fd = os.open(pending / "a.md", os.O_RDONLY)
    try:
        assert not fsio.being_written(fd)
        with (pending / "a.md").open("ab") as writer:
            writer.write(b"!")
    finally:
        os.close(fd)


def test_a_file_that_changes_while_it_is_read_is_not_taken(pending, monkeypatch):
    drop(pending, "a.md", b"text")
    whole = os.read

    def change(fd, size):
        data = whole(fd, size)
        os.utime(pending / "a.md", (5, 5))
        return data

    monkeypatch.setattr(os, "read", change)
    file = read(pending, b"a.md")
    assert (file.being_written, file.reason) == (True, "it changed while it was read")


def test_a_file_without_permission_is_left(pending, monkeypatch):
    drop(pending, "a.md", b"text")
    whole = os.open

    def refuse(path, *args, **options):
        if path == b"a.md":
            raise PermissionError(13, "Permission denied")
        return whole(path, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    file = read(pending, b"a.md")
    assert (file.being_written, file.reason) == (False, "no permission to read it")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_real_file_without_permission_is_left_by_a_real_other_user(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    drop(folder, "a.md")
    (folder / "a.md").chmod(0)
    folder.chmod(0o755)
    assert as_nobody(folder, lambda: read(".", b"a.md").reason) == "no permission to read it"


def test_a_failed_fsync_and_a_failed_read_are_the_disks(pending, monkeypatch):
    drop(pending, "a.md", b"text")

    def broken(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(fsio.FsyncError):
            read(pending, b"a.md")
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", broken)
        with pytest.raises(OSError, match="Input/output"):
            read(pending, b"a.md")


def test_small_files_are_hashed_cut_and_removed(tmp_path):
    drop(tmp_path, "a", b"12345")
    with fsio.directory(tmp_path) as fd:
        assert fsio.read_small(fd, b"a", 3) == b"123"
        assert fsio.sha256(fd, b"a") == hashlib.sha256(b"12345").hexdigest()
        fsio.remove(fd, b"a")
        fsio.remove(fd, b"a")
        assert fsio.lstat(fd, b"a") is None
    assert fsio.kind_of(0o060000) == "a block device"
    assert fsio.kind_of(0) == "no regular file"
