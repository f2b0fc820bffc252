"""Owns the way of an old spool into the ledger: `sent/` as history, `pending/` as the queue.

Rules: no file of `sent/` is ever delivered again; a file of `pending/` that the old scripts had
delivered and not yet moved is set aside, never deleted; whatever is cut off is done by a second
run.
"""

from __future__ import annotations

import hashlib
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from ownerreportd import fsio
from ownerreportd.core.errors import StorageError
from ownerreportd.core.report import derived_id, shown_name
from ownerreportd.custody import Custody
from ownerreportd.fsio import FileStat
from ownerreportd.ledger import admission, history, open_ledger, open_reader
from ownerreportd.ledger.census import Census
from ownerreportd.ledger.history import Past
from ownerreportd.ledger.store import FILE, LedgerError
from ownerreportd.render.front_matter import read_report, reject_reason
from ownerreportd.spool.scan import Entry, Scan, Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ownerreportd.spool import Spool

SETTLE_S: Final = 1.0
BYTES_MAX: Final = 1_048_576
REASON: Final = "delivered by the scripts before ownerreportd"
_BATCH: Final = 500


class Left(NamedTuple):
    """What the old scripts left: how many files wait, and how many the ledger does not know.

    `twins` are the names of those that wait and were delivered.
    """

    pending: int
    sent: int
    has_ledger: bool
    twins: tuple[str, ...]


class Adopted(NamedTuple):
    """What was taken over. `twins` are the names that were set aside."""

    queued: int
    history: int
    twins: tuple[str, ...]


def left_by_old(root: Path) -> Left:
    """What there is to adopt; nothing changes."""
    has_ledger = (root / "state" / FILE).exists()
    with _storage_errors():
        past = _unknown_sent(root)
        twins = tuple(shown_name(entry.name) for entry in _twins(root, past))
        return Left(len(_entries(root / "pending")), len(past), has_ledger, twins)


def adopt(spool: Spool) -> Adopted:
    """Take over what there is, on a spool that we hold.

    Raises:
        StorageError: if the disk or the ledger fails.
    """
    with _storage_errors(), closing(open_ledger(spool.root, spool.lock_fd)) as ledger:
        custody = Custody(spool, ledger, 0, BYTES_MAX)
        past = _unknown_sent(spool.root)
        twins = _set_twins_aside(custody, past)
        with fsio.directory(spool.root / "sent") as sent:
            for start in range(0, len(past), _BATCH):
                batch = [_past(sent, entry) for entry in past[start : start + _BATCH]]
                with ledger.transaction() as db:
                    history.keep(db, batch, REASON)
        return Adopted(_queue(custody), len(past), tuple(map(shown_name, twins)))


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except LedgerError as error:
        raise StorageError(str(error), hint="ownerreportd doctor", code=error.code) from error


def _entries(folder: Path) -> list[Entry]:
    """The reports' files in a folder, oldest first; none where there is no folder."""
    try:
        with fsio.directory(folder) as fd:
            found = [entry for batch in Scan(fd, SETTLE_S, Shelf()).batches() for entry in batch]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda entry: (entry.at_ns, entry.mtime_ns, entry.name))


def _unknown_sent(root: Path) -> list[Entry]:
    """The files of `sent/` that no ledger knows, oldest first."""
    found = _entries(root / "sent")  # first: what is sent meanwhile is in the ledger then
    if not found or not (root / "state" / FILE).exists():
        return found
    with closing(open_reader(root)) as reader, reader.reading() as db:
        moving = history.waiting_inodes(db)
        return [e for e in found if e.ino not in moving and not history.is_known(db, e.name)]


def _past(sent: int, entry: Entry) -> Past:
    found = FileStat(
        entry.dev, entry.ino, entry.size, entry.mtime_ns, entry.ctime_ns
    )  # fmt: skip
    try:
        if entry.size > BYTES_MAX:
            return Past(entry.name, found, sha256=fsio.sha256(sent, entry.name))
        data = fsio.read_small(sent, entry.name, BYTES_MAX)
    except OSError:  # it is history all the same
        return Past(entry.name, found)
    own_id = derived_id(entry.name, entry.mtime_ns, data)
    report = None if reject_reason(data, BYTES_MAX) else read_report(data).report
    return Past(entry.name, found, own_id, hashlib.sha256(data).hexdigest(), report)


def _set_twins_aside(custody: Custody, past: list[Entry]) -> list[bytes]:
    """Set aside what had been delivered; what cannot be set aside stays in the queue."""
    twins = []
    for entry in _twins(custody.spool.root, past):
        custody.admit([_row(entry)])
        with custody.ledger.reading() as db:
            rid = int(admission.waiting_row(db, entry.name)["rid"])
        reason = f"the old scripts had delivered it: sent/{shown_name(entry.name)} is the same"
        if custody.skip_unread(rid, reason, "migrate"):
            twins.append(entry.name)
    return twins


def _twins(root: Path, past: list[Entry]) -> list[Entry]:
    """What lies in `pending/` and, the same and no older, in `sent/`."""
    sent = {entry.name: entry for entry in past}
    return [
        entry
        for entry in _entries(root / "pending")
        if (twin := sent.get(entry.name)) and _is_same(root, entry, twin)
    ]


def _is_same(root: Path, entry: Entry, twin: Entry) -> bool:
    """Whether the one in `sent/` is a finished copy of this one: an agent's new one is younger."""
    if entry.size != twin.size or entry.mtime_ns > twin.mtime_ns:
        return False
    with fsio.directory(root / "pending") as pending, fsio.directory(root / "sent") as sent:
        return fsio.sha256(pending, entry.name) == fsio.sha256(sent, entry.name)


def _row(entry: Entry) -> tuple[bytes | int, ...]:
    return (entry.name, entry.dev, entry.ino, entry.size, entry.mtime_ns, entry.ctime_ns)


def _queue(custody: Custody) -> int:
    """Give every report that has come to rest its number; the daemon takes the others."""
    admitted = 0
    with closing(open_reader(custody.spool.root)) as reader, custody.spool.pending() as pending:
        census = Census(reader.db)
        for batch in Scan(pending, SETTLE_S, Shelf()).batches():
            census.add(batch)
        for rows in census.new(_BATCH):
            admitted += custody.admit(rows)
    return admitted
