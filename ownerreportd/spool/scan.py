"""Owns the one truth about what lies in `pending/`: a pass over the directory.

Rules: a pass streams, so that a million files cost no memory; it opens nothing and follows no
link; it only says what is there, and leaves every decision to its caller.
"""

from __future__ import annotations

import os
import re
import stat
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from ownerreportd import fsio

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 1000
ODD_MAX = 1000
SLIPS_MAX = 20
FUTURE_MAX = 10_000
_SLIP = re.compile(rb"\.(md|markdown|txt)\s*\Z", re.IGNORECASE)
_SUBMITTED = re.compile(rb"(\d{8}T\d{6})\.(\d{6})Z-.+-[A-Za-z0-9._-]{1,64}\.md", re.DOTALL)


class Entry(NamedTuple):
    """One report's file as the pass saw it. `at_ns` orders files of one pass (UTC)."""

    name: bytes
    at_ns: int
    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    ripe: bool


@dataclass(slots=True)
class Shelf:
    """Files that are left alone until they change: unreadable ones, and ones still written.

    `future` are names whose time lies ahead, with that time and since when they were watched.

    `until_ns` is when to look again even if nothing changed (0: never).
    """

    names: dict[bytes, tuple[int, int, int, str]] = field(default_factory=dict)
    future: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    def put(self, name: bytes, found: fsio.FileStat, reason: str, until_ns: int = 0) -> None:
        """Leave this file alone as long as its inode and ctime stay."""
        self.names[name] = (found.ino, found.ctime_ns, until_ns, reason)

    def keeps(self, name: bytes, found: os.stat_result, now_ns: int) -> bool:
        """Whether the file is still to be left alone."""
        kept = self.names.get(name)
        if kept is None:
            return False
        ino, ctime_ns, until_ns, _ = kept
        same = (ino, ctime_ns) == (found.st_ino, found.st_ctime_ns)
        return same and not (until_ns and now_ns >= until_ns)

    def take(self, name: bytes) -> str | None:
        """Do not leave the name alone any more; why it was, None if it was not."""
        kept = self.names.pop(name, None)
        return None if kept is None else kept[3]

    def due_ns(self) -> int | None:
        """When the next of them is to be looked at again."""
        kept = list(self.names.values())  # in one go: another thread may put more
        return min((until for _, _, until, _ in kept if until), default=None)


@dataclass(slots=True)
class Scan:
    """One pass over `pending/`. The lists are complete when `entries` is exhausted.

    `odd` are names of what is no regular file, with a reason; `slips` names that look like a
    report with a mistyped ending; `due_ns` is when (UTC) a file that is too fresh now will have
    rested.
    """

    dir_fd: int
    settle_s: float
    shelf: Shelf
    odd: list[tuple[bytes, str]] = field(default_factory=list)
    slips: list[bytes] = field(default_factory=list)
    slip_count: int = 0
    due_ns: int | None = None

    def batches(self) -> Iterator[list[Entry]]:
        """Every report's file, a thousand at a time, in the directory's order."""
        batch: list[Entry] = []
        gone = set(self.shelf.names)
        with os.scandir(self.dir_fd) as found:
            for item in found:
                entry = self._entry(item, gone)
                if entry is None:
                    continue
                batch.append(entry)
                if len(batch) == BATCH:
                    yield batch
                    batch = []
        yield batch
        for name in gone:
            self.shelf.take(name)
        self._note_due(self.shelf.due_ns())

    def _entry(self, item: os.DirEntry[str], gone: set[bytes]) -> Entry | None:
        name = os.fsencode(item.name)
        gone.discard(name)
        if name.startswith(b"."):
            return None
        if not name.endswith(b".md"):
            self._note_slip(name, item)
            return None
        try:
            found = item.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            self._note_odd(name, found.st_mode)
            return None
        stamp_ns = submitted_at_ns(name)
        ripe = self._ripe(name, found, trusted=stamp_ns is not None)
        at_ns = found.st_mtime_ns if stamp_ns is None else stamp_ns
        return Entry(
            name, at_ns, found.st_dev, found.st_ino, found.st_size,
            found.st_mtime_ns, found.st_ctime_ns, ripe,
        )  # fmt: skip

    def _ripe(self, name: bytes, found: os.stat_result, *, trusted: bool) -> bool:
        now_ns = time.time_ns()
        if self.shelf.names and self.shelf.keeps(name, found, now_ns):
            return False
        if trusted:
            return True
        rested_ns = found.st_mtime_ns + int(self.settle_s * 1e9)
        if rested_ns <= now_ns:
            return True
        if found.st_mtime_ns <= now_ns:
            self._note_due(rested_ns)
            return False
        return self._rested_in_the_future(name, found.st_mtime_ns)

    def _rested_in_the_future(self, name: bytes, mtime_ns: int) -> bool:
        """A file whose mtime is ahead of the clock has rested when it stays the same."""
        watched = self.shelf.future
        ticks = time.monotonic_ns()
        seen = watched.get(name)
        if seen is not None and seen[0] == mtime_ns and ticks - seen[1] >= self.settle_s * 1e9:
            return True  # and stays on the list, or it would be watched anew while it waits
        if seen is None or seen[0] != mtime_ns:
            if len(watched) >= FUTURE_MAX:
                self._forget_rested(ticks)
            if len(watched) < FUTURE_MAX:
                watched[name] = (mtime_ns, ticks)
        self._note_due(time.time_ns() + int(self.settle_s * 1e9) + 1_000_000)
        return False

    def _forget_rested(self, ticks: int) -> None:
        """Make room on the list: what has rested was admitted by an earlier pass."""
        for name, (_, since) in list(self.shelf.future.items()):
            if ticks - since >= 2 * self.settle_s * 1e9:
                del self.shelf.future[name]

    def _note_due(self, at_ns: int | None) -> None:
        if at_ns is not None and (self.due_ns is None or at_ns < self.due_ns):
            self.due_ns = at_ns

    def _note_odd(self, name: bytes, mode: int) -> None:
        if not stat.S_ISDIR(mode) and len(self.odd) < ODD_MAX:
            self.odd.append((name, f"this is {fsio.kind_of(mode)}, not a regular file"))

    def _note_slip(self, name: bytes, item: os.DirEntry[str]) -> None:
        if _SLIP.search(name) and not item.is_dir(follow_symlinks=False):
            self.slip_count += 1
            if len(self.slips) < SLIPS_MAX:
                self.slips.append(name)


def submitted_at_ns(name: bytes) -> int | None:
    """The time in a name as `submit` makes it, in nanoseconds since the epoch; else None."""
    match = _SUBMITTED.fullmatch(name)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(match[1].decode() + "+00:00")
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000_000 + int(match[2]) * 1000
