"""Owns the spool's folders: which are there, whether they are still the same, and moves between.

Rules: the folders are opened by path for every use, so that one that was replaced is noticed; a
report leaves `pending/` only through `move_report` or `reject`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ownerreportd import fsio
from ownerreportd.core.errors import ConfigError, NotAllowedError, SpoolHeldError, StorageError
from ownerreportd.core.report import fitted_name, numbered_name
from ownerreportd.itself import same_as
from ownerreportd.spool.submit import TEMPORARY_PREFIX, storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDERS = ("tmp", "pending", "sent", "held", "rejected", "state")
BALLAST_BYTES = 4 << 20
TEMPORARY_AGE_MAX_S = 36 * 3600
_NUMBER_MAX = 100_000


class SpoolReplacedError(Exception):
    """Raised when `pending/` is gone, or is another directory than it was."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path = path


@dataclass(slots=True)
class Spool:
    """An opened and locked spool. `identity` is the device and inode of `pending/`, once known."""

    root: Path
    lock_fd: int
    identity: tuple[int, int] | None = None

    def close(self) -> None:
        """Let another process have the spool."""
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[int]:
        """A descriptor of one of the folders; one that vanished is made again, but `pending/`."""
        path = self.root / name
        if name != "pending":
            fsio.make_directory(path)
        with fsio.directory(path) as fd:
            yield fd

    @contextlib.contextmanager
    def pending(self) -> Iterator[int]:
        """A descriptor of `pending/`.

        Raises:
            SpoolReplacedError: if it is not the directory that `identity` names.
        """
        try:
            fd = os.open(self.root / "pending", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SpoolReplacedError(self.root / "pending", "is gone") from error
        try:
            found = os.fstat(fd)
            if self.identity not in (None, (found.st_dev, found.st_ino)):
                raise SpoolReplacedError(self.root / "pending", "is another directory now")
            yield fd
        finally:
            os.close(fd)

    def identify(self) -> tuple[int, int]:
        """The device and inode of `pending/` as it is now."""
        found = (self.root / "pending").stat()
        return found.st_dev, found.st_ino

    # --- leaving pending/ -------------------------------------------------------------------

    def move_report(self, name: bytes, folder: str) -> bytes:
        """Move a report from `pending/` to a folder, durably; its name there.

        Raises:
            SpoolReplacedError, FsyncError, OSError: if it did not move, or nobody knows.
        """
        with self.pending() as pending, self.folder(folder) as there:
            return _move_numbered(pending, name, there)

    def take_back(self, name: bytes, folder: str) -> bytes:
        """Move a report from a folder back to `pending/`, durably; its name there."""
        with self.pending() as pending, self.folder(folder) as there:
            return _move_numbered(there, name, pending)

    def find_moved(self, name: bytes, ino: int, folder: str) -> bytes | None:
        """The name under which this inode lies in the folder, if a move brought it there."""
        with self.folder(folder) as there:
            for number in range(1, _NUMBER_MAX):
                candidate = numbered_name(name, number)
                found = fsio.lstat(there, candidate)
                if found is None:
                    return None
                if found.st_ino == ino:
                    fsio.fsync(there)
                    return candidate
        return None

    def reject(self, name: bytes, reason: str) -> bytes:
        """Move what is no report to `rejected/`, `NAME.reason.txt` beside it; its name there."""
        with self.pending() as pending, self.folder("rejected") as there:
            for number in range(1, _NUMBER_MAX):
                target = numbered_name(name, number)
                note = fitted_name(target, b".reason.txt")
                if fsio.lstat(there, target) is not None:
                    continue
                # A note without its file is left from a crash between these two steps.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(note, dir_fd=there)
                fsio.write_new(there, note, f"{reason}\n".encode(), 0o640)
                try:
                    fsio.move(pending, name, there, target)
                except (FileExistsError, FileNotFoundError) as error:
                    fsio.remove(there, note)
                    if isinstance(error, FileNotFoundError):
                        raise
                    continue
                return target
        raise StorageError(f"no free name in {self.root / 'rejected'}", hint="empty that folder")

    # --- room -------------------------------------------------------------------------------

    def room(self) -> tuple[int, int]:
        """Free bytes and inodes on the spool's file system."""
        with fsio.directory(self.root) as fd:
            return fsio.room(fd)

    def keep_ballast(self, free_bytes_min: int) -> None:
        """Keep some megabytes back, if there is room, to finish a record and a move with."""
        path = self.root / "state" / "ballast"
        with contextlib.suppress(OSError):
            if path.exists() or self.room()[0] < free_bytes_min + BALLAST_BYTES:
                return
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, BALLAST_BYTES)
            except OSError:
                path.unlink()
                raise
            finally:
                os.close(fd)

    def give_up_ballast(self) -> bool:
        """Free what was kept back; whether there was any."""
        try:
            (self.root / "state" / "ballast").unlink()
        except OSError:
            return False
        return True

    def remove_leftovers(self) -> None:
        """Remove what a `submit` left that died 36 hours ago or earlier, unacknowledged."""
        for folder, prefix in (("tmp", b""), ("pending", TEMPORARY_PREFIX)):
            with self.folder(folder) as fd, os.scandir(fd) as entries:
                for entry in entries:
                    name = os.fsencode(entry.name)
                    if name.startswith(prefix) and entry.is_file(follow_symlinks=False):
                        _remove_if_old(fd, name)


