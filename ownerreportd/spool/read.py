"""Owns how a report's file is read: without following, blocking, or growing.

Rule: nothing is opened that could hang (FIFO), be followed (link) or not end (device).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass

from ownerreportd import fsio

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A report's bytes, and the state of the file that they are from.

    `data` ends one byte after `bytes_max` where the file is longer.
    """

    data: bytes
    found: fsio.FileStat

    @property
    def sha256(self) -> str:
        """The sha256 of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class NotReadable:
    """The file is there, and cannot be taken now: no permission, or somebody writes it still."""

    reason: str
    found: fsio.FileStat
    being_written: bool


class NoRegularFileError(Exception):
    """Raised when the name turned into something else than a regular file; `str` says what."""


def read_report(
    dir_fd: int, name: bytes, bytes_max: int, *, durable: bool
) -> ReadFile | NotReadable:
    """Read a report; with `durable`, its bytes are on the disk when this returns.

    Raises:
        FileNotFoundError: if it is gone. NoRegularFileError: if it is no regular file.
        FsyncError, OSError: if the disk fails.
    """
    known = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    if not stat.S_ISREG(known.st_mode):
        raise NoRegularFileError(f"this is {fsio.kind_of(known.st_mode)}, not a regular file")
    try:
        fd = os.open(name, _FLAGS, dir_fd=dir_fd)
    except PermissionError:
        return NotReadable("no permission to read it", fsio.FileStat.of(known), being_written=False)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise NoRegularFileError("this is no regular file any more") from error
        raise
    try:
        return _read_open(fd, bytes_max, durable=durable)
    finally:
        os.close(fd)


def _read_open(fd: int, bytes_max: int, *, durable: bool) -> ReadFile | NotReadable:
    before = os.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        raise NoRegularFileError(f"this is {fsio.kind_of(before.st_mode)}, not a regular file")
    found = fsio.FileStat.of(before)
    if fsio.being_written(fd):
        return NotReadable("a process has it open for writing", found, being_written=True)
    if durable:
        fsio.fsync(fd)
    chunks, left = [], bytes_max + 1
    while left and (chunk := os.read(fd, min(left, 1 << 20))):
        chunks.append(chunk)
        left -= len(chunk)
    if fsio.FileStat.of(os.fstat(fd)) != found:
        return NotReadable("it changed while it was read", found, being_written=True)
    return ReadFile(b"".join(chunks), found)
