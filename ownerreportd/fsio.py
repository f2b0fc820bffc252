"""Owns every durable file operation: fsync, move, lock, lease, and what the disk has left.

Rules: nothing is ever overwritten; an fsync that fails is a failure and is never tried again as
if it could now be true (LWN 752063: the kernel may have dropped the dirty pages and said so once).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_RENAME_NOREPLACE = 1
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "fuse.sshfs",
        "ncpfs",
    }
)
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class FileStat:
    """What tells whether a file is still the same: its inode, and when it last changed."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, result: os.stat_result) -> FileStat:
        """The part of a stat result that counts."""
        return cls(
            result.st_dev, result.st_ino, result.st_size, result.st_mtime_ns, result.st_ctime_ns
        )


class FsyncError(OSError):
    """Raised when the kernel said that bytes or a name may not be on the disk."""


class LockedError(OSError):
    """Raised when another process holds the lock; `holder` is what it wrote into the file."""

    def __init__(self, holder: str) -> None:
        super().__init__(errno.EWOULDBLOCK, f"locked by {holder or 'another process'}")
        self.holder = holder


@contextlib.contextmanager
def directory(path: str | bytes | os.PathLike[str], dir_fd: int | None = None) -> Iterator[int]:
    """A descriptor of the directory, closed at the end."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Make the directory, and the ones above it, where they are missing, durably.

    Raises:
        OSError: if it cannot be made, or something else has its name.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_directory(path.parent, 0o777)
    path.mkdir(mode, exist_ok=True)
    # A folder that may be written but not read cannot be opened, so not be brought to the disk.
    with contextlib.suppress(PermissionError), directory(path.parent) as above:
        fsync(above)


def fsync(fd: int) -> None:
    """Bring the file or directory to the disk.

    Raises:
        FsyncError: if the kernel cannot say that it is there.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        raise FsyncError(error.errno, f"fsync: {error.strerror}") from error


def write_new(dir_fd: int, name: bytes, data: bytes, mode: int) -> None:
    """Create the file with these bytes, on the disk; its name is durable once the directory is.

    Raises:
        FileExistsError: if the name is taken. OSError: if the disk fails; the file is removed then.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=dir_fd)
    try:
        os.fchmod(fd, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        fsync(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=dir_fd)
        raise
    finally:
        os.close(fd)


def rename_noreplace(old_fd: int, old: bytes, new_fd: int, new: bytes) -> None:
    """Move a name between directories without ever replacing one; any type of file.

    `renameat2` leaves no moment with two names, and works on other users' files, where `link` is
    forbidden by protected_hardlinks (proc(5)). Where the file system lacks it: `link`, `unlink`.

    Raises:
        FileExistsError: if the new name is taken. OSError: if the move fails.
    """
    if _libc.renameat2(old_fd, old, new_fd, new, _RENAME_NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number not in _UNSUPPORTED:
        raise OSError(number, os.strerror(number), os.fsdecode(new))
    os.link(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd, follow_symlinks=False)
    os.unlink(old, dir_fd=old_fd)


def move(old_fd: int, old: bytes, new_fd: int, new: bytes) -> None:
    """`rename_noreplace`, then both directories to the disk, the new one first.

    Raises:
        FileExistsError: if the new name is taken. FsyncError: if the file moved but nobody knows
            whether that survives a crash. OSError: if it did not move.
    """
    rename_noreplace(old_fd, old, new_fd, new)
    fsync(new_fd)
    if new_fd != old_fd:
        fsync(old_fd)


def lock_file(path: str) -> int:
    """Hold the lock until the descriptor is closed; the file is never removed.

    Raises:
        LockedError: if another process holds it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 200, 0).decode("utf-8", "replace").partition("\n")[0].strip()
        os.close(fd)
        raise LockedError(holder) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def being_written(fd: int) -> bool:
    """Whether some process has this file open for writing; False where that cannot be asked.

    A read lease is granted only on a file that nobody has open for writing, and only on own files
    (fcntl(2), F_SETLEASE). The caller ignores SIGIO, since a writer may come while we hold it.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def lstat(dir_fd: int, name: bytes) -> os.stat_result | None:
    """The status of the name itself, None where there is none."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def room(fd: int) -> tuple[int, int]:
    """Free bytes and free inodes for us; a file system without inodes counts as endless."""
    found = os.fstatvfs(fd)
    inodes = found.f_favail if found.f_files else 1 << 62
    return found.f_bavail * found.f_frsize, inodes


def file_system_type(path: str) -> str:
    """The type of the file system that holds the path, as /proc/self/mountinfo names it."""
    device = Path(path).stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            left, _, right = line.partition(" - ")
            if left.split()[2] == wanted:
                return right.split()[0]
    return "unknown"


def kind_of(mode: int) -> str:
    """What a file that is no regular one is, in a person's words."""
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
        stat.S_IFDIR: "a directory",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")


def remove(dir_fd: int, name: bytes) -> None:
    """Remove a name, durably; one that is gone already is no error."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=dir_fd)
        fsync(dir_fd)


def sha256(dir_fd: int, name: bytes) -> str:
    """The sha256 of a regular file's bytes, in hex."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=dir_fd), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_small(dir_fd: int, name: bytes, bytes_max: int) -> bytes:
    """The first bytes of a regular file; nothing is followed, and nothing blocks."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=dir_fd), "rb") as file:
        return file.read(bytes_max)
