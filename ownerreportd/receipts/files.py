"""Owns one receipt's file: written whole or not at all, read with suspicion.

Rule: the same receipt is the same file, and a name that holds something else is never overwritten.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from ownerreportd import fsio
from ownerreportd.core.report import slug
from ownerreportd.gate.receipt import ReceiptCheck, canonical, receipt_name, validate_receipt
from ownerreportd.gate.values import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_BYTES_MAX: Final = 262_144
TEMPORARY_AGE_S: Final = 3600.0
_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_OURS: Final = re.compile(rb"\d{8}T\d{6}Z-(.+)-[0-9a-f]{8}\.json", re.DOTALL)
_TEMPORARY: Final = re.compile(rb"\.\d{8}T\d{6}Z-.+\.json\.[0-9a-f]+\.new", re.DOTALL)


class Filter(NamedTuple):
    """Which receipts are asked for; None asks for any."""

    plan_id: str | None = None
    current_task: str | None = None
    run_id: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index keeps of a file. `why` is empty for a valid receipt."""

    name: bytes
    ino: int
    size: int
    mtime_ns: int
    why: str = ""
    plan_id: str = ""
    current_task: str = ""
    run_id: str = ""
    at: datetime | None = None
    ours: bool = False


def put(fd: int, name: bytes, data: bytes) -> bool:
    """Write the file; False where the same is there already.

    Raises:
        FileExistsError: if the name holds something else. OSError: if the disk fails.
    """
    if fsio.lstat(fd, name) is None:
        temporary = b".%s.%s.new" % (name, os.urandom(8).hex().encode())
        fsio.write_new(fd, temporary, data + b"\n", 0o600)
        try:
            fsio.rename_noreplace(fd, temporary, fd, name)
        except FileExistsError:
            os.unlink(temporary, dir_fd=fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=fd)
            raise
        else:
            return True
    if _canonical_in(fd, name) != data:
        raise FileExistsError(0, "a file of that name holds something else")
    return False


def said_by(name: bytes) -> bytes | None:
    """Plan and task as a name of ours says them; None for any other name."""
    match = _OURS.fullmatch(name)
    return match[1] if match else None


def said_of(plan_id: str, current_task: str) -> bytes:
    """Plan and task as our names say them."""
    return f"{slug(plan_id)}-{slug(current_task)}".encode()


def json_files(fd: int) -> Iterator[tuple[bytes, int]]:
    """Every name that could be a receipt's, with its inode."""
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                yield os.fsencode(entry.name), entry.inode()


def left_over(fd: int) -> list[bytes]:
    """Temporary files whose writers are long gone."""
    found = []
    for text in os.listdir(fd):
        name = os.fsencode(text)
        status = fsio.lstat(fd, name) if _TEMPORARY.fullmatch(name) else None
        if status is not None and time.time_ns() / 1e9 - status.st_mtime > TEMPORARY_AGE_S:
            found.append(name)
    return found


def entry_of(fd: int, name: bytes, found: os.stat_result) -> Entry:
    """What the index keeps of this file."""
    base = (name, found.st_ino, found.st_size, found.st_mtime_ns)
    if not stat.S_ISREG(found.st_mode):
        return Entry(*base, why=f"it is {fsio.kind_of(found.st_mode)}")
    try:
        checked = read(fd, name)
    except OSError as error:
        return Entry(*base, why=error.strerror or str(error))
    if isinstance(checked, str):
        return Entry(*base, why=checked)
    receipt = checked.receipt
    ours = said_by(name) is not None and receipt_name(receipt).encode() == name
    return Entry(
        *base, plan_id=receipt["planId"], current_task=receipt["currentTask"],
        run_id=receipt["dispatchRunId"], at=checked.dispatched_at, ours=ours,
    )  # fmt: skip


def read(fd: int, name: bytes) -> ReceiptCheck | str:
    """The receipt in a file, or why it is none. A time ahead of the clock is not judged here."""
    data = fsio.read_small(fd, name, FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        return f"it has over {FILE_BYTES_MAX:,} bytes"
    try:
        checked = validate_receipt(json.loads(data), _LATEST)
    except (ValueError, RecursionError):
        return "it is no valid JSON"
    if checked.errors:
        return in_words(checked.errors)
    return checked


def _canonical_in(fd: int, name: bytes) -> bytes | None:
    checked = read(fd, name)
    return canonical(checked.receipt) if isinstance(checked, ReceiptCheck) else None
