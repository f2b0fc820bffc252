"""Owns what can be asked of the daemon, for whoever is on this machine.

Rule: standard library only; a problem that the daemon tells of becomes the error that it was.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from ownerreportd.client import exchange
from ownerreportd.client.exchange import Answer
from ownerreportd.core import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Answer", "Client", "EventClient", "GateClient", "LostAnswerError", "raise_problem"]

Json: TypeAlias = dict[str, Any]

TIMEOUT_S: Final = 30.0
MARKDOWN: Final = "text/markdown; charset=utf-8"
START_HINT: Final = "start the daemon: ownerreportd run"
_TYPE_PREFIX: Final = "urn:ownerreportd:error:"
_ERRORS: Final = {
    each.code: each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.OperatorError)
}
_BY_STATUS: Final[dict[int, type[errors.OperatorError]]] = {
    400: errors.UsageError,
    403: errors.NotAllowedError,
    404: errors.NotFoundError,
    405: errors.UsageError,
    409: errors.DoesNotApplyError,
    413: errors.InvalidReportError,
    415: errors.UsageError,
    421: errors.UsageError,
    422: errors.UsageError,
    503: errors.UnreachableError,
}


class LostAnswerError(errors.UnreachableError):
    """Raised when the request may have reached the daemon and no whole answer came back."""

    code = "lost_answer"


class Client:
    """The daemon, asked by anybody on this machine.

    The first socket that takes a connection is the daemon. Each call is one connection.
    """

    def __init__(self, socket_paths: Sequence[Path], timeout_s: float = TIMEOUT_S) -> None:
        self.socket_paths = list(socket_paths)
        self.timeout_s = timeout_s

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        *,
        timeout_s: float | None = None,
    ) -> Answer:
        """One exchange; any status is an answer.

        Raises:
            UnreachableError: if nobody takes the connection; it lists every place that was tried.
            LostAnswerError: if the connection failed later, so that the request may have counted.
        """
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        sock, place = self._connected()
        with sock:
            try:
                head = exchange.head(method, path, body, content_type)
                exchange.send(sock, head + (body or b""), deadline)
                return exchange.read_answer(sock, deadline, with_body=method != "HEAD")
            except (OSError, ValueError) as error:
                raise LostAnswerError(
                    f"the daemon at {place} gave no whole answer: {error}",
                    hint="ownerreportd status",
                ) from error

    def submit(self, data: bytes, *, report_id: str | None = None) -> Json:
        """Hand a report over, durably: `{id, name, sha256, state, position, created}`."""
        if report_id is None:
            return self._ask("POST", "/v1/reports", data, MARKDOWN)
        return self._ask("PUT", _report(report_id), data, MARKDOWN)

    def reports(self, *, state: str | None = None, limit: int = 100, after: int = 0) -> Json:
        """One page: `{reports, next_after}`, oldest first."""
        which = f"&state={exchange.quoted(state)}" if state else ""
        return self._ask("GET", f"/v1/reports?limit={limit}&after={after}{which}")

    def report(self, ref: str) -> Json:
        """One report, whole."""
        return self._ask("GET", _report(ref))

    def wait(self, ref: str, *, timeout_s: float) -> Json:
        """The report, when its state is final or at the timeout."""
        path = f"{_report(ref)}/wait?timeout_s={timeout_s:g}"
        return self._ask("GET", path, timeout_s=timeout_s + self.timeout_s)

    def send(
        self,
        ref: str,
        *,
        destination: str | None = None,
        channel: str | None = None,
        target: str | None = None,
        data: bytes | None = None,
        timeout_s: float = 3600.0,
    ) -> Json:
        """One report now: `{outcome, detail, hint, receipts, report}`.

        With `data`, `ref` is the id of a new report with these bytes.
        """
        fields = {"destination": destination, "channel": channel, "target": target}
        if data is not None:
            query = "&".join(f"{k}={exchange.quoted(v)}" for k, v in fields.items() if v)
            path = f"{_report(ref)}/send?{query}"
            return self._ask("POST", path, data, MARKDOWN, timeout_s=timeout_s)
        return self._act(f"{_report(ref)}/send", fields, timeout_s=timeout_s)

    def retry(self, ref: str | None = None, *, destination: str | None = None) -> Json:
        """Try again: the report (answers it), or the whole queue (answers the status)."""
        path = "/v1/queue/retry" if ref is None else f"{_report(ref)}/retry"
        return self._act(path, {"destination": destination})

    def skip(self, ref: str, *, reason: str, destination: str | None = None) -> Json:
        """Set the report aside."""
        return self._act(f"{_report(ref)}/skip", {"reason": reason, "destination": destination})

    def resolve(self, ref: str, *, how: str, destination: str | None = None) -> Json:
        """Settle a doubt: `how` is `sent` or `resend`."""
        return self._act(f"{_report(ref)}/resolve", {"as": how, "destination": destination})

    def pause(self, *, destination: str | None = None) -> Json:
        """Stop sending; answers the status."""
        return self._act("/v1/queue/pause", {"destination": destination})

    def resume(self, *, destination: str | None = None) -> Json:
        """Send again; answers the status."""
        return self._act("/v1/queue/resume", {"destination": destination})

    def status(self) -> Json:
        """The status object."""
        return self._ask("GET", "/v1/status")

    def health(self) -> Json:
        """`{ok, state, code}`, also where it is not well."""
        answer = self.request("GET", "/v1/health")
        return _object(answer) if answer.status == 503 else _checked(answer)

    def version(self) -> Json:
        """`{version, api}` of the daemon."""
        return self._ask("GET", "/v1/version")

    def _act(
        self, path: str, fields: Mapping[str, str | None], *, timeout_s: float | None = None
    ) -> Json:
        given = {name: value for name, value in fields.items() if value is not None}
        return self._ask("POST", path, json.dumps(given).encode(), timeout_s=timeout_s)

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        *,
        timeout_s: float | None = None,
    ) -> Json:
        return _checked(self.request(method, path, body, content_type, timeout_s=timeout_s))

    def _connected(self) -> tuple[socket.socket, Path]:
        tried = []
        for path in self.socket_paths:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.settimeout(self.timeout_s)
                sock.connect(os.fspath(path))
            except OSError as error:
                sock.close()
                tried.append(f"{path} ({(error.strerror or str(error)).lower()})")
            else:
                return sock, path
        places = ", ".join(tried) or "no place to try"
        raise errors.UnreachableError(f"no daemon answers; tried {places}", hint=START_HINT)


class EventClient(Client):
    """The events of the same daemon."""

    def events(self, *, quiet_s: float = 45.0, **wanted: str | int | None) -> Iterator[Json]:
        """Each event as it comes: `since`, `last`, `report`, `kind`, `follow` (0: to the present).

        Raises:
            UnreachableError: if there is no daemon. LostAnswerError: if it went away meanwhile.
        """
        sock, place = self._connected()
        with sock:
            try:
                path = f"/v1/events{_query(wanted)}"
                deadline = time.monotonic() + self.timeout_s
                exchange.send(sock, exchange.head("GET", path, None, ""), deadline)
                stream = exchange.Stream(sock, quiet_s)
                if stream.status != 200:
                    raise_problem(stream.refusal())
                for line in stream.lines():
                    if line:
                        yield json.loads(line)
            except (OSError, ValueError) as error:
                raise LostAnswerError(
                    f"the daemon at {place} told no more: {error}", hint="ownerreportd status"
                ) from error


class GateClient(Client):
    """The gate of the same daemon."""

    def check(self, adapter: str, request: Json) -> Json:
        """The contract for a request of this adapter."""
        return self._ask("POST", f"/v1/gate/{exchange.quoted(adapter)}", _json(request))

    def write_receipt(self, receipt: Json) -> Json:
        """Keep a receipt durably: `{receipt, path, errors}`."""
        return self._ask("POST", "/v1/receipts", _json(receipt))

    def receipts(self, **wanted: str | int | None) -> Json:
        """`{receipts, invalid}`; `planId`, `currentTask`, `dispatchRunId`, `since`, `limit`."""
        return self._ask("GET", f"/v1/receipts{_query(wanted)}")

    def decisions(self, **wanted: str | int | None) -> Json:
        """`{decisions}`, newest first; `planId`, `before`, `limit`."""
        return self._ask("GET", f"/v1/gate/decisions{_query(wanted)}")

    def decision(self, number: int) -> Json:
        """One decision."""
        return self._ask("GET", f"/v1/gate/decisions/{number}")


def _json(value: Json) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which the daemon will tell of
        return json.dumps(value, separators=(",", ":")).encode()


def _query(wanted: Mapping[str, str | int | None]) -> str:
    said = [f"{name}={exchange.quoted(str(v))}" for name, v in wanted.items() if v is not None]
    return "?" + "&".join(said) if said else ""


def raise_problem(answer: Answer) -> NoReturn:
    """Raise the error that the answer tells of.

    Raises:
        OperatorError: always; of the class that the daemon raised where that is known.
    """
    content = answer.json if isinstance(answer.json, dict) else {}
    kind = _ERRORS.get(str(content.get("type", "")).removeprefix(_TYPE_PREFIX))
    kind = kind or _BY_STATUS.get(answer.status, errors.OperatorError)
    detail = content.get("detail") or f"the daemon answered with status {answer.status}"
    error = kind(str(detail), hint=str(content.get("hint") or "ownerreportd status"))
    error.code = str(content.get("code") or error.code)
    if isinstance(error, errors.ConfigError):
        error.mistakes = tuple(str(each["message"]) for each in content.get("errors", ()))
    if isinstance(error, errors.InvalidGateInputError):
        error.mistakes = tuple(content.get("errors", ()))
    raise error


def _checked(answer: Answer) -> Json:
    if 200 <= answer.status < 300:
        return _object(answer)
    raise_problem(answer)


def _object(answer: Answer) -> Json:
    if isinstance(answer.json, dict):
        return answer.json
    raise errors.OperatorError(
        f"the daemon's answer with status {answer.status} is no JSON object",
        hint="see whether another program has the daemon's socket: ownerreportd status",
    )


def _report(ref: str) -> str:
    if "/" in ref or not ref:  # no id and no file's name, and no path segment either
        raise errors.NotFoundError(f"there is no report {ref!r}", hint="ownerreportd list")
    return f"/v1/reports/{exchange.quoted(ref)}"
