"""Owns how the daemon takes a report over the socket: durably, and once for each id."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ownerreportd import fsio
from ownerreportd.core.errors import IdConflictError, InvalidReportError, StorageError
from ownerreportd.core.report import id_in_name
from ownerreportd.hindrance import replaced
from ownerreportd.ledger import admission, queue, views
from ownerreportd.ledger.store import LedgerError
from ownerreportd.render.front_matter import read_report, reject_reason
from ownerreportd.spool import SpoolReplacedError, submit
from ownerreportd.spool.submit import storage_error

if TYPE_CHECKING:
    from ownerreportd.api.daemon import Caller
    from ownerreportd.daemon.engine import Engine
    from ownerreportd.ledger.queue import QueuedReport

Json: TypeAlias = dict[str, Any]


LEFT_MAX = 1000


class _Taken(NamedTuple):
    """A report that is on the disk, and has no number yet."""

    name: bytes
    id: str
    sha256: str
    caller: Caller


@dataclass(slots=True)
class SubmitDesk:
    """Takes reports from producers. `left` are those that the ledger could not admit at once."""

    engine: Engine
    left: list[_Taken] = field(default_factory=list)

    async def submit(self, data: bytes, *, report_id: str | None, caller: Caller) -> Json:
        """Take a report durably; see `api.daemon`."""
        self._check(data)
        submitted = await self.engine.workers.write(self._submit, data, report_id, caller)
        self.engine.lanes.nudge()
        self.engine.tell()
        return submitted

    def _check(self, data: bytes) -> None:
        bytes_max = self.engine.custody.report_bytes_max
        reason = reject_reason(data, bytes_max)
        if reason is not None:
            hint = "send Markdown text in UTF-8 that is not empty"
            raise InvalidReportError(f"this is no report: {reason}", hint=hint)
        routing = self.engine.outlets.routing
        unknown = [name for name in read_report(data).report.to if name not in routing.known]
        if unknown:
            raise InvalidReportError(
                f"unknown destination {unknown[0]!r}",
                hint=f"configured are: {', '.join(sorted(routing.known))}",
            )

    def _submit(self, data: bytes, report_id: str | None, caller: Caller) -> Json:
        sha256 = hashlib.sha256(data).hexdigest()
        earlier = self._earlier(report_id) if report_id else None
        if earlier is not None and report_id is not None:
            return self._same_again(earlier, report_id, sha256)
        self._check_folder()
        said = read_report(data).report
        root = self.engine.custody.spool.root
        file = submit(root, data, team=said.team, task_id=said.task_id, report_id=report_id)
        position = self._admit(_Taken(file.name, file.id, sha256, caller))
        shown = {"id": file.id, "name": file.name.decode(), "sha256": sha256}
        return {**shown, "state": "waiting", "position": position, "created": True}

    def _check_folder(self) -> None:
        """Nothing is put into a folder that is not the queue's: it would go with the folder."""
        try:
            with self.engine.custody.spool.pending():
                pass
        except SpoolReplacedError as error:
            raise StorageError(str(error), hint=replaced(error).hint) from error
        except OSError as error:
            raise storage_error(error, self.engine.custody.spool.root) from error

    def _admit(self, report: _Taken) -> int | None:
        """Give the file its number at once, and before it the ones that could not have theirs.

        If the ledger fails they are in `pending/` all the same, where the next scan finds them.
        """
        self.left.append(report)
        try:
            while self.left:
                position = self._admit_one(self.left[0])
                del self.left[0]
        except (LedgerError, SpoolReplacedError, OSError):
            del self.left[:-LEFT_MAX]
            self.engine.nudge()
            return None
        return position

    def _admit_one(self, report: _Taken) -> int | None:
        custody = self.engine.custody
        with custody.spool.pending() as pending:
            found = fsio.lstat(pending, report.name)
        if found is None:
            return None
        with custody.ledger.transaction() as db:
            rid = admission.admit_submitted(
                db, report.name, fsio.FileStat.of(found), report.id, self.engine.clock.utc(),
                who=str(report.caller), uid=report.caller.uid,
            )  # fmt: skip
            db.execute("UPDATE reports SET sha256 = ? WHERE rid = ?", (report.sha256, rid))
            return int(db.execute("SELECT value FROM totals WHERE name = 'waiting'").fetchone()[0])

    def _earlier(self, report_id: str) -> Json | None:
        """A report with this id, also one that lies unread in the queue."""
        custody = self.engine.custody
        with custody.ledger.reading() as db:
            row = views.known_id(db, report_id)
            unread = queue.ids_in_names(db, report_id)
        if row is not None:
            name, folder = row["name"], row["folder"]
            return {"name": name, "state": row["state"], "sha256": row["sha256"], "folder": folder}
        for report in unread:
            found = self._read_unread(report, report_id)
            if found is not None:
                return found
        return None

    def _read_unread(self, report: QueuedReport, report_id: str) -> Json | None:
        try:
            with self.engine.custody.spool.pending() as pending:
                data = fsio.read_small(pending, report.name, self.engine.custody.report_bytes_max)
        except (OSError, SpoolReplacedError):
            return None
        said = read_report(data).report
        if id_in_name(report.name.decode("utf-8", "replace"), said.team, said.task_id) != report_id:
            return None
        sha256 = hashlib.sha256(data).hexdigest()
        return {"name": report.name, "state": "waiting", "sha256": sha256, "folder": "pending"}

    @staticmethod
    def _same_again(earlier: Json, report_id: str, sha256: str) -> Json:
        if earlier["sha256"] != sha256:
            raise IdConflictError(
                f"the id {report_id!r} belongs to a report with other bytes ({earlier['state']})",
                hint=f"use another --id, or look: ownerreportd show {report_id}",
            )
        shown = {"id": report_id, "name": earlier["name"].decode("utf-8", "replace")}
        state = earlier["state"]
        return {**shown, "sha256": sha256, "state": state, "position": None, "created": False}
