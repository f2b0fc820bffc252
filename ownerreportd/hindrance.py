"""Owns what keeps a lane from going on, told with its remedy.

Rule: each is a value; which errors of the machine become which of them is decided here alone.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ownerreportd.ledger.store import LedgerError, disk_code

if TYPE_CHECKING:
    from ownerreportd.core.lane_words import BlockCode
    from ownerreportd.spool import SpoolReplacedError

RECHECK_S = 1.0
RESTART_HINT = "look at the disk (dmesg), then restart the daemon"


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What keeps the lane from going on, with its remedy."""

    code: BlockCode
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """The file is not there to be sent or moved at the moment; `gone` is True if it is missing."""

    reason: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """The head is not what it was when the command was given; fetch it again."""


def changed(reason: str) -> Hindrance:
    """The block for a file that is not what was frozen."""
    hint = (
        "ownerreportd retry head  # sends the edited file; or skip head, or put the old text back"
    )
    return Hindrance("changed", reason, hint)


def replaced(error: SpoolReplacedError) -> Hindrance:
    """The block for a `pending/` that is not the one that it was."""
    hint = (
        "put the old folder back; or take a new one as it is: "
        f"mkdir -p -m 700 {error.path}; ownerreportd retry"
    )
    return Hindrance("spool_replaced", str(error), hint)


def passing(error: OSError) -> bool:
    """Whether the error is a shortage of the process, not of the disk, and will pass."""
    return error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR}


def ledger_hindrance(error: LedgerError) -> Hindrance:
    """The block for a ledger that could not be written."""
    hint = "make room on the disk" if error.code == "disk_full" else RESTART_HINT
    return Hindrance(error.code, str(error), hint)


def disk_hindrance(error: OSError) -> Hindrance:
    """The block for a disk that failed."""
    code = disk_code(error)
    hint = "make room on the disk" if code == "disk_full" else RESTART_HINT
    return Hindrance(code, f"the disk: {error.strerror or error}", hint)
