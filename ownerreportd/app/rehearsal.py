"""Owns `drain --dry-run` and `send --dry-run`: what would go where, and nothing changes.

Rules: no lock, no ledger is opened in place (SQLite would write beside it), no time stamp is
touched where the kernel lets us.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ownerreportd import fsio
from ownerreportd.app.assembly import Plan, make_outlets
from ownerreportd.core.errors import ConfigError, InvalidReportError
from ownerreportd.core.report import Report, shown_name
from ownerreportd.ledger import LedgerError, open_reader
from ownerreportd.ledger.store import FILE
from ownerreportd.outlets import NoOutlet, Outlet, Outlets
from ownerreportd.render.front_matter import read_report, reject_reason
from ownerreportd.spool.scan import Entry, Scan, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One report that would be next: its name, its title, and what would become of it."""

    name: str
    title: str
    fate: str


def rehearse(plan: Plan, count: int, say: Callable[[str], None]) -> int:
    """Say what a pass would send, in order; always 0."""
    outlets = make_outlets(plan)
    number = 0
    for found in _rehearsed(plan, outlets):
        number += 1
        title = f"  {found.title}" if found.title else ""
        say(f"{number}. {found.name}{title}  -> {found.fate}")
        if number == count:
            break
    if not number:
        say("nothing waits")
    return 0


def rehearse_send(
    plan: Plan, file: Path, where: tuple[str | None, str | None, str | None],
    say: Callable[[str], None],
) -> int:  # fmt: skip
    """Say where `send` would bring this file, in how many parts; always 0.

    `where` is the destination, the channel and the target that were named.

    Raises:
        OperatorError: if `send` would refuse it.
    """
    outlets = make_outlets(plan)
    bound = outlets.meant(*where)
    bytes_max = plan.settings.spool.report_bytes_max
    with os.fdopen(_open_untouched(file, 0), "rb") as opened:
        data = opened.read(bytes_max + 1)
    reason = reject_reason(data, bytes_max)
    if reason is not None:
        raise InvalidReportError(f"{file}: {reason}", hint="a report is Markdown in UTF-8")
    said = read_report(data).report
    outlet = outlets.get(bound)
    if isinstance(outlet, NoOutlet):
        raise ConfigError(outlet.reason, hint=outlet.hint)
    title = f"  {said.heading}" if said.heading else ""
    say(f"{shown_name(os.fsencode(file.name))}{title}  -> {_shown(outlet, said)}")
    return 0


def _rehearsed(plan: Plan, outlets: Outlets) -> Iterator[Rehearsed]:
    pending = plan.settings.spool.root / "pending"
    try:
        fd = _open_untouched(pending, os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        found = Scan(fd, plan.settings.spool.settle_s, Shelf())
        entries = [entry for batch in found.batches() for entry in batch]
        known = _known_order(plan.settings.spool.root)
        entries.sort(key=lambda entry: _order(entry, known))
        for entry in entries:
            yield _fate(fd, entry, plan, outlets)
    finally:
        os.close(fd)


def _order(entry: Entry, known: dict[bytes, int]) -> tuple[int, int, int, bytes]:
    seq = known.get(entry.name)
    late = 1 if seq is None else 0
    return late, seq or entry.at_ns, entry.mtime_ns, entry.name


def _known_order(root: Path) -> dict[bytes, int]:
    """The sequence numbers of an earlier run, from a copy of the ledger."""
    with tempfile.TemporaryDirectory(prefix="ownerreportd-") as folder:
        (Path(folder) / "state").mkdir()
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                _copy_untouched(root / "state" / (FILE + suffix), Path(folder) / "state")
        try:
            reader = open_reader(Path(folder))
            try:
                query = "SELECT name, seq FROM reports WHERE state = 'waiting'"
                with reader.reading() as db:
                    return {row["name"]: row["seq"] for row in db.execute(query)}
            finally:
                reader.close()
        except LedgerError:
            return {}


def _copy_untouched(path: Path, folder: Path) -> None:
    with (
        os.fdopen(_open_untouched(path, 0), "rb") as source,
        (folder / path.name).open("wb") as target,
    ):
        shutil.copyfileobj(source, target)


def _open_untouched(path: str | bytes | Path, flags: int, dir_fd: int | None = None) -> int:
    """Open for reading without a trace in the access time; others' files do not allow that."""
    flags |= os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError:
        return os.open(path, flags, dir_fd=dir_fd)


def _fate(fd: int, entry: Entry, plan: Plan, outlets: Outlets) -> Rehearsed:
    name = shown_name(entry.name)
    if not entry.ripe:
        return Rehearsed(name, "", "not yet: it was written just now")
    bytes_max = plan.settings.spool.report_bytes_max
    try:
        opened = _open_untouched(entry.name, 0, fd)
        if fsio.being_written(opened):
            os.close(opened)
            return Rehearsed(name, "", "not yet: a process has it open for writing")
        with os.fdopen(opened, "rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        return Rehearsed(name, "", f"left alone: {error.strerror}")
    reason = reject_reason(data, bytes_max)
    if reason is not None:
        return Rehearsed(name, "", f"rejected/: {reason}")
    return _destined(name, read_report(data).report, outlets)


def _destined(name: str, said: Report, outlets: Outlets) -> Rehearsed:
    fates = []
    for destination in outlets.routing.decide(said).destinations:
        bound = outlets.bounds[destination]
        outlet = outlets.get(bound)
        if isinstance(outlet, NoOutlet):
            fates.append(f"{destination}: {outlet.reason}")
            continue
        fates.append(_shown(outlet, said))
    return Rehearsed(name, said.heading, "; ".join(fates))


def _shown(outlet: Outlet, said: Report) -> str:
    bound, count = outlet.bound, len(outlet.channel.render(said))
    parts = f", {count} parts" if count > 1 else ""
    return f"{bound.destination} ({bound.channel} {bound.target}{parts})"
