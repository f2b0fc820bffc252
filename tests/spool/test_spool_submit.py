"""A submit is on the disk when it returns, and nothing is left of one that failed."""

import os
import stat
from pathlib import Path

import pytest
from spool_tools import as_nobody, file_size_max

from ownerreportd import fsio
from ownerreportd.core.errors import StorageError
from ownerreportd.core.report import is_valid_id, time_in_name
from ownerreportd.spool import submit
from ownerreportd.spool.submit import new_id


def everything_below(root):
    return sorted(
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root)
        for name in names
    )


def test_a_submitted_report_lies_in_pending_byte_for_byte(tmp_path):
    root = tmp_path / "deep" / "spool"
    data = "進度\r\n\n".encode()
    made = submit(root, data, team="T", task_id="1")
    path = root / "pending" / made.name.decode()
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE((root / "pending").stat().st_mode) == 0o700
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert made.name.decode().endswith(f"-T-1-{made.id}.md")
    assert time_in_name(made.name.decode()) is not None
    assert everything_below(root) == [f"pending/{made.name.decode()}"]


def test_an_id_of_ones_own_is_kept_and_new_ones_rise(tmp_path):
    assert submit(tmp_path, b"x", report_id="my.own-id").id == "my.own-id"
    ids = [new_id() for _ in range(50)]
    assert len(set(ids)) == 50
    assert all(is_valid_id(made) and made[12] == "7" and made[16] in "89ab" for made in ids)
    assert [made[:12] for made in ids] == sorted(made[:12] for made in ids)


def test_the_file_and_its_folder_and_every_new_folder_are_brought_to_the_disk(
    tmp_path, monkeypatch
):
    synced = []
    whole = os.fsync

    def fsync(fd):
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        whole(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    made = submit(tmp_path / "deep" / "spool", b"text")
    assert synced[-2:] == [made.name.decode(), "pending"]
    assert synced[:4] == [tmp_path.name, "deep", "spool", "spool"]
    synced.clear()
    submit(tmp_path / "deep" / "spool", b"text")
    assert len(synced) == 2


def test_a_disk_that_refuses_the_bytes_leaves_nothing(tmp_path):
    submit(tmp_path, b"first")
    before = everything_below(tmp_path)
    with (
        file_size_max(1000),
        pytest.raises(StorageError, match="cannot write to the spool") as caught,
    ):
        submit(tmp_path, b"x" * 2000)
    assert "look at the disk" in caught.value.hint
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("which", [1, 2])
def test_a_failed_fsync_is_a_failure_and_what_was_not_acknowledged_is_not_delivered(
    tmp_path, monkeypatch, which
):
    submit(tmp_path, b"first")
    before = everything_below(tmp_path)
    calls = []

    def fsync(fd):
        calls.append(fd)
        if len(calls) == which:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="Input/output error"):
        submit(tmp_path, b"second")
    assert everything_below(tmp_path) == before
    assert len(calls) == which, "never tried again"


@pytest.mark.parametrize(
    ("number", "hint"), [(28, "make room"), (122, "make room"), (30, "ls -ld"), (13, "ls -ld")]
)
def test_the_hint_fits_what_the_disk_said(tmp_path, monkeypatch, number, hint):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fsio, "write_new", refuse)
    with pytest.raises(StorageError) as caught:
        submit(tmp_path, b"text")
    assert caught.value.hint.startswith(hint)
    assert caught.value.exit_status == 74


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "spool").write_text("no folder")
    with pytest.raises(StorageError):
        submit(tmp_path / "spool", b"text")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_producer_who_may_only_write_pending_submits_through_a_hidden_name(tmp_path):
    root = tmp_path / "spool"
    submit(root, b"first")
    root.chmod(0o755)
    (root / "pending").chmod(0o777)
    (root / "tmp").chmod(0o700)
    name = as_nobody(root, lambda: os.fsdecode(submit(Path(), b"from outside").name))
    path = root / "pending" / name
    assert (path.read_bytes(), path.stat().st_uid) == (b"from outside", 65534)
    assert not [name for name in os.listdir(root / "pending") if name.startswith(".")]
    (root / "pending").chmod(0o755)
    said = as_nobody(root, lambda: submit(Path(), b"again").id)
    assert said == "StorageError: cannot write to the spool .: Permission denied"


def test_nothing_is_ever_overwritten(tmp_path):
    with fsio.directory(tmp_path) as fd:
        fsio.write_new(fd, b"a", b"one", 0o600)
        with pytest.raises(FileExistsError):
            fsio.write_new(fd, b"a", b"two", 0o600)
        fsio.write_new(fd, b"b", b"two", 0o600)
        with pytest.raises(FileExistsError):
            fsio.rename_noreplace(fd, b"b", fd, b"a")
    assert (tmp_path / "a").read_bytes() == b"one"


def test_where_the_file_system_lacks_the_rename_a_link_does_it(tmp_path, monkeypatch):
    import ctypes
    import errno

    class Old:
        def renameat2(self, *_):
            ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(fsio, "_libc", Old())
    with fsio.directory(tmp_path) as fd:
        fsio.write_new(fd, b"a", b"one", 0o600)
        os.symlink("nowhere", tmp_path / "link")
        fsio.write_new(fd, b"taken", b"two", 0o600)
        with pytest.raises(FileExistsError):
            fsio.move(fd, b"a", fd, b"taken")
        fsio.move(fd, b"a", fd, b"b")
        fsio.move(fd, b"link", fd, b"moved-link")
    assert sorted(os.listdir(tmp_path)) == ["b", "moved-link", "taken"]
    assert os.readlink(tmp_path / "moved-link") == "nowhere"
