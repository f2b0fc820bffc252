"""Owns what the OpenClaw CLI's end proves about one message.

Rule: a yes is status 0 and a message's id. A no is only what the CLI or the gateway says before
anything can have been queued, and that is a short table; every other end is a doubt, since the
gateway may still deliver from its own queue what it has just called failed.

Source: openclaw 2026.9.6, measured and read: dist/send-*.mjs (`message.action` validates, then
resolves channel and account, then sends; what fails there is `UNAVAILABLE`), dist/call-*.mjs (one
connection, one request; `connect E...` is a socket that never opened).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ownerreportd.channels.program import CutOff, Ended, NeverRan, shown, status_text
from ownerreportd.core.channel import Problem
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Outcome, Receipt, Rejected

if TYPE_CHECKING:
    from ownerreportd.channels.program import Run

_ID_MAX: Final = 255
_UNREACHED: Final = re.compile(r"connect E(?:CONNREFUSED|HOSTUNREACH|NETUNREACH)\b|getaddrinfo E")
_NOT_ADMITTED: Final = re.compile(r"(?:AUTH|DEVICE|PAIRING)_[A-Z_]+")
_NO_NODE: Final = re.compile(rb"(?:/usr/bin/)?env: ")
HINT_START: Final = "check program, and that path has the folder of the Node that it needs"
_HINT_GATEWAY: Final = "openclaw gateway status; it is tried again by itself"
_HINT_ENTRY: Final = "check the gateway's token: openclaw.token, or gateway.auth in its own file"


class _No(NamedTuple):
    """One thing that is said before anything can have been queued."""

    says: re.Pattern[str]
    code: str
    hint: str


_BEFORE_ANYTHING: Final = (
    _No(
        re.compile(r"invalid message\.action params: "),
        "params",
        "this gateway takes other parameters: install the OpenClaw that docs/channels.md names",
    ),
    _No(
        re.compile(r"Channel \S+ does not support action send\.|unsupported channel: "),
        "channel",
        "openclaw channels status: is the channel in target configured there?",
    ),
    _No(
        re.compile(r'(?:MessageActionDeniedError: )?Unknown account "'),
        "account",
        "set account to one of `openclaw channels status`, or leave it out",
    ),
    _No(
        re.compile(r"OpenClaw does not recognize (?:option|command) "),
        "cli",
        "this CLI has other options: install the OpenClaw that docs/channels.md names",
    ),
)


class Said(NamedTuple):
    """What the CLI printed on failing: `kind` is its type, `reason` the socket's own words."""

    kind: str
    code: str
    message: str
    reason: str
    detail_code: str

    @property
    def is_unreached(self) -> bool:
        """Whether no connection to the gateway was made."""
        is_transport = self.kind == "gateway_transport_error"
        return is_transport and _UNREACHED.match(self.reason) is not None

    @property
    def is_not_admitted(self) -> bool:
        """Whether the gateway did not let the CLI in, or the CLI had nothing to be let in by."""
        refused = self.code == "INVALID_REQUEST" and _NOT_ADMITTED.fullmatch(self.detail_code)
        return self.kind == "gateway_credentials_required" or bool(refused)


def outcome(done: Run | Problem, to: str, secrets: tuple[str, ...]) -> Outcome:
    """The outcome of one call of `message.action` that was to send to `to`."""
    if isinstance(done, Ended):
        return _confirmed(done, to) if done.status == 0 else _failed(done, secrets)
    if isinstance(done, CutOff):
        return InDoubt(f"openclaw: {done.detail}")
    if isinstance(done, NeverRan):
        if done.passing:
            return NotSent(done.detail)
        return Rejected(f"openclaw.{done.code}", "config", done.detail, HINT_START)
    return Rejected(done.code, "config", done.detail, done.hint)


def said(done: Ended, secrets: tuple[str, ...]) -> Said:
    """What a CLI that failed has said, as far as it can be read."""
    answer = _object(done.output)
    error = _dict(answer.get("error"))
    return Said(
        kind=str(error.get("type", "")),
        code=str(error.get("code", "")),
        message=shown(str(error.get("message", "")).partition("\n")[0], secrets),
        reason=str(error.get("reason", "")),
        detail_code=str(_dict(error.get("details")).get("code", "")),
    )


def has_no_node(done: Ended) -> bool:
    """Whether env(1) did not find the program's Node: status 127, and env's own words."""
    return done.status == 127 and not done.output and _NO_NODE.match(done.errors) is not None


def _confirmed(done: Ended, to: str) -> Outcome:
    answer = _object(done.output)
    places = (answer, _dict(answer.get("payload")), _dict(answer.get("result")))
    ids = [_id(place.get("messageId")) for place in places]
    message_id = next((each for each in ids if each), "")
    for place in places:
        if place.get("ok", True) is not True or place.get("error") or place.get("dryRun"):
            return InDoubt("openclaw ended well, and says that something failed")
        if place.get("status", "sent") not in {"sent", "ok"}:
            return InDoubt(f"openclaw ended well, with the message {shown(str(place['status']))}")
        chat = place.get("chatId")  # Telegram's; a name or a topic cannot be compared with it
        if chat is not None and to.lstrip("-").isdigit() and str(chat) != to:
            return InDoubt(f"openclaw sent it to {shown(str(chat))}")
    if not message_id:
        return InDoubt("openclaw ended well, and named no message")
    return Confirmed(Receipt(message_id))


def _failed(done: Ended, secrets: tuple[str, ...]) -> Outcome:
    if has_no_node(done):
        detail = shown(done.errors, secrets)
        return Rejected("openclaw.no_node", "config", detail, HINT_START)
    answer = said(done, secrets)
    if answer.is_unreached:
        return NotSent(answer.message)
    if answer.is_not_admitted:
        code = (answer.detail_code or "credentials").lower()
        return Rejected(f"openclaw.{code}", "config", answer.message, _HINT_ENTRY)
    if answer.code in {"INVALID_REQUEST", ""}:
        for no in _BEFORE_ANYTHING:
            if no.says.match(answer.message):
                return Rejected(f"openclaw.{no.code}", "config", answer.message, no.hint)
    queued = "; its own queue may still deliver it" if answer.detail_code.endswith("QUEUED") else ""
    return InDoubt(f"openclaw: {in_words(done, secrets)}{queued}")


def _id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    fits = isinstance(value, str) and 0 < len(value) <= _ID_MAX and value.isprintable()
    return value.strip() if fits else ""


def _object(output: bytes) -> dict[str, Any]:
    try:
        return _dict(json.loads(output))
    except (ValueError, RecursionError):
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def health(done: Ended) -> dict[str, dict[str, Any]]:
    """The channels that a gateway's health names, by name; empty where it names none."""
    channels = _dict(_object(done.output).get("channels"))
    return {name: _dict(about) for name, about in channels.items()}


def gateway_problem(done: Ended, secrets: tuple[str, ...]) -> Problem:
    """Why the gateway did not tell its health."""
    answer = said(done, secrets)
    if answer.is_not_admitted:
        code = (answer.detail_code or "credentials").lower()
        return Problem(f"openclaw.{code}", answer.message, _HINT_ENTRY)
    return Problem("unreachable", in_words(done, secrets), _HINT_GATEWAY)


def in_words(done: Ended, secrets: tuple[str, ...]) -> str:
    """How a CLI that failed ended, and the best of what it said."""
    first = b" ".join(done.errors.strip().splitlines()[:2])  # what follows is advice
    told = said(done, secrets).message or shown(first, secrets) or shown(done.output, secrets)
    return f"{status_text(done.status)}: {told}" if told else status_text(done.status)
