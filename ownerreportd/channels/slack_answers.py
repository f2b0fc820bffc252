"""Owns what Slack's answers mean: error names to outcomes, and what a message says of itself.

Rules: the status is 200 for a failure too, so `ok` decides; only Slack's own JSON counts as
Slack's word. An error name that nobody knows yet blocks the report, never passes for a yes.

Source: docs.slack.dev, reference/methods/chat.postMessage (errors), apis/web-api/rate-limits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ownerreportd.channels.failed import Failed
from ownerreportd.channels.http import RETRY_AFTER_S, Answer
from ownerreportd.core.outcome import InDoubt, NotSent, Rejected, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

Refusal: TypeAlias = Throttled | NotSent | InDoubt | Rejected
EVENT_TYPE: Final = "owner_report_part"
HINT_UNREACHABLE: Final = "check the network, the proxy and api_base; it is tried again by itself"
_TS: Final = re.compile(r"[0-9]{1,12}\.[0-9]{6}")
_HINT_LOGIN: Final = (
    "put the app's current bot token (xoxb-...) into token_file: api.slack.com/apps, "
    "OAuth & Permissions"
)
_HINT_SCOPE: Final = "add the scope under OAuth & Permissions, and install the app again"
_HINT_TARGET: Final = "check the id in target (channel details, at the bottom: Channel ID)"
_HINT_INVITE: Final = "invite the bot: type /invite @NAME in that channel"
_HINT_ADMIN: Final = "ask an owner of the workspace to let the app post there, or set target anew"
_HINT_THREAD: Final = "set target to a thread that is open, or to the channel"
_HINT_PLAN: Final = "an owner of the workspace must end its migration or give the app access"
_HINT_PROXY: Final = "check api_base and the proxy between here and Slack"
_HINT_LONG: Final = "the part does not fit Slack's form; `skip` it, and report it as a bug"

CONFIG_HINTS: Final[dict[str, str]] = {
    "access_denied": _HINT_ADMIN,
    "accesslimited": _HINT_ADMIN,
    "account_inactive": _HINT_LOGIN,
    "app_access_restricted": _HINT_ADMIN,
    "cannot_reply_to_message": _HINT_THREAD,
    "channel_is_archived": "unarchive the channel, or set target to another one",
    "channel_not_found": f"{_HINT_TARGET}; a private channel must have invited the bot",
    "ekm_access_denied": _HINT_ADMIN,
    "enterprise_is_restricted": _HINT_PLAN,
    "invalid_auth": _HINT_LOGIN,
    "invalid_thread_ts": _HINT_THREAD,
    "is_archived": "unarchive the channel, or set target to another one",
    "messages_tab_disabled": "switch on the Messages Tab under App Home, or set another target",
    "metadata_must_be_sent_from_app": _HINT_LOGIN,
    "method_not_supported_for_channel_type": _HINT_TARGET,
    "missing_scope": _HINT_SCOPE,
    "no_permission": f"{_HINT_INVITE}, and check the app's scopes",
    "not_allowed_token_type": _HINT_LOGIN,
    "not_authed": _HINT_LOGIN,
    "not_in_channel": _HINT_INVITE,
    "restricted_action": _HINT_ADMIN,
    "restricted_action_non_threadable_channel": _HINT_THREAD,
    "restricted_action_read_only_channel": _HINT_ADMIN,
    "restricted_action_thread_locked": _HINT_THREAD,
    "restricted_action_thread_only_channel": _HINT_THREAD,
    "team_access_not_granted": _HINT_PLAN,
    "team_not_found": _HINT_TARGET,
    "thread_not_found": _HINT_THREAD,
    "token_expired": _HINT_LOGIN,
    "token_revoked": _HINT_LOGIN,
    "two_factor_setup_required": _HINT_PLAN,
}
REPORT_HINTS: Final[dict[str, str]] = {
    "invalid_blocks": _HINT_LONG,
    "markdown_text_conflict": _HINT_LONG,
    "metadata_too_large": _HINT_LONG,
    "msg_blocks_too_long": _HINT_LONG,
    "msg_too_long": _HINT_LONG,
    "no_text": "the report has nothing that Slack shows; `skip` it",
}
_HINT_UNKNOWN: Final = "look the error up in Slack's documentation; `retry`, or `skip` it"
THROTTLES: Final = frozenset({"message_limit_exceeded", "rate_limited", "ratelimited"})
# "It's possible some aspect of the operation succeeded before the error was raised."
DOUBTS: Final = frozenset(
    {"fatal_error", "internal_error", "request_timeout", "service_unavailable"}
)
# The workspace is being moved, and takes nothing until that is done.
MOVES: Final = frozenset({"org_login_required", "team_added_to_org"})


NOT_SLACK: Final = Failed(
    "not_slack",
    "the answer was 200, but not what Slack answers",
    _HINT_PROXY,
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


def accepted(answer: Answer) -> dict[str, Any] | None:
    """The body of a 200 with `ok: true`; None of any other answer."""
    body = answer.json()
    if answer.status != 200 or not isinstance(body, dict) or body.get("ok") is not True:
        return None
    return body


def error_name(answer: Answer) -> str | None:
    """Slack's own error in the answer; None if something else wrote it."""
    body = answer.json()
    if not isinstance(body, dict) or body.get("ok") is not False:
        return None
    name = body.get("error")
    return name if isinstance(name, str) and name else None


def refusal(answer: Answer, shown: Callable[[object], str]) -> Refusal:
    """What an answer without `ok: true` proves. `shown` cleans foreign text."""
    name, status = error_name(answer), answer.status
    if status == 429 or name in THROTTLES:
        named = answer.retry_after_s()
        return Throttled(
            RETRY_AFTER_S if named is None else named, f"Slack answered {name or status}"
        )
    if status == 408 or status >= 500 or name in DOUBTS:
        return InDoubt(f"{'Slack' if name else 'something'} answered {name or status}")
    if name is None and status < 300:
        return InDoubt(f"the answer was {status}, but not Slack's")
    if name is None or 300 <= status < 400:
        detail = f"{status} without Slack's own error: something in between answered"
        return Rejected(f"http.{status}", "config", detail, _HINT_PROXY)
    return _named(name, answer, shown)


def _named(name: str, answer: Answer, shown: Callable[[object], str]) -> Refusal:
    said = shown(f"Slack answered {name}{_needed(answer.json())}")
    if name in MOVES:
        return NotSent(said)
    code = f"slack.{shown(name)}"
    if name in CONFIG_HINTS:
        return Rejected(code, "config", said, CONFIG_HINTS[name])
    return Rejected(code, "report", said, REPORT_HINTS.get(name, _HINT_UNKNOWN))


def _needed(body: dict[str, Any]) -> str:
    """The scope that `missing_scope` names."""
    needed = body.get("needed")
    return f": {needed} is needed" if isinstance(needed, str) and needed else ""


def is_ts(value: object) -> bool:
    """Whether the value is a message's `ts`: seconds, a dot, six digits."""
    return isinstance(value, str) and _TS.fullmatch(value) is not None


def key_of(message: Any) -> str:
    """The part's key in a message's metadata; empty where there is none of ours."""
    metadata = message.get("metadata") if isinstance(message, dict) else None
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT_TYPE:
        return ""
    payload = metadata.get("event_payload")
    key = payload.get("key") if isinstance(payload, dict) else None
    return key if isinstance(key, str) else ""
