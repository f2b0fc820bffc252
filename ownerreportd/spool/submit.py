"""Owns how a producer puts a report into the spool, durably, with or without the daemon.

Rule: standard library only, since `submit` starts once for every report.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ownerreportd import fsio
from ownerreportd.core.errors import StorageError
from ownerreportd.core.report import submit_name

if TYPE_CHECKING:
    from pathlib import Path

_MODE = 0o640  # the group reads: a producer may be another user than the daemon
TEMPORARY_PREFIX = b".ownerreportd-"


@dataclass(frozen=True, slots=True)
class SubmittedFile:
    """A report that is on the disk, file and name."""

    id: str
    name: bytes


def new_id() -> str:
    """A new id: a UUIDv7 (RFC 9562) in 32 hex digits, so that ids sort by time."""
    stamp_ms = time.time_ns() // 1_000_000
    value = (stamp_ms & (1 << 48) - 1) << 80 | 7 << 76 | secrets.randbits(12) << 64
    return f"{value | 2 << 62 | secrets.randbits(62):032x}"


def submit(
    root: Path, data: bytes, *, team: str = "", task_id: str = "", report_id: str | None = None
) -> SubmittedFile:
    """Write the bytes to `pending/`; when this returns, they survive a crash.

    `team` and `task_id` are the report's own, for the file's name. The id is not checked against
    earlier ones here: the daemon does that when it admits the file.

    Raises:
        StorageError: if the disk fails or refuses; nothing is left behind then.
    """
    report_id = report_id or new_id()
    name = submit_name(datetime.now(UTC), team, task_id, report_id).encode()
    try:
        _write(root, name, data)
    except OSError as error:
        raise storage_error(error, root) from error
    return SubmittedFile(report_id, name)


def _write(root: Path, name: bytes, data: bytes) -> None:
    make_folders(root)
    with fsio.directory(root / "pending") as pending:
        try:
            with fsio.directory(root / "tmp") as tmp:
                _write_through(tmp, name, pending, name, data)
        except (PermissionError, FileNotFoundError):
            # A producer of the group may reach pending/ alone. Names with a dot are left alone.
            temporary = TEMPORARY_PREFIX + secrets.token_hex(8).encode()
            _write_through(pending, temporary, pending, name, data)


def _write_through(tmp: int, temporary: bytes, pending: int, name: bytes, data: bytes) -> None:
    fsio.write_new(tmp, temporary, data, _MODE)
    try:
        fsio.rename_noreplace(tmp, temporary, pending, name)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=tmp)
        raise
    try:
        fsio.fsync(pending)
    except BaseException:
        # Not acknowledged, so it must not be delivered either; the caller will submit it again.
        with suppress(OSError):
            os.unlink(name, dir_fd=pending)
        raise


def make_folders(root: Path) -> None:
    """Make the spool's folders that are missing, durably, for their owner alone."""
    if (root / "pending").is_dir():
        return
    for path in (root, root / "tmp", root / "pending"):
        fsio.make_directory(path)


def storage_error(error: OSError, root: Path) -> StorageError:
    """What the disk said, with what to do about it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = f"make room on the file system of {root}, then submit again"
    elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        hint = f"ls -ld {root / 'pending'}  # the folder must be writable for you"
    else:
        hint = f"look at the disk below {root}, then submit again"
    return StorageError(f"cannot write to the spool {root}: {error.strerror or error}", hint=hint)