def _remove_if_old(dir_fd: int, name: bytes) -> None:
    with contextlib.suppress(OSError):
        found = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if time.time() - found.st_mtime > TEMPORARY_AGE_MAX_S:
            os.unlink(name, dir_fd=dir_fd)


def _move_numbered(old_fd: int, name: bytes, new_fd: int) -> bytes:
    for number in range(1, _NUMBER_MAX):
        candidate = numbered_name(name, number)
        with contextlib.suppress(FileExistsError):
            fsio.move(old_fd, name, new_fd, candidate)
            return candidate
        old, new = fsio.lstat(old_fd, name), fsio.lstat(new_fd, candidate)
        if old is not None and new is not None and old.st_ino == new.st_ino:
            return _finish_link(old_fd, name, new_fd, candidate)
    raise StorageError("no free name in the folder", hint="empty that folder")


def _finish_link(old_fd: int, name: bytes, new_fd: int, candidate: bytes) -> bytes:
    """The same inode under both names: `link` was done and `unlink` was not."""
    fsio.fsync(new_fd)
    os.unlink(name, dir_fd=old_fd)
    fsio.fsync(old_fd)
    return candidate


def open_spool(root: Path, *, force_network_fs: bool = False) -> Spool:
    """Make the folders, check that they are one local file system, and hold the lock.

    Raises:
        SpoolHeldError: if another process holds the spool. ConfigError: if the folders cannot
            serve as a spool. StorageError: if the disk refuses. NotAllowedError: if we are root,
            and it is somebody else's.
    """
    _check_owner(root)
    try:
        for path in (root, *(root / name for name in FOLDERS)):
            fsio.make_directory(path)
        _check_file_system(root, force_network_fs=force_network_fs)
        return Spool(root, fsio.lock_file(str(root / "state" / "lock")))
    except fsio.LockedError as error:
        raise SpoolHeldError(
            f"the spool {root} is held by {error.holder or 'another process'}",
            hint="ownerreportd status  # asks the daemon that holds it; one spool, one daemon",
        ) from error
    except OSError as error:
        raise storage_error(error, root) from error


def _check_owner(root: Path) -> None:
    """Root could write everywhere, and its files would be in the way of the spool's own user."""
    try:
        uid = root.stat().st_uid if os.geteuid() == 0 else 0
    except OSError:  # not there yet, or told by whoever uses it
        return
    if uid == 0:
        return
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"#{uid}"
    raise NotAllowedError(
        f"the spool {root} belongs to {name}, who could not use what root writes there",
        hint=same_as(name),
    )


def _check_file_system(root: Path, *, force_network_fs: bool) -> None:
    devices = {name: (root / name).stat().st_dev for name in FOLDERS}
    if len(set(devices.values())) > 1:
        raise ConfigError(
            f"the folders of the spool {root} are on several file systems: {devices}",
            hint="keep the whole spool on one file system: a report is moved, never copied",
        )
    kind = fsio.file_system_type(str(root))
    if kind in fsio.NETWORK_FILE_SYSTEMS and not force_network_fs:
        raise ConfigError(
            f"the spool {root} is on a network file system ({kind}), whose locks and fsync "
            "cannot be trusted",
            hint="put [spool] root on a local disk, or set force_network_fs = true",
        )
