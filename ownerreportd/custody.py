"""Owns what must happen to a report's file and its row together, so that a crash parts them never.

Rules: every method is one synchronous step for the writing thread; the row says what is about to
happen before the file moves, or the file can be found again by its inode after a crash.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ownerreportd import fsio
from ownerreportd.core import events
from ownerreportd.core.report import shown_name
from ownerreportd.fsio import FileStat
from ownerreportd.hindrance import (
    Hindrance,
    Moved,
    NotNow,
    changed,
    disk_hindrance,
    ledger_hindrance,
    replaced,
)
from ownerreportd.ledger import Ledger, admission, deliveries, queue
from ownerreportd.ledger.frozen import thaw
from ownerreportd.ledger.store import LedgerError, disk_code, record
from ownerreportd.spool import Spool, SpoolReplacedError
from ownerreportd.spool.read import NoRegularFileError, NotReadable, ReadFile, read_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ownerreportd.core.channel import Form, Part
    from ownerreportd.core.outcome import Outcome, Receipt

INODES_MIN = 64


@dataclass(frozen=True, slots=True)
class Opened:
    """An attempt that is on record: the part to send now, and whose it is."""

    attempt: int
    part: Part
    report_id: str = ""


@dataclass(slots=True)
class Custody:
    """The spool and its ledger, kept true to each other. One thread at a time."""

    spool: Spool
    ledger: Ledger
    free_bytes_min: int
    report_bytes_max: int
    utc: Callable[[], float] = time.time

    # --- before an attempt ------------------------------------------------------------------

    def open_attempt(
        self, delivery: int, number: int, form: Form
    ) -> Opened | Hindrance | NotNow | Moved:
        """Check that the report can be sent and archived, then open an attempt."""
        with self.ledger.reading() as db:
            queued = queue.delivery_by_id(db, delivery)
            report = queue.by_rid(db, queued.rid) if queued else None
            if queued is None or report is None or number not in {p.number for p in queued.parts}:
                return Moved()
        trouble = self.check_file(report) or self.check_room() or self.check_folders()
        if trouble is not None:
            return trouble
        with self.ledger.transaction() as db:
            attempt = deliveries.begin_attempt(db, delivery, number, form, self.utc())
            part = queue.load_part(db, delivery, number, form)
            return Opened(attempt, part, report.id or "")

    def check_file(self, report: queue.QueuedReport) -> Hindrance | NotNow | Moved | None:
        """Whether the file is still the one that was frozen; an untouched one costs one stat."""
        try:
            with self.spool.pending() as pending:
                found = fsio.lstat(pending, report.name)
                if found is None:
                    reason = "its file is gone; the report is withdrawn if it stays away"
                    return NotNow(reason, gone=True)
                if FileStat.of(found) == report.found:
                    return None
                read = read_report(pending, report.name, self.report_bytes_max, durable=False)
        except SpoolReplacedError as error:
            return replaced(error)
        except FileNotFoundError:
            return NotNow("its file has just gone", gone=True)
        except NoRegularFileError as error:
            return changed(str(error))
        if isinstance(read, NotReadable):
            return self._unreadable(report, read)
        return self._compare(report, read)

    def _unreadable(self, report: queue.QueuedReport, read: NotReadable) -> NotNow | Moved | None:
        """It holds nobody up: with nothing but its mode changed, it is as it was."""
        if not read.being_written and replace(read.found, ctime_ns=0) == replace(
            report.found, ctime_ns=0
        ):
            return None
        with self.ledger.transaction() as db:
            if queue.attempted(db, report.rid):
                return NotNow(read.reason)
            self._thaw(db, report.rid)
            return Moved()

    def _compare(self, report: queue.QueuedReport, read: ReadFile) -> Hindrance | Moved | None:
        with self.ledger.transaction() as db:
            if read.sha256 == report.sha256:
                admission.set_content(db, report.rid, read.found, read.sha256, None)
                return None
            if queue.attempted(db, report.rid):
                return changed("its file was edited after the first attempt")
            self._thaw(db, report.rid)
            return Moved()

    def rebind(self, db: Any, rid: int, decided: Sequence[deliveries.Bound]) -> None:
        """Make the report's deliveries those that are decided now.

        What was sent elsewhere stays on record, and is not sent again; what is in doubt stays
        bound where it is, and nothing of it goes to the new target until the doubt is resolved.
        """
        waiting = [
            found for found in queue.waiting_deliveries(db, rid)
            if found.bound not in decided and not found.direct
            and all(part.doubt_since is None for part in found.parts)
        ]  # fmt: skip
        for found in waiting:
            deliveries.end_delivery(db, found.id, "withdrawn", self.utc())
            self._tell_if_gone(db, rid, found.bound.destination, decided)
        served = queue.served_destinations(db, rid)
        if any(bound.destination not in served for bound in decided):
            self._thaw(db, rid)

    def _tell_if_gone(
        self, db: Any, rid: int, destination: str, decided: Sequence[deliveries.Bound]
    ) -> None:
        """Nobody must take a report for delivered to a place that it no longer goes to."""
        if any(bound.destination == destination for bound in decided):
            return
        row = db.execute("SELECT id FROM reports WHERE rid = ?", (rid,)).fetchone()
        detail = f"it had not been delivered to {destination}, where it goes no more"
        record(db, self.utc(), events.REPORT_WARNING, rid, id=row["id"], detail=detail)

    @staticmethod
    def _thaw(db: Any, rid: int) -> None:
        thaw(db, rid)
        db.execute("UPDATE reports SET fields = NULL WHERE rid = ?", (rid,))

    def check_room(self) -> Hindrance | None:
        """Whether there is room to record an answer and move a file."""
        free_bytes, inodes = self.spool.room()
        if free_bytes < self.free_bytes_min:
            shortage = f"{free_bytes:,} bytes are free, {self.free_bytes_min:,} are needed"
        elif inodes < INODES_MIN:
            shortage = f"{inodes} inodes are free, {INODES_MIN} are needed"
        else:
            return None
        root = self.spool.root
        return Hindrance("disk_full", f"the disk is full: {shortage}", f"make room: df -h {root}")

    def check_folders(self) -> Hindrance | None:
        """Whether a report could be moved to `sent/`: never learned after it was sent."""
        for name in ("pending", "sent"):
            path = self.spool.root / name
            if not path.exists():
                continue  # `pending/` was looked at before, and `sent/` is made again
            if not os.access(path, os.W_OK | os.X_OK):
                return Hindrance(
                    "config", f"no permission to move files in {path}", f"chmod u+rwx {path}"
                )
        return None

    # --- after an attempt -------------------------------------------------------------------

    def close_attempt(self, attempt: int, outcome: Outcome) -> None:
        """Record the outcome; on a full disk, with what was kept back for this.

        Raises:
            LedgerError: if it could not be recorded.
        """
        self._with_ballast(self._end_attempt, attempt, outcome)

    def _end_attempt(self, attempt: int, outcome: Outcome) -> None:
        with self.ledger.transaction() as db:
            deliveries.end_attempt(db, attempt, outcome, self.utc())

    def cancel_attempt(self, attempt: int) -> None:
        """Take back an attempt that never reached the channel."""
        with self.ledger.transaction() as db:
            deliveries.cancel_attempt(db, attempt)

    def found(self, delivery: int, number: int, receipt: Receipt) -> None:
        """A look has found the part at the channel."""
        with self.ledger.transaction() as db:
            deliveries.confirm_part(db, delivery, number, receipt, self.utc(), resolved="found")

    def absent(self, delivery: int, number: int) -> None:
        """A look has proved that the part is not at the channel."""
        with self.ledger.transaction() as db:
            deliveries.clear_doubt(db, delivery, number, self.utc(), "absent")

    def accepted(self, delivery: int, number: int) -> None:
        """A look has found the part, with a receipt that proves too little."""
        with self.ledger.transaction() as db:
            deliveries.note_accepted(db, delivery, number)

    def _with_ballast(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            return step(*args)
        except (LedgerError, OSError) as error:
            code = error.code if isinstance(error, LedgerError) else disk_code(error)
            if code != "disk_full" or not self.spool.give_up_ballast():
                raise
        return step(*args)

    # --- the end of a report ----------------------------------------------------------------

    def settle(self, rid: int) -> Hindrance | NotNow | None:
        """Archive the report if every delivery is ended; None also where there is more to do."""
        with self.ledger.reading() as db:
            report = queue.by_rid(db, rid)
            folder = queue.final_folder(db, rid) if report and report.frozen else None
        if report is None or folder is None:
            return None
        try:
            if folder == "sent" and self._moved_already(report, folder) is None:
                trouble = self.check_file(report)
                if isinstance(trouble, Hindrance) or (
                    isinstance(trouble, NotNow) and not trouble.gone
                ):
                    return trouble
            self._with_ballast(self._archive, rid, folder)
        except SpoolReplacedError as error:
            return replaced(error)
        except LedgerError as error:
            return ledger_hindrance(error)
        except OSError as error:
            return disk_hindrance(error)
        return None

    def _archive(self, rid: int, folder: str) -> None:
        with self.ledger.reading() as db:
            report = queue.by_rid(db, rid)  # as `check_file` left it
        if report is None:
            return
        name, gone = self._moved_already(report, folder), False
        if name is None:
            try:
                name = self.spool.move_report(report.name, folder)
            except FileNotFoundError:
                name, gone = report.name, True
        with self.ledger.transaction() as db:
            self._close_settled(db, report, folder, name, gone=gone)

    def _moved_already(self, report: queue.QueuedReport, folder: str) -> bytes | None:
        """Where a move that was not recorded brought the file; its name may be another's by now."""
        with self.spool.pending() as pending:
            found = fsio.lstat(pending, report.name)
        if found is not None and found.st_ino == report.found.ino:
            return None
        return self.spool.find_moved(report.name, report.found.ino, folder)

    def _close_settled(
        self, db: Any, report: queue.QueuedReport, folder: str, name: bytes, *, gone: bool
    ) -> None:
        at, state = self.utc(), folder
        admission.close_report(db, report.rid, state, at, reason=None, folder=folder, name=name)
        kind = events.REPORT_SENT if state == "sent" else events.REPORT_HELD
        if gone:
            done = "delivered" if state == "sent" else "set aside"
            detail = f"{done}, but its file had been deleted before it could be moved"
            record(db, at, events.REPORT_WARNING, report.rid, id=report.id, detail=detail)
        row = db.execute("SELECT reason FROM reports WHERE rid = ?", (report.rid,)).fetchone()
        shown = shown_name(name)
        record(db, at, kind, report.rid, id=report.id, name=shown, reason=row["reason"])

    def reject(self, report: queue.QueuedReport, reason: str) -> None:
        """Move what is no report to `rejected/`, and close its row."""
        with suppress(FileNotFoundError):
            moved = self.spool.reject(report.name, reason)
            with self.ledger.transaction() as db:
                admission.end_unsent(
                    db, report.rid, "rejected", self.utc(), reason=reason, folder="rejected",
                    name=moved,
                )  # fmt: skip

    def reject_odd(self, odd: Sequence[tuple[bytes, str]]) -> int:
        """Move links, FIFOs and the like out of `pending/`; how many."""
        count = 0
        for name, reason in odd:
            with suppress(FileNotFoundError):
                moved = self.spool.reject(name, reason)
                with self.ledger.transaction() as db:
                    admission.reject_unadmitted(db, name, moved, reason, self.utc())
                count += 1
        return count

    # --- files that go away -----------------------------------------------------------------

    def missing(self, rids: Sequence[int], patience_s: float) -> list[int]:
        """Note which names are gone, or withdraw what was gone in an earlier scan already.

        Answers the reports that are waiting no longer.
        """
        left = []
        with self.spool.pending() as pending:
            for rid in rids:
                with self.ledger.reading() as db:
                    report = queue.by_rid(db, rid)
                if report is None or fsio.lstat(pending, report.name) is not None:
                    continue
                if self.find_again(report) or self._withdraw(report, patience_s):
                    left.append(rid)
        return left

    def find_again(self, report: queue.QueuedReport) -> bool:
        """A move that a crash cut off before its row was closed."""
        for folder in ("sent", "held", "rejected"):
            name = self.spool.find_moved(report.name, report.found.ino, folder)
            if name is None:
                continue
            with self.ledger.transaction() as db:
                final = queue.final_folder(db, report.rid)
                if folder == final:
                    self._close_settled(db, report, folder, name, gone=False)
                elif final is None and folder == "held":
                    self._close_held(db, report, name, "it was moved to held/")
                elif final is None and folder == "rejected":
                    admission.end_unsent(
                        db, report.rid, folder, self.utc(), folder=folder, name=name,
                        reason="see the note beside the file",
                    )  # fmt: skip
                else:
                    continue
                return True
        return False

    def _close_held(self, db: Any, report: queue.QueuedReport, name: bytes, reason: str) -> None:
        """Set aside with its deliveries open, so that `retry` goes on with them."""
        for found in queue.waiting_deliveries(db, report.rid):
            deliveries.end_delivery(db, found.id, "skipped", self.utc())
        admission.end_unsent(
            db, report.rid, "held", self.utc(), reason=reason, folder="held", name=name
        )

    def _withdraw(self, report: queue.QueuedReport, patience_s: float) -> bool:
        at = self.utc()
        with self.ledger.transaction() as db:
            row = db.execute(
                "SELECT missing_at FROM reports WHERE rid = ?", (report.rid,)
            ).fetchone()
            if row["missing_at"] is None or at < row["missing_at"]:
                db.execute("UPDATE reports SET missing_at = ? WHERE rid = ?", (at, report.rid))
                return False
            if at - row["missing_at"] < patience_s or queue.open_attempt_exists(db, report.rid):
                return False
            if queue.final_folder(db, report.rid) is not None:
                return False  # delivered: `settle` closes it, and says that the file was gone
            reason = "its file was deleted from pending/"
            admission.end_unsent(
                db, report.rid, "withdrawn", at, reason=reason, folder="", name=report.name
            )
            return True

    def came_back(self) -> None:
        """Forget that names were missing which the last scan has seen again."""
        with self.ledger.reading() as db:
            rows = db.execute(
                "SELECT rid, name FROM reports WHERE missing_at IS NOT NULL"
            ).fetchall()
        with self.spool.pending() as pending:
            back = [row["rid"] for row in rows if fsio.lstat(pending, row["name"]) is not None]
        if back:
            with self.ledger.transaction() as db:
                marks = ", ".join("?" * len(back))
                db.execute(f"UPDATE reports SET missing_at = NULL WHERE rid IN ({marks})", back)  # noqa: S608 - only question marks are put in

    def has_sent_twin(self, sha256: str) -> bool:
        """Whether `sent/` holds a report with these bytes, whose message could be taken for ours.

        Reads the whole folder: only for what was pending when an earlier ledger was lost.
        """
        with self.spool.folder("sent") as sent, os.scandir(sent) as entries:
            return any(
                fsio.sha256(sent, os.fsencode(entry.name)) == sha256
                for entry in entries
                if entry.is_file(follow_symlinks=False)
            )

    # --- a person's word --------------------------------------------------------------------

    def skip(self, rid: int, destination: str | None, reason: str, who: str) -> list[str]:
        """End the report's waiting deliveries as skipped; which destinations these were."""
        at = self.utc()
        with self.ledger.transaction() as db:
            chosen = [
                found for found in queue.waiting_deliveries(db, rid)
                if destination in (None, found.bound.destination)
            ]  # fmt: skip
            for found in chosen:
                deliveries.end_delivery(db, found.id, "skipped", at, who)
            if chosen:
                text = f"{reason} (set aside by {who})"
                db.execute("UPDATE reports SET reason = ? WHERE rid = ?", (text, rid))
        return [found.bound.destination for found in chosen]

    def skip_unread(self, rid: int, reason: str, who: str) -> bool:
        """Set aside a report that cannot be read or rendered; False if it is not there."""
        with self.ledger.reading() as db:
            report = queue.by_rid(db, rid)
        if report is None:
            return False
        try:
            moved = self.spool.move_report(report.name, "held")
        except FileNotFoundError:
            return False
        with self.ledger.transaction() as db:
            self._close_held(db, report, moved, f"{reason} (set aside by {who})")
        return True

    def refreeze(self, rid: int) -> None:
        """Let the report be read and frozen anew, as a corrected version where the owner saw it."""
        at = self.utc()
        with self.ledger.transaction() as db:
            if queue.maybe_seen(db, rid):
                db.execute("UPDATE reports SET corrected = 1 WHERE rid = ?", (rid,))
            if queue.attempted(db, rid):
                db.execute(
                    "UPDATE deliveries SET state = 'withdrawn', ended_at = ? "
                    "WHERE rid = ? AND state NOT IN ('withdrawn', 'skipped')",
                    (at, rid),
                )
            self._thaw(db, rid)

    def requeue(self, rid: int, name: bytes, destination: str | None = None) -> None:
        """Bring a held report back to `pending/`, at the tail, what was skipped (there) open."""
        back = self.spool.take_back(name, "held")
        with self.ledger.transaction() as db:
            admission.requeue(db, rid, back, self.utc(), destination)

    def admit(self, rows: Sequence[tuple[Any, ...]]) -> int:
        """Give numbers to files that a scan found, as far as they are still there; how many."""
        at = self.utc()
        with self.spool.pending() as pending:
            here = [row for row in rows if _is_inode(fsio.lstat(pending, row[0]), row[2])]
        with self.ledger.transaction() as db:
            held = {row[0]: admission.held_at(db, row[0], row[1], row[2]) for row in here}
            for name, rid in held.items():
                if rid is not None:
                    admission.requeue(db, rid, name, at)
            new = admission.admit(db, [row for row in here if held[row[0]] is None], at)
            return new + sum(rid is not None for rid in held.values())

    # --- start ------------------------------------------------------------------------------

    def recover(self) -> int:
        """Bring rows and files together after whatever happened; how many attempts were open."""
        self.spool.remove_leftovers()
        self.spool.keep_ballast(self.free_bytes_min)
        with self.ledger.transaction() as db:
            detail = "the program stopped during this attempt"
            count = deliveries.end_open_attempts(db, self.utc(), detail)
            deliveries.withdraw_unused_direct(db, self.utc())
        return count


def _is_inode(found: os.stat_result | None, ino: int) -> bool:
    return found is not None and found.st_ino == ino
