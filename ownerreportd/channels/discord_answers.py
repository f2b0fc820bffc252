"""Owns what Discord's answers mean: status and error code to outcome, and texts compared.

Rules: only Discord's own JSON error counts as Discord's word; anything else came from something
in between. Texts are compared without what Discord may strip, never byte by byte.

Codes and statuses: Discord's "Opcodes and Status Codes" and "Rate Limits" (API v10).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ownerreportd.channels.http import RETRY_AFTER_S, Answer, bounded_s
from ownerreportd.core.outcome import InDoubt, NotSent, Rejected, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import Scope

Refusal: TypeAlias = Throttled | NotSent | InDoubt | Rejected
UNKNOWN_MESSAGE = 10008
REST_S_MAX: Final = 60.0  # a rest only spares a 429, which would say how long it really is
EPOCH_MS = 1_420_070_400_000
_SNOWFLAKE = re.compile(r"[0-9]{1,20}")
_INVISIBLE = {"Cc", "Cf", "Zs", "Zl", "Zp"}
_HINT_LOGIN = "put the bot's current token into token_file (Developer Portal, Bot, Reset Token)"
_HINT_TARGET = "check the id in target, and that the bot was invited to that server"
_HINT_ACCESS = "give the bot View Channel there, and invite it to the server"
_HINT_SEND = "give the bot Send Messages there (in a thread: Send Messages in Threads)"
_HINT_TEXT = "set target to a text channel or a thread"
_HINT_THREAD = "open the thread again, or set target to another channel"
_HINT_PROXY = "check api_base and the proxy between here and Discord"
_HINT_SPLIT = "the part does not fit Discord's form; `skip` it, and report it as a bug"
_HINT_WORDS = "change the words that Discord blocks and `retry`, or `skip` it"

CONFIG_HINTS: dict[int, str] = {
    10003: _HINT_TARGET,
    20012: "use the token of the application that owns this resource",
    40001: _HINT_LOGIN,
    40058: "a forum channel takes no messages; set target to a thread in it",
    40333: "Cloudflare blocked the request; check the proxy between here and Discord",
    50001: _HINT_ACCESS,
    50007: "the person does not accept the bot's direct messages; set another target",
    50008: _HINT_TEXT,
    50013: _HINT_SEND,
    50014: _HINT_LOGIN,
    50024: _HINT_TEXT,
    50083: _HINT_THREAD,
    160005: _HINT_THREAD,
    160006: "archive threads that are no longer needed, or set target to a channel",
}
REPORT_HINTS: dict[int, str] = {
    20009: _HINT_WORDS,
    40005: _HINT_SPLIT,
    50006: "the report has nothing that Discord shows; `skip` it",
    50035: _HINT_SPLIT,
    50045: _HINT_SPLIT,
    50046: _HINT_SPLIT,
    50109: _HINT_SPLIT,
    200000: _HINT_WORDS,
    240000: _HINT_WORDS,
}
THROTTLE_CODES = frozenset({20016, 20028, 20029, 40062})
TRANSIENT_CODES = frozenset({40004, 40006, 130000})
NO_HINTS: Final[Mapping[int, str]] = MappingProxyType({})
_STATUS_HINTS = {401: _HINT_LOGIN, 403: _HINT_ACCESS, 404: _HINT_TARGET}
_REPORT_STATUSES = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class ServiceError:
    """Discord's own error, as its JSON body says it."""

    code: int
    message: str
    body: dict[str, Any]


def service_error(answer: Answer) -> ServiceError | None:
    """Discord's own error in the answer; None if something else wrote it."""
    body = answer.json()
    if not isinstance(body, dict):
        return None
    code, message = body.get("code"), body.get("message")
    if not isinstance(code, int) or not isinstance(message, str):
        return None
    return ServiceError(code, message, body)


