"""Owns what the socket needs from the daemon: one protocol, in values that JSON can carry.

Rule: routes translate between HTTP and this protocol and decide nothing themselves. Errors are
`core.errors`; each has its HTTP status and hint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from ownerreportd.ledger.views import Wanted
    from ownerreportd.receipts import Filter

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """The process at the other end of the socket, as the kernel tells (SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"uid {self.uid} pid {self.pid}"


class Gate(Protocol):
    """What the gate's routes ask for; the names in its JSON are GATE.md's."""

    async def check(self, adapter: str, request: Json, *, caller: Caller) -> Json:
        """The contract for a request. Raises GateInputError with every mistake in it."""

    def check_config(self, config: object) -> Json:
        """`{ok, errors, warnings, config}`."""

    async def write_receipt(self, receipt: Json, *, caller: Caller) -> Json:
        """Keep a receipt durably. `{receipt, path, errors, created}`; nothing where errors are."""

    async def receipts(self, wanted: Filter, *, limit: int) -> Json:
        """`{receipts, invalid}`, newest first."""

    async def decisions(self, *, limit: int, before: int | None, plan_id: str | None) -> Json:
        """`{decisions}`, newest first, of those with a number below `before`."""

    async def decision(self, number: int) -> Json:
        """One decision. Raises NotFoundError."""

    def figures(self) -> Json:
        """`{decided, dropped, receipts_written}` since the start."""


class Events(Protocol):
    """What the route of events asks for. `kind` is one, or a family, as `part`."""

    async def position(
        self, *, last: int | None, at: float | None, ref: str | None, kind: str | None
    ) -> int:
        """The number behind which the last so many begin, or those from a time on, or new ones."""

    async def after(
        self, since: int, *, ref: str | None, kind: str | None, limit: int
    ) -> tuple[list[Json], int]:
        """The next events, and the number up to which all were looked at."""

    async def more(self, *, timeout_s: float) -> None:
        """Return when there may be more, or at the timeout."""


class Reloads(Protocol):
    """Takes the configuration again."""

    async def reload(self, *, who: str) -> Json:
        """Validate, exchange, tell. `{changed: [{key, old, new}], warnings}`, no secret in it.

        Raises:
            ConfigError: with every mistake; the earlier configuration counts as before.
        """


class Daemon(Protocol):
    """What the routes ask for. `ref` is an id, a unique prefix of 4 characters, a name or `head`.

    `who` is recorded with every act. A report is the JSON object of `GET /v1/reports/{id}`.
    """

    async def submit(self, data: bytes, *, report_id: str | None, caller: Caller) -> Json:
        """Take a report durably. `{id, name, sha256, state, position, created}`.

        `created` is False where the same id was there with the same bytes. Raises:
        IdConflictError: if the id belongs to other bytes. InvalidReportError: if it is no report
        or names an unknown destination in `to:`.
        """

    async def reports(self, wanted: Wanted, *, limit: int, after: int) -> list[Json]:
        """Reports with a sequence number above `after`, oldest first, without their parts."""

    async def report(self, ref: str) -> Json:
        """One report with its deliveries, parts, attempts and receipts."""

    async def wait(self, ref: str, *, timeout_s: float) -> Json:
        """The report, when its state is final or `timeout_s` have passed."""

    async def send(
        self,
        ref: str,
        *,
        destination: str | None,
        channel: str | None,
        target: str | None,
        caller: Caller,
        data: bytes | None = None,
    ) -> Json:
        """One report now, directly. Answers `{outcome, detail, hint, receipts, report}`.

        With `data`, `ref` is the id of a new report, which the queue does not send before.
        """

    async def retry(self, ref: str | None, *, destination: str | None, who: str) -> Json:
        """Try again: one report (answers the report), or whatever waits (answers the status)."""

    async def skip(self, ref: str, *, reason: str, destination: str | None, who: str) -> Json:
        """Set a report aside to `held/`. Answers the report."""

    async def resolve(self, ref: str, *, how: str, destination: str | None, who: str) -> Json:
        """Settle a doubt by a person's word: `how` is `sent` or `resend`. Answers the report."""

    async def pause(self, *, destination: str | None, who: str) -> Json:
        """Stop sending after the attempt in flight, over restarts too. Answers the status."""

    async def resume(self, *, destination: str | None, who: str) -> Json:
        """Send again. Answers the status."""

    async def figures(self) -> Json:
        """`{state, states, waiting, oldest_age_s, sent_total, rejected_total, sends}`.

        `sends` is the `core.figures.SendFigures` of this run.
        """

    async def status(self) -> Json:
        """The object of `GET /v1/status`, schema `ownerreportd.status/1`."""

    async def health(self) -> Json:
        """`{ok, state, code}`; `ok` is False when blocked or stale."""
