"""Owns what a Matrix homeserver's answers mean: status and `errcode` to outcome.

Rule: only a JSON error with an `errcode` counts as the homeserver's word; anything else came from
something in between.

Source: the Client-Server API (v1.18), "Standard error response", "Rate limiting", "Soft logout".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ownerreportd.channels.http import RETRY_AFTER_S, Answer, bounded_s
from ownerreportd.core.channel import Problem
from ownerreportd.core.outcome import InDoubt, NotSent, Rejected, Throttled, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.core.outcome import Scope

Refusal: TypeAlias = Throttled | NotSent | InDoubt | Rejected
HINT_LOGIN: Final = (
    "log in again with the same device_id, and put the new access token into token_file"
)
HINT_JOIN: Final = "invite the account to the room, and join with it"
HINT_SERVER: Final = (
    "set homeserver to the base_url that https://YOUR-DOMAIN/.well-known/matrix/client names"
)
HINT_UNREACHABLE: Final = "check the network, the proxy and homeserver; it is tried again by itself"
HINT_ROOM: Final = "check target: the room's internal id is under Room Settings, Advanced"
_HINT_FORBIDDEN: Final = (
    "invite the account to the room and join with it, and let it send messages there (power level)"
)
_HINT_ACCOUNT: Final = "ask the homeserver's administrator about the account, or use another one"
_HINT_LIMIT: Final = "ask the homeserver's administrator: a limit of the server is reached"
_HINT_VERSION: Final = "update the homeserver, or set target to another room"
_HINT_PART: Final = "the part does not fit the room's form; `skip` it, and report it as a bug"
_ERRCODE: Final = re.compile(r"[A-Z][A-Z0-9_.]{1,99}")

CONFIG_HINTS: Final[dict[str, str]] = {
    "M_CONSENT_NOT_GIVEN": "accept the homeserver's terms with the account in any client",
    "M_FORBIDDEN": _HINT_FORBIDDEN,
    "M_GUEST_ACCESS_FORBIDDEN": "use the token of an account; guests may not post there",
    "M_INCOMPATIBLE_ROOM_VERSION": _HINT_VERSION,
    "M_MISSING_TOKEN": "let the proxy between here and the homeserver pass Authorization on",
    "M_NOT_FOUND": HINT_ROOM,
    "M_RESOURCE_LIMIT_EXCEEDED": _HINT_LIMIT,
    "M_UNAUTHORIZED": HINT_LOGIN,
    "M_UNKNOWN_TOKEN": HINT_LOGIN,
    "M_UNRECOGNIZED": HINT_SERVER,
    "M_UNSUPPORTED_ROOM_VERSION": _HINT_VERSION,
    "M_USER_DEACTIVATED": _HINT_ACCOUNT,
    "M_USER_LIMIT_EXCEEDED": _HINT_LIMIT,
    "M_USER_LOCKED": _HINT_ACCOUNT,
    "M_USER_SUSPENDED": _HINT_ACCOUNT,
}
REPORT_HINTS: Final[dict[str, str]] = {
    "M_BAD_JSON": _HINT_PART,
    "M_INVALID_PARAM": _HINT_PART,
    "M_MISSING_PARAM": _HINT_PART,
    "M_NOT_JSON": _HINT_PART,
    "M_TOO_LARGE": _HINT_PART,
}
_REPORT_STATUSES: Final = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class ServiceError:
    """The homeserver's own error, as its JSON body says it."""

    errcode: str
    message: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """A read that gave nothing. `is_transient`: the same again may work later."""

    code: str
    detail: str
    hint: str
    is_transient: bool = False
    retry_after_s: float = 0.0

    def as_unknown(self) -> Unknown:
        """What a look that failed so has proved."""
        return Unknown(self.detail, transient=self.is_transient, retry_after_s=self.retry_after_s)

    def as_problem(self) -> Problem:
        """What a check that failed so has found."""
        return Problem(self.code, self.detail, self.hint)

    def as_outcome(self) -> Throttled | NotSent | Rejected:
        """What it means for a part that was to be sent after the read: nothing was posted."""
        if self.retry_after_s:
            return Throttled(self.retry_after_s, self.detail)
        if self.is_transient:
            return NotSent(self.detail)
        return Rejected(self.code, "config", self.detail, self.hint)


NOT_MATRIX: Final = Failed(
    "matrix.not_matrix",
    "the answer was 200, but not what a homeserver answers",
    HINT_SERVER,
    # A portal that wants a log-in answers like this, and goes away.
    is_transient=True,
)


def service_error(answer: Answer) -> ServiceError | None:
    """The homeserver's own error in the answer; None if something else wrote it."""
    body = answer.json()
    if not isinstance(body, dict):
        return None
    errcode = body.get("errcode")
    if not isinstance(errcode, str) or not _ERRCODE.fullmatch(errcode):
        return None
    return ServiceError(errcode, str(body.get("error", "")), body)


def refusal(answer: Answer, shown: Callable[[object], str]) -> Refusal:
    """What an answer other than 200 proves about a request. `shown` cleans foreign text."""
    error = service_error(answer)
    status = answer.status
    limited = error is not None and error.errcode == "M_LIMIT_EXCEEDED" and 400 <= status < 500
    if status == 429 or limited:
        return Throttled(wait_s(answer), f"the homeserver answered {status}: too many requests")
    if status < 300 or status == 408 or status >= 500:
        return InDoubt(f"{'the homeserver' if error else 'something'} answered {status}")
    if error is None or status < 400:
        detail = f"{status} without a homeserver's own error: something in between answered"
        return Rejected(f"http.{status}", "config", detail, HINT_SERVER)
    said = shown(f"the homeserver answered {status}, {error.errcode}: {error.message}")
    scope, hint = _remedy(status, error)
    return Rejected(f"matrix.{error.errcode}", scope, said, hint)


def failed(answer: Answer | NotSent | InDoubt, shown: Callable[[object], str]) -> Failed:
    """A read's answer other than 200, or none at all."""
    outcome = refusal(answer, shown) if isinstance(answer, Answer) else answer
    if isinstance(outcome, Rejected):
        return Failed(outcome.code, outcome.detail, outcome.hint)
    rest_s = outcome.retry_after_s if isinstance(outcome, Throttled) else 0.0
    return Failed(
        "unreachable",
        outcome.detail,
        HINT_UNREACHABLE,
        is_transient=True,
        retry_after_s=rest_s,
    )


def _remedy(status: int, error: ServiceError) -> tuple[Scope, str]:
    if error.errcode == "M_UNKNOWN_TOKEN" and error.body.get("soft_logout") is True:
        return "config", f"the session has expired: {HINT_LOGIN}"
    if error.errcode in CONFIG_HINTS:
        return "config", CONFIG_HINTS[error.errcode]
    if error.errcode in REPORT_HINTS:
        return "report", REPORT_HINTS[error.errcode]
    if status in _REPORT_STATUSES:
        return "report", "look at the homeserver's log; `retry` or `skip`"
    return "config", "ask the homeserver's administrator what keeps the account from posting"


def wait_s(answer: Answer) -> float:
    """How long to wait: the longer of `Retry-After` and `retry_after_ms`, else a minute."""
    body = answer.json()
    asked_ms = body.get("retry_after_ms") if isinstance(body, dict) else None
    waits = [answer.retry_after_s()]
    # Compared before it is divided: JSON's integers have no bound, and a division could overflow.
    if isinstance(asked_ms, (int, float)) and not isinstance(asked_ms, bool):
        waits.append(bounded_s(min(asked_ms, 10**9) / 1000))
    return max((wait for wait in waits if wait is not None), default=RETRY_AFTER_S)