def refusal(
    answer: Answer, shown: Callable[[object], str], own_hints: Mapping[int, str] = NO_HINTS
) -> Refusal:
    """What an answer other than 200 proves about a create. `shown` cleans foreign text.

    `own_hints` are what Discord's codes, and statuses without a code, mean for the configuration
    of a channel that is no bot's; the others mean the same for all.
    """
    error = service_error(answer)
    status = answer.status
    if status == 429:
        return Throttled(retry_after_s(answer), f"Discord answered 429{_scope(answer)}")
    if status == 502 and error is not None:
        # "There was not a gateway available to process your request": documented as not taken.
        # A 502 in HTML is a proxy's, and a proxy may have passed the request on.
        return NotSent("Discord answered 502: no gateway was available")
    if status < 300 or status == 408 or status >= 500:
        return InDoubt(f"{'Discord' if error else 'something'} answered {status}")
    if error is None or status < 400:
        detail = f"{status} without Discord's own error: something in between answered"
        return Rejected(f"http.{status}", "config", detail, _HINT_PROXY)
    return _rejected(error, answer, shown, own_hints)


def _rejected(
    error: ServiceError,
    answer: Answer,
    shown: Callable[[object], str],
    own_hints: Mapping[int, str],
) -> Refusal:
    status = answer.status
    said = shown(f"Discord answered {status}, code {error.code}: {_message(error)}")
    if error.code in THROTTLE_CODES:
        return Throttled(retry_after_s(answer), said)
    if error.code in TRANSIENT_CODES:
        return NotSent(said)
    scope, hint = _remedy(status, error.code, own_hints)
    return Rejected(f"discord.{error.code or status}", scope, said, hint)


def _remedy(status: int, code: int, own_hints: Mapping[int, str]) -> tuple[Scope, str]:
    if code in own_hints:
        return "config", own_hints[code]
    if code in CONFIG_HINTS:
        return "config", CONFIG_HINTS[code]
    if code in REPORT_HINTS:
        return "report", REPORT_HINTS[code]
    if status in _REPORT_STATUSES:
        return "report", "look the code up in Discord's documentation; `retry` or `skip`"
    return "config", own_hints.get(status) or _STATUS_HINTS.get(status, _HINT_PROXY)


def _message(error: ServiceError) -> str:
    """Discord's message, with the first field that it complains about."""
    fields = error.body.get("errors")
    if not isinstance(fields, dict):
        return error.message
    for name, value in fields.items():
        found = value.get("_errors") if isinstance(value, dict) else None
        if isinstance(found, list) and found and isinstance(found[0], dict):
            return f"{error.message}: {name}: {found[0].get('message')} ({found[0].get('code')})"
    return f"{error.message}: {', '.join(fields)}"


def retry_after_s(answer: Answer) -> float:
    """How long to wait: the body's own number, else `Retry-After`, else a minute.

    Cloudflare answers 429 in HTML, and only sometimes says how long.
    """
    body = answer.json()
    asked = body.get("retry_after") if isinstance(body, dict) else None
    if isinstance(asked, (int, float)):
        return bounded_s(asked)
    named = answer.retry_after_s()
    return RETRY_AFTER_S if named is None else named


def _scope(answer: Answer) -> str:
    scope = answer.headers.get("x-ratelimit-scope", "")
    return f" (limit of the {scope})" if scope in {"user", "global", "shared"} else ""


def rest_s(answer: Answer) -> float:
    """How long the bucket asks us to rest before the next request; 0 while there is room in it."""
    if answer.headers.get("x-ratelimit-remaining", "").strip() != "0":
        return 0.0
    try:
        return min(bounded_s(float(answer.headers["x-ratelimit-reset-after"])), REST_S_MAX)
    except (KeyError, ValueError):
        return 0.0


def is_snowflake(value: object) -> bool:
    """Whether the value is an id as Discord writes them: a string of up to 20 digits."""
    return isinstance(value, str) and _SNOWFLAKE.fullmatch(value) is not None


def snowflake_at(at: datetime) -> int:
    """The lowest id of a message that Discord made at that time."""
    return max(0, int(at.timestamp() * 1000) - EPOCH_MS) << 22


def essence(text: str) -> str:
    """The text without what Discord trims, strips or may rewrite: all that cannot be seen."""
    visible = (c for c in text if unicodedata.category(c) not in _INVISIBLE)
    return unicodedata.normalize("NFC", "".join(visible))
