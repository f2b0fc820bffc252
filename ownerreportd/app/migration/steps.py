"""Owns what a migration changes, as steps: each says what is due, and does it.

Rule: a step looks at what there is each time it is asked, so that one that was cut off is
completed by the next run, and one that is done has nothing due.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ownerreportd import fsio
from ownerreportd.app.migration import crontab
from ownerreportd.app.migration.adopting import adopt, left_by_old

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ownerreportd.app.beginning import Beginning
    from ownerreportd.app.migration.scripts import Scripts
    from ownerreportd.app.migration.settings import OldSettings
    from ownerreportd.spool import Spool


class Step(Protocol):
    """One part of the way over."""

    def due(self) -> Sequence[str]:
        """What is to be done, a line each; empty where it is done. Changes nothing."""

    def do(self, spool: Spool) -> Iterator[str]:
        """Do what is due, on a spool that we hold; a line for each thing that is done."""


@dataclass(frozen=True, slots=True)
class WriteConfig:
    """Carries the old settings over to a first configuration; never into one that is there."""

    new: Beginning | None
    said: OldSettings | None

    def due(self) -> list[str]:
        """The file, and each setting with who said it."""
        new, said = self.new, self.said
        if new is None or said is None:
            return []
        values = {
            "channel": said.channel, "target": said.target, "max_count": said.max_count,
            "log.file": said.log,
        }  # fmt: skip
        carried = [f"carry over {k} {v.value} ({v.origin})" for k, v in values.items() if v]
        return [f"write {new.path}", *carried]

    def do(self, spool: Spool) -> Iterator[str]:  # noqa: ARG002 - every step is handed it
        """Write it."""
        due = self.due()
        if self.new is not None and due:
            self.new.write({})
            yield from due


@dataclass(frozen=True, slots=True)
class DisableLines:
    """Makes the old lines of the crontab comments, after a copy of it."""

    home: Path
    keep: Path

    def due(self) -> list[str]:
        """A line for each line."""
        text = crontab.read() or ""
        lines = [line for line in crontab.old_lines(text, self.home) if not line.disabled]
        told = [f"disable crontab line {line.number}: {line.text}" for line in lines]
        return [f"keep a copy of the crontab in {self.keep}", *told] if told else []

    def do(self, spool: Spool) -> Iterator[str]:  # noqa: ARG002 - every step is handed it
        """Copy the crontab, then write the new one."""
        due = self.due()
        if not due:
            return
        text = crontab.read() or ""
        name = f"crontab-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        with fsio.directory(self.keep) as fd:
            if fsio.lstat(fd, name.encode()) is None:
                data = text.encode("utf-8", "surrogateescape")
                fsio.write_new(fd, name.encode(), data, 0o600)
                fsio.fsync(fd)
        yield f"keep a copy of the crontab in {self.keep / name}"
        # Not named like a copy: one that a kill leaves behind must never be taken for the newest.
        crontab.write(crontab.disabled(text, self.home), self.keep / ".new-crontab")
        yield from due[1:]


@dataclass(frozen=True, slots=True)
class ReplaceScripts:
    """Puts the scripts that call this program into a folder of the old ones."""

    scripts: Scripts

    def due(self) -> list[str]:
        """A line for each script."""
        old = self.scripts.old_names()
        return [
            f"put {self.scripts.folder / name}"
            + (f" (and keep the old one in {self.scripts.keep})" if name in old else "")
            for name in self.scripts.due()
        ]

    def do(self, spool: Spool) -> Iterator[str]:  # noqa: ARG002 - every step is handed it
        """Put them, the shared part first, since the others need it."""
        for name in sorted(self.scripts.due(), key=lambda name: name != "owner_report_program.py"):
            kept = self.scripts.put(name)
            told = f" (the old one is in {kept})" if kept else ""
            yield f"put {self.scripts.folder / name}{told}"


@dataclass(frozen=True, slots=True)
class Adopt:
    """Takes `sent/` into the ledger as history, and `pending/` as the queue."""

    root: Path

    def due(self) -> list[str]:
        """What there is to take; a queue alone only where there is no ledger yet."""
        left = left_by_old(self.root)
        if not left.sent and (left.has_ledger or not left.pending):
            return []
        queued = left.pending - len(left.twins)
        return [
            f"take {left.sent:,} of {self.root / 'sent'} into the ledger as history",
            *map(_aside, left.twins),
            f"take {queued:,} of {self.root / 'pending'} into the queue, oldest first",
        ]

    def do(self, spool: Spool) -> Iterator[str]:
        """Take them, and set aside what had been delivered."""
        if not self.due():
            return
        done = adopt(spool)
        yield f"take {done.history:,} of {self.root / 'sent'} into the ledger as history"
        yield from map(_aside, done.twins)
        yield f"take {done.queued:,} of {self.root / 'pending'} into the queue, oldest first"


def _aside(name: str) -> str:
    return (
        f"set {name} aside to held/: the old scripts had delivered it, sent/ has the same "
        f"file (to send it all the same: ownerreportd retry {name})"
    )
