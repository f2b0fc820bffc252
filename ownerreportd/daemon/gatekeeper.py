"""Owns the gate as a service: decide at once, record behind the answer, keep receipts before it.

Rule: an answer waits for nothing but its own receipt's disk; not for a lane, a scan or the ledger.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import anyio
import structlog

from ownerreportd.core import events
from ownerreportd.core.errors import StorageError
from ownerreportd.gate import answer, read_request, validate_config, validate_receipt
from ownerreportd.ledger import decisions
from ownerreportd.ledger.store import LedgerError, record

if TYPE_CHECKING:
    from ownerreportd.api.daemon import Caller
    from ownerreportd.daemon.engine import Engine
    from ownerreportd.gate import GateConfig
    from ownerreportd.receipts import Filter, ReceiptStore

Json: TypeAlias = dict[str, Any]

BATCH_S: Final = 0.02  # decisions of so long are one transaction
WAITING_MAX: Final = 10_000
RECORD_S: Final = 0.25  # so long a receipt's answer waits for its event
PIECE: Final = 100  # receipts
LOOK_S: Final = 30.0
LOOKS_A_SWEEP: Final = 120  # every hour
TEXT_CHARS_MAX: Final = 256
log = structlog.get_logger("ownerreportd.gate")


class Noted(NamedTuple):
    """An event that waits to be recorded; `done` is set when it was, or was dropped."""

    at: float
    kind: str
    fields: Json
    done: anyio.Event | None  # where somebody waits for it


@dataclass(slots=True)
class Recorder:
    """Writes events in batches, behind whoever noted them; counts those that it had to drop."""

    engine: Engine
    dropped: int = 0
    _waiting: deque[Noted] = field(default_factory=deque)
    _some: anyio.Event = field(default_factory=anyio.Event)
    _urgent: anyio.Event = field(default_factory=anyio.Event)
    _failing: bool = False

    def note(self, kind: str, fields: Json, done: anyio.Event | None = None) -> None:
        """Have an event recorded soon; with `done` now, which is set then, or if it is dropped."""
        if len(self._waiting) >= WAITING_MAX:
            self.dropped += 1
            if done is not None:
                done.set()
            return
        self._waiting.append(Noted(self.engine.clock.utc(), kind, fields, done))
        self._some.set()
        if done is not None:
            self._urgent.set()

    async def run(self) -> None:
        """Record for ever."""
        while True:
            await self._some.wait()
            with anyio.move_on_after(BATCH_S):
                await self._urgent.wait()
            await self.flush()

    async def flush(self) -> None:
        """Record all that waits, in one transaction; on a full disk it is dropped and counted."""
        if self._some.is_set():  # else `run` waits for this very one
            self._some, self._urgent = anyio.Event(), anyio.Event()
        batch, self._waiting = self._waiting, deque()
        if not batch:
            return
        try:
            with anyio.CancelScope(shield=True):  # what was answered is recorded, or counted
                await self.engine.workers.write(self._write, batch)
        except LedgerError as error:
            self.dropped += len(batch)
            if not self._failing:
                log.warning("gate.not_recorded", reason=str(error), remedy="the gate answers on")
            self._failing = True
        else:
            self._failing = False
            self.engine.tell()
        finally:
            for each in batch:
                if each.done is not None:
                    each.done.set()

    def _write(self, batch: deque[Noted]) -> None:
        with self.engine.custody.ledger.transaction() as db:
            for each in batch:
                record(db, each.at, each.kind, **each.fields)


@dataclass(slots=True)
class Gatekeeper:
    """Answers the gate's routes. It is the `Gate` of `api.daemon`."""

    engine: Engine
    config: GateConfig
    store: ReceiptStore
    recorder: Recorder
    decided: Counter[tuple[str, str]] = field(default_factory=Counter)  # by status and reason
    receipts_written: int = 0
    _told: set[tuple[str, str]] = field(default_factory=set)

    # --- decide -----------------------------------------------------------------------------

    async def check(self, adapter: str, request: Json, *, caller: Caller) -> Json:
        """The contract for a request; see `api.daemon`."""
        asked = read_request(adapter, request, config=self.config, now=self._now())
        stored = None
        warning = ""
        if asked.look_up is not None and not self.store.surely_none(asked.look_up):
            try:
                stored = await self.engine.workers.keep(self.store.newest, asked.look_up, asked.now)
            except StorageError as error:  # an input without a receipt can still be judged
                warning = f"stored receipts were not looked at: {error}"
        contract = answer(asked, stored)
        if warning:
            contract["evaluation"]["warnings"].append(warning)
        result = contract["result"]
        self.decided[result["status"], result["reason"]] += 1
        self.recorder.note(events.GATE_DECIDED, {**_told(contract), "who": str(caller)})
        return contract

    def check_config(self, config: object) -> Json:
        """What is wrong with a configuration; see `api.daemon`."""
        return validate_config(config, self.config).to_json()

    # --- receipts ---------------------------------------------------------------------------

    async def write_receipt(self, receipt: Json, *, caller: Caller) -> Json:
        """Keep a receipt durably; see `api.daemon`."""
        checked = validate_receipt(receipt, self._now())
        if not checked.valid:
            return {
                "receipt": receipt,
                "path": None,
                "errors": checked.problems(),
                "created": False,
            }
        path, created = await self.engine.workers.keep(self.store.write, checked.receipt)
        if created:
            self.receipts_written += 1
            kept = {name: checked.receipt[name] for name in _KEPT_OF_RECEIPT}
            told = {**kept, "file": path.name, "who": str(caller)}
            recorded = anyio.Event()
            self.recorder.note(events.RECEIPT_WRITTEN, told, recorded)
            with anyio.move_on_after(RECORD_S):  # the file is the proof, and it is there
                await recorded.wait()
        shown = {"receipt": checked.receipt, "path": str(path), "errors": [], "created": created}
        return {**shown, "warnings": list(checked.warnings)}

    async def receipts(self, wanted: Filter, *, limit: int) -> Json:
        """Stored receipts, newest first; see `api.daemon`."""
        now = self._now()

        def look() -> Json:
            found = self.store.listed(wanted, limit, now)
            return {"receipts": found, "invalid": self.store.invalid(now)}

        return await self.engine.workers.keep(look)

    # --- what was decided -------------------------------------------------------------------

    async def decisions(self, *, limit: int, before: int | None, plan_id: str | None) -> Json:
        """The newest decisions; see `api.daemon`."""
        await self.recorder.flush()

        def ask() -> Json:
            with self.engine.asking.reading() as db:
                return {"decisions": decisions.newest(db, limit, before, plan_id)}

        return await self.engine.workers.ask(ask)

    async def decision(self, number: int) -> Json:
        """One decision; see `api.daemon`."""
        await self.recorder.flush()

        def ask() -> Json:
            with self.engine.asking.reading() as db:
                return decisions.one(db, number)

        return await self.engine.workers.ask(ask)

    def figures(self) -> Json:
        """What has been decided since the start, by status and reason."""
        return {
            "decided": [
                {"status": status, "reason": reason, "count": count}
                for (status, reason), count in sorted(self.decided.items())
            ],
            "dropped": self.recorder.dropped,
            "receipts_written": self.receipts_written,
        }

    # --- for ever ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Record decisions, and keep the store in order, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.recorder.run)
            tasks.start_soon(self._read_on)
            for turn in itertools.count():
                await self._keep_store(sweep=turn % LOOKS_A_SWEEP == 0)
                await anyio.sleep(LOOK_S)

    async def _read_on(self) -> None:
        """Read what the first scan put off, in pieces that let a look-up pass between them."""
        with contextlib.suppress(StorageError):
            while await self.engine.workers.keep(self.store.read_on, PIECE):
                pass

    async def _keep_store(self, *, sweep: bool) -> None:
        """Tell of files that are no receipts, and remove what is over its time."""

        def keep() -> tuple[int, list[Json]]:
            removed = self.store.sweep(now) if sweep else 0
            self.store.refresh()
            return removed, self.store.invalid(now)

        now = self._now()
        try:
            removed, invalid = await self.engine.workers.keep(keep)
        except StorageError as error:
            log.warning("receipts.not_kept", reason=str(error), remedy=error.hint)
            return
        if removed:
            log.info("receipts.removed", count=removed, days=self.store.retention_days)
        for each in invalid:
            said = each["file"], each["reason"]
            if said not in self._told:
                log.warning("receipt.left_alone", file=said[0], reason=said[1])
        self._told = {(each["file"], each["reason"]) for each in invalid}

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.engine.clock.utc(), UTC)


_KEPT_OF_RECEIPT: Final = (
    "planId", "currentTask", "dispatchRunId", "childSessionKey", "dispatchedAt",
)  # fmt: skip
_KEPT_OF_INPUT: Final = (
    "planId", "currentTask", "taskState", "replyClosureState", "nextTaskId", "nextTaskKnown",
    "sameApprovedPlan", "taskBoundaryStop", "highRiskStop",
)  # fmt: skip


def _told(contract: Json) -> Json:
    """The facts of a decision, short enough to keep every one."""
    given, evaluation = contract["input"], contract["evaluation"]
    action = given["nextDerivedAction"]
    return {
        **{name: _short(given[name]) for name in _KEPT_OF_INPUT},
        "nextAction": None if action is None else _short(action["type"]),
        "adapter": contract["meta"]["adapterName"],
        **contract["result"],
        "rule": evaluation["rule"],
        "receipt": evaluation["receipt"],
        "receiptErrors": [each["code"] for each in evaluation["receiptErrors"]],
    }


def _short(value: Any) -> Any:
    return value[:TEXT_CHARS_MAX] if isinstance(value, str) else value
