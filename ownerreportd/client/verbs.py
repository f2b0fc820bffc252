"""Owns the list of what can be asked, once for the client that waits and the one that awaits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ownerreportd.client import calls
from ownerreportd.client.calls import LONG_S, Call

if TYPE_CHECKING:
    from collections.abc import Mapping

Result = TypeVar("Result")


class Verbs(ABC, Generic[Result]):
    """Each verb of the daemon; `Result` is the answer's JSON object, or what leads to it.

    The answers are those of `docs/openapi.json`. Every verb raises: UnreachableError: if nobody
    takes the connection; it lists every place that was tried. LostAnswerError: if the connection
    failed later, so that the request may have counted. OperatorError: of the class that the daemon
    raised.
    """

    timeout_s: float

    @abstractmethod
    def _ask(self, call: Call) -> Result: ...

    # --- reports ----------------------------------------------------------------------------

    def submit(self, data: bytes, *, report_id: str | None = None) -> Result:
        """Hand a report over, durably: `{id, name, sha256, state, position, created}`."""
        return self._ask(calls.submit(data, report_id))

    def reports(
        self,
        *,
        state: str | None = None,
        team: str | None = None,
        since: str | None = None,
        limit: int = 100,
        after: int = 0,
    ) -> Result:
        """One page: `{reports, next_after}`, oldest first; `since` is a time by RFC 3339."""
        return self._ask(calls.reports(limit, after, state=state, team=team, since=since))

    def report(self, ref: str) -> Result:
        """One report, whole."""
        return self._ask(calls.report(ref))

    def wait(self, ref: str, *, timeout_s: float) -> Result:
        """The report, when its state is final or at the timeout."""
        return self._ask(calls.wait(ref, timeout_s, self.timeout_s))

    def send(
        self,
        ref: str,
        *,
        destination: str | None = None,
        channel: str | None = None,
        target: str | None = None,
        data: bytes | None = None,
        timeout_s: float = LONG_S,
    ) -> Result:
        """One report now: `{outcome, detail, hint, receipts, report}`.

        With `data`, `ref` is the id of a new report with these bytes.
        """
        where = {"destination": destination, "channel": channel, "target": target}
        return self._ask(calls.send(ref, where, data, timeout_s))

    def retry(self, ref: str | None = None, *, destination: str | None = None) -> Result:
        """Try again: the report (answers it), or the whole queue (answers the status)."""
        if ref is None:
            return self._ask(calls.act("/v1/queue/retry", {"destination": destination}))
        return self._ask(calls.act_on(ref, "retry", destination=destination))

    def skip(self, ref: str, *, reason: str, destination: str | None = None) -> Result:
        """Set the report aside."""
        return self._ask(calls.act_on(ref, "skip", reason=reason, destination=destination))

    def resolve(self, ref: str, *, how: str, destination: str | None = None) -> Result:
        """Settle a doubt: `how` is `sent` or `resend`."""
        fields = {"as": how, "destination": destination}
        return self._ask(calls.act_on(ref, "resolve", **fields))

    # --- the queue --------------------------------------------------------------------------

    def pause(self, *, destination: str | None = None) -> Result:
        """Stop sending; answers the status."""
        return self._ask(calls.act("/v1/queue/pause", {"destination": destination}))

    def resume(self, *, destination: str | None = None) -> Result:
        """Send again; answers the status."""
        return self._ask(calls.act("/v1/queue/resume", {"destination": destination}))

    def reload(self) -> Result:
        """Have the configuration taken again: `{changed: [{key, old, new}], warnings}`."""
        return self._ask(calls.act("/v1/reload", {}, LONG_S))

    def status(self) -> Result:
        """The status object."""
        return self._ask(Call("GET", "/v1/status"))

    def health(self) -> Result:
        """`{ok, state, code}`, also where it is not well."""
        return self._ask(Call("GET", "/v1/health", also=503))

    def version(self) -> Result:
        """`{version, api}` of the daemon."""
        return self._ask(Call("GET", "/v1/version"))

    # --- the gate ---------------------------------------------------------------------------

    def gate(self, adapter: str, request: Mapping[str, Any]) -> Result:
        """The contract for a request of this adapter."""
        return self._ask(calls.gate(adapter, request))

    def write_receipt(self, receipt: Mapping[str, Any]) -> Result:
        """Keep a receipt durably: `{receipt, path, errors, warnings}`."""
        return self._ask(calls.write_receipt(receipt))

    def receipts(self, **wanted: str | int | None) -> Result:
        """`{receipts, invalid}`; `planId`, `currentTask`, `dispatchRunId`, `since`, `limit`."""
        return self._ask(Call("GET", f"/v1/receipts{calls.query(**wanted)}"))

    def decisions(self, **wanted: str | int | None) -> Result:
        """`{decisions}`, newest first; `planId`, `before`, `limit`."""
        return self._ask(Call("GET", f"/v1/gate/decisions{calls.query(**wanted)}"))

    def decision(self, number: int) -> Result:
        """One decision."""
        return self._ask(Call("GET", f"/v1/gate/decisions/{number}"))
