"""Owns what ntfy's answers mean: its error codes to outcomes, its messages to ours.

Rule: only ntfy's own JSON (`code`, `http`, `error`) counts as ntfy's word.

Source: binwiederhier/ntfy, server/errors.go, model/model.go; docs/publish.md, "Limitations".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ownerreportd.channels.failed import Failed
from ownerreportd.channels.http import RETRY_AFTER_S, Answer
from ownerreportd.core.outcome import InDoubt, NotSent, Rejected, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from ownerreportd.core.channel import Part

Refusal: TypeAlias = Throttled | NotSent | InDoubt | Rejected
HINT_UNREACHABLE: Final = "check the network, the proxy and target; it is tried again by itself"
HINT_ACCESS: Final = (
    "give the token's user read-write access to the topic (on the server: ntfy access USER TOPIC "
    "rw), or put a token that has it into token_file"
)
_HINT_LOGIN: Final = "put a valid access token (tk_...) into token_file: in the web app, Account"
_HINT_TOPIC: Final = "set target to another topic: letters, digits, - and _, at most 64"
_HINT_OPTION: Final = "check title, priority and tags of the destination"
_HINT_SERVER: Final = "check the address in target: https://HOST/TOPIC"
_HINT_PROXY: Final = "check the address in target, and the proxy between here and the server"
HINT_SIZE: Final = (
    "set message-size-limit on the server to 4096 or more, then `retry`; else the text is an "
    "attachment that is deleted after some hours"
)
_HINT_UNKNOWN: Final = "look the code up in ntfy's server/errors.go; `retry`, or `skip` it"

CONFIG_HINTS: Final[dict[int, str]] = {
    40007: _HINT_OPTION,
    40009: _HINT_TOPIC,
    40010: _HINT_TOPIC,
    40101: _HINT_LOGIN,
    40301: HINT_ACCESS,
    40401: _HINT_SERVER,
    50701: "a UnifiedPush topic takes nothing without a subscriber; set target to another topic",
}
REPORT_HINTS: Final[dict[int, str]] = {
    40014: HINT_SIZE,
    41301: HINT_SIZE,
}
_REPORT_STATUSES: Final = frozenset({400, 413, 422})
_STATUS_HINTS: Final = {401: _HINT_LOGIN, 403: HINT_ACCESS, 404: _HINT_SERVER}
REQUESTS: Final = 42901
DAILY: Final = 42908
LOGINS: Final = 42909
# The bucket gets one request back in that time, by the documented default.
REFILL_S: Final = 5.0
# The day's messages come back at midnight UTC; a plan that is bought meanwhile shows earlier.
DAILY_S_MAX: Final = 3_600.0
_ID: Final = re.compile(r"[A-Za-z0-9]{8,32}")


NOT_NTFY: Final = Failed(
    "not_ntfy",
    "the answer was 200, but not what ntfy answers",
    _HINT_SERVER,
    # A portal that wants a log-in answers like this, and goes away.
    is_transient=True,
)


def failed(outcome: Refusal) -> Failed:
    """A refused or broken read."""
    if isinstance(outcome, Rejected):
        return Failed(outcome.code, outcome.detail, outcome.hint, is_transient=False)
    wait_s = outcome.retry_after_s if isinstance(outcome, Throttled) else 0.0
    return Failed(
        "unreachable", outcome.detail, HINT_UNREACHABLE, is_transient=True, retry_after_s=wait_s
    )


@dataclass(frozen=True, slots=True)
class ServiceError:
    """ntfy's own error, as its JSON body says it."""

    code: int
    message: str


def service_error(answer: Answer) -> ServiceError | None:
    """Ntfy's own error in the answer; None if something else wrote it."""
    body = answer.json()
    if not isinstance(body, dict):
        return None
    code, message = body.get("code"), body.get("error")
    if not isinstance(code, int) or not isinstance(message, str):
        return None
    return ServiceError(code, message) if body.get("http") == answer.status else None


def refusal(answer: Answer, shown: Callable[[object], str]) -> Refusal:
    """What an answer other than ntfy's 200 proves. `shown` cleans foreign text."""
    error, status = service_error(answer), answer.status
    if status == 429:
        return _throttled(answer, error, shown)
    said = shown(f"ntfy answered {status}, code {error.code}: {error.message}" if error else "")
    if error is not None and error.code == 50701:
        return Rejected(f"ntfy.{error.code}", "config", said, CONFIG_HINTS[error.code])
    if status < 300 or status == 408 or status >= 500:
        return InDoubt(f"{'ntfy' if error else 'something'} answered {status}")
    if error is None or status < 400:
        detail = f"{status} without ntfy's own error: something in between answered"
        return Rejected(f"http.{status}", "config", detail, _HINT_PROXY)
    code = f"ntfy.{error.code}"
    if error.code in CONFIG_HINTS:
        return Rejected(code, "config", said, CONFIG_HINTS[error.code])
    if error.code in REPORT_HINTS or status in _REPORT_STATUSES:
        return Rejected(code, "report", said, REPORT_HINTS.get(error.code, _HINT_UNKNOWN))
    return Rejected(code, "config", said, _STATUS_HINTS.get(status, _HINT_PROXY))


def _throttled(
    answer: Answer, error: ServiceError | None, shown: Callable[[object], str]
) -> Throttled:
    wait_s = answer.retry_after_s()
    if error is None:
        return Throttled(RETRY_AFTER_S if wait_s is None else wait_s, "something answered 429")
    own_s = {REQUESTS: REFILL_S, DAILY: _until_midnight_s(answer.date() or datetime.now(UTC))}
    said = shown(f"ntfy answered 429, code {error.code}: {error.message}")
    if error.code == LOGINS:
        said += " (is the token in token_file right?)"
    return Throttled(own_s.get(error.code, RETRY_AFTER_S) if wait_s is None else wait_s, said)


def _until_midnight_s(now: datetime) -> float:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return min((midnight - now).total_seconds(), DAILY_S_MAX)


def messages_of(answer: Answer) -> list[dict[str, Any]] | None:
    """The messages of a poll, oldest first; None if that is no answer of ntfy's."""
    if not answer.headers.get("content-type", "").startswith("application/x-ndjson"):
        return None
    try:
        lines = [json.loads(line) for line in answer.body.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(line, dict) and isinstance(line.get("event"), str) for line in lines):
        return None
    messages = [line for line in lines if line["event"] == "message"]
    return messages if all(map(is_message, messages)) else None


def is_message(body: Any) -> bool:
    """Whether the value is a message as ntfy writes one."""
    return (
        isinstance(body, dict)
        and body.get("event") == "message"
        and isinstance(body.get("id"), str)
        and _ID.fullmatch(body["id"]) is not None
        and isinstance(body.get("time"), int)
    )


def essence(text: str) -> str:
    """The text without what ntfy trims or strips: all that cannot be seen."""
    return "".join(c for c in text if c.isprintable() and not c.isspace())


def has_text_of(message: dict[str, Any], part: Part) -> bool:
    """Whether the message's text is the part's, in either form."""
    text = message.get("message")
    forms = {essence(form.decode("utf-8", "replace")) for form in (part.plain, part.marked)}
    return isinstance(text, str) and essence(text) in forms


def is_part(message: dict[str, Any], part: Part) -> bool:
    """Whether the message is the part: by its sequence id, on older servers by its text."""
    if "attachment" in message:
        return False
    sequence_id = message.get("sequence_id")
    if sequence_id is not None:
        return bool(part.key) and sequence_id == part.key
    return has_text_of(message, part)
