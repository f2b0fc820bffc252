"""Owns how a report's file becomes frozen parts: read, parse, choose the id, route, render.

Rule: `read` changes nothing, and `commit` is one transaction, so that a crash between them costs
only the work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from ownerreportd import fsio
from ownerreportd.core import events
from ownerreportd.core.report import Report, id_in_name, written_at
from ownerreportd.ledger import Ledger, admission, queue, views
from ownerreportd.ledger.frozen import freeze
from ownerreportd.ledger.store import record
from ownerreportd.outlets import NoOutlet, Outlet, Outlets
from ownerreportd.render.front_matter import ReadReport, reject_reason
from ownerreportd.render.front_matter import read_report as parse_report
from ownerreportd.spool.read import NoRegularFileError, NotReadable, ReadFile, read_report

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from ownerreportd.core.channel import Part
    from ownerreportd.custody import Custody
    from ownerreportd.ledger.deliveries import Bound
    from ownerreportd.ledger.queue import QueuedReport

log = structlog.get_logger("ownerreportd.intake")


@dataclass(frozen=True, slots=True)
class Frozen:
    """A report ready to be frozen: its bytes, what they say, and each destination's parts.

    `generation` is that of the destinations for which it was rendered.
    """

    generation: int
    file: ReadFile
    parsed: ReadReport
    identity: admission.Identity
    name_id: str | None
    plan: Sequence[tuple[Bound, Sequence[Part]]]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """It is no report, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Shelve:
    """It cannot be taken now: unreadable, or still being written."""

    reason: str
    found: fsio.FileStat
    being_written: bool


@dataclass(frozen=True, slots=True)
class Drop:
    """It is gone."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A channel's code failed while it rendered the report."""

    reason: str


class BrokenRenderError(Exception):
    """Raised when a channel's `render` raised; the text says what."""


@dataclass(slots=True)
class Freezer:
    """Reads reports through the ledger's read-only view, and freezes them."""

    custody: Custody
    reader: Ledger
    outlets: Outlets
    language: str = "en"

    def read(self, report: QueuedReport) -> Frozen | Refuse | Shelve | Drop | Broken:
        """Read the file, and work out everything that freezing needs; no change to anything."""
        bytes_max = self.custody.report_bytes_max
        try:
            with self.custody.spool.pending() as pending:
                file = read_report(pending, report.name, bytes_max, durable=True)
                fsio.fsync(pending)
        except FileNotFoundError:
            return Drop()
        except NoRegularFileError as error:
            return Refuse(str(error))
        if isinstance(file, NotReadable):
            return Shelve(file.reason, file.found, file.being_written)
        reason = self._reject_reason(file)
        if reason is not None:
            return Refuse(reason)
        try:
            return self.plan(report, file)
        except BrokenRenderError as error:
            return Broken(str(error))

    def _reject_reason(self, file: ReadFile) -> str | None:
        bytes_max = self.custody.report_bytes_max
        if file.found.size > bytes_max:
            return (
                f"it has {file.found.size:,} bytes, and a report may have {bytes_max:,} "
                "([spool] report_bytes_max)"
            )
        return reject_reason(file.data, bytes_max)

    def plan(self, report: QueuedReport, file: ReadFile) -> Frozen | Drop:
        """Id, destinations and parts; `Drop` where its row is gone: another hand was faster."""
        parsed = parse_report(file.data)
        said = parsed.report
        name_id = id_in_name(_text(report.name), said.team, said.task_id)
        with self.reader.reading() as db:
            query = "SELECT * FROM reports WHERE rid = ?"
            row: sqlite3.Row | None = db.execute(query, (report.rid,)).fetchone()
            if row is None:
                return Drop()
            identity = self._choose_id(db, row, file, name_id, parsed)
        generation = self.outlets.generation
        decision = self.outlets.routing.decide(said)
        warnings = list(parsed.warnings)
        notes: tuple[str, ...] = ()
        if decision.unknown:
            note = self._unknown_note(decision.unknown)
            warnings.append(note)
            notes = (note,)
        said = replace(
            said,
            id=identity.id,
            notes=notes,
            corrected=report.corrected,
            written=written_at(file.found.mtime_ns),
        )
        plan = [self._render(said, name) for name in decision.destinations]
        return Frozen(generation, file, parsed, identity, name_id, plan, tuple(warnings))

    @staticmethod
    def _choose_id(
        db: sqlite3.Connection, row: sqlite3.Row, file: ReadFile, name_id: str | None,
        parsed: ReadReport,
    ) -> admission.Identity:  # fmt: skip
        return admission.choose_id(
            db, row, file.data, file.sha256, name_id=name_id, front_id=parsed.front_id
        )

    def _render(self, said: Report, destination: str) -> tuple[Bound, Sequence[Part]]:
        bound = self.outlets.bounds[destination]
        outlet = self.outlets.get(bound)
        if isinstance(outlet, NoOutlet):
            raise TypeError(f"destination {destination} was not checked at start")
        return bound, _rendered(outlet, said)

    def render_for(self, report: QueuedReport, outlet: Outlet) -> Sequence[Part]:
        """The parts of a waiting report for a destination that it was not frozen for."""
        with self.custody.spool.pending() as pending:
            data = fsio.read_small(pending, report.name, self.custody.report_bytes_max)
            found = fsio.lstat(pending, report.name)
        said = replace(
            parse_report(data).report,
            id=report.id or "",
            corrected=report.corrected,
            written=written_at(found.st_mtime_ns) if found else "",
        )
        return _rendered(outlet, said)

    def _unknown_note(self, unknown: tuple[str, ...]) -> str:
        names = ", ".join(repr(name) for name in unknown)
        if self.language == "zh-TW":
            return f"此回報指定的目的地 {names} 未設定,已改送預設目的地。"
        return f"This report names {names} in `to:`, which is not configured; sent to the default."

    def commit(self, db: sqlite3.Connection, report: QueuedReport, read: Frozen, at: float) -> bool:
        """Freeze the report, or drop it as a duplicate (then True: remove its file)."""
        row = views.raw_report(db, report.rid)  # there: the caller has just looked
        identity = self._choose_id(db, row, read.file, read.name_id, read.parsed)
        if replace(identity, id="") == replace(read.identity, id=""):
            taken = views.known_id(db, read.identity.id)
            if taken is None or taken["rid"] == report.rid:
                identity = read.identity  # a random one is the one that was rendered
        if identity.duplicate_of is not None and report.id is None:
            admission.drop_duplicate(db, report.rid, identity.duplicate_of, at)
            return True
        admission.identify(db, report.rid, identity, at)
        admission.set_content(db, report.rid, read.file.found, read.file.sha256, read.parsed.report)
        for text in read.warnings:
            record(db, at, events.REPORT_WARNING, report.rid, id=identity.id, detail=text)
        served = queue.served_destinations(db, report.rid)
        for ordinal, (bound, parts) in enumerate(read.plan):
            if bound.destination not in served:
                freeze(db, report.rid, bound, parts, ordinal=ordinal)
        return False


def _rendered(outlet: Outlet, said: Report) -> Sequence[Part]:
    try:
        return outlet.channel.render(said)
    except Exception as error:
        log.exception("channel.broken", destination=outlet.bound.destination)
        kind = type(error).__name__
        raise BrokenRenderError(
            f"the channel's code failed with {kind} at this report; the traceback is in the log"
        ) from error


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
