"""What Discord refuses in a request, and whom a message would notify."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from doubles.wire import Reply, Seen

CONTENT_MAX = 2000
REQUEST_BYTES_MAX = 25 * 1024 * 1024
TEXT_TYPES = {0, 1, 2, 3, 5, 10, 11, 12, 13}
THREAD_TYPES = {10, 11, 12}
FORUM_TYPES = {15, 16}
SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS = 1 << 2, 1 << 12
CREATE_FIELDS = {
    "content", "nonce", "enforce_nonce", "flags", "allowed_mentions", "tts", "embeds",
    "message_reference", "components", "sticker_ids", "attachments", "poll",
}  # fmt: skip
# Discord removes characters that would upset the layout; which, it does not say.
STRIPPED = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127, 0x202E, 0xFEFF])


@dataclass
class Place:
    """A channel or thread, and what our bot may do there."""

    id: str
    type: int = 0
    guild_id: str = "900000000000000000"
    name: str = "reports"
    view: bool = True
    send: bool = True
    history: bool = True
    send_in_threads: bool = True
    archived: bool = False
    locked: bool = False
    gone: bool = False


BOT_ROLE = "7000000000000000001"
_VIEW, _SEND, _HISTORY, _SEND_IN_THREADS = 1 << 10, 1 << 11, 1 << 16, 1 << 38
SEE_AND_READ, SEND = _VIEW | _HISTORY, _SEND | _SEND_IN_THREADS


def overwrites(place: Place, bot_id: str) -> list[dict[str, Any]]:
    """What the channel takes from the bot, as an overwrite for the member."""
    bits = (
        (place.view, _VIEW), (place.send, _SEND), (place.history, _HISTORY),
        (place.send_in_threads, _SEND_IN_THREADS),
    )  # fmt: skip
    denied = sum(bit for has, bit in bits if not has)
    return [{"id": bot_id, "type": 1, "allow": "0", "deny": str(denied)}] if denied else []


def parent_of(thread: Place) -> Place:
    """The channel of a thread, which has the permissions."""
    return replace(thread, id=f"8{thread.id[1:]}", type=0, archived=False, locked=False)


@dataclass
class Message:
    """One message that the owner can see."""

    id: str
    channel: str
    author: str
    content: str
    at: float
    nonce: str | int | None = None
    flags: int = 0
    fired: dict[str, Any] = field(default_factory=dict)
    deleted: bool = False


class ApiError(Exception):
    """Raised to answer with one of Discord's errors."""

    def __init__(self, status: int, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.reply = Reply.of_json(status, {"message": message, "code": code, **more})


def invalid_form(name: str, code: str, message: str) -> ApiError:
    errors = {name: {"_errors": [{"code": code, "message": message}]}}
    return ApiError(400, 50035, "Invalid Form Body", errors=errors)


def form_of(seen: Seen, fields: set[str] = CREATE_FIELDS) -> dict[str, Any]:
    kind = seen.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(400, 50035, 'Expected "Content-Type" header to be one of {...}')
    if len(seen.body) > REQUEST_BYTES_MAX:
        raise ApiError(413, 40005, "Request entity too large")
    try:
        form = json.loads(seen.body.decode("utf-8"))
    except ValueError as error:
        raise ApiError(400, 50109, "The request body contains invalid JSON.") from error
    if not isinstance(form, dict):
        raise ApiError(400, 50109, "The request body contains invalid JSON.")
    # Discord would ignore it; here a misspelt field must not pass unnoticed.
    for name in form.keys() - fields:
        raise invalid_form(name, "UNKNOWN_FIELD", "No such field.")
    return form


def check_may_send(place: Place) -> None:
    if place.type in FORUM_TYPES:
        raise ApiError(400, 40058, "Cannot send a message in a forum channel")
    if place.type not in TEXT_TYPES:
        raise ApiError(400, 50008, "Cannot send messages in a non-text channel")
    if place.type in THREAD_TYPES:
        if place.locked:
            raise ApiError(403, 160005, "Thread is locked")
        if place.archived:
            raise ApiError(400, 50083, "Thread is archived")
    if not (place.send_in_threads if place.type in THREAD_TYPES else place.send):
        raise ApiError(403, 50013, "Missing Permissions")


def checked_content(form: dict[str, Any]) -> str:
    content = form.get("content", "")
    if not isinstance(content, str):
        raise invalid_form("content", "STRING_TYPE_CONVERT", "Could not interpret as string.")
    _check_nonce(form)
    _check_flags(form)
    _check_mentions(form.get("allowed_mentions"))
    if len(content) > CONTENT_MAX:
        shown = f"Must be {CONTENT_MAX} or fewer in length."
        raise invalid_form("content", "BASE_TYPE_MAX_LENGTH", shown)
    if any("\ud800" <= c <= "\udfff" for c in content):
        raise invalid_form("content", "STRING_TYPE_CONVERT", "Could not interpret as string.")
    content = content.translate(STRIPPED).strip()
    if not content:
        raise ApiError(400, 50006, "Cannot send an empty message")
    return content


def bounded_limit(limit: str) -> int:
    if not limit.isdigit() or not 1 <= int(limit) <= 100:
        raise invalid_form("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
    return int(limit)


def snowflake(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdigit() or int(text) >= 1 << 63:
        raise invalid_form(name, "NUMBER_TYPE_COERCE", f'Value "{text}" is not snowflake.')
    return int(text)


def _check_nonce(form: dict[str, Any]) -> None:
    nonce = form.get("nonce")
    if isinstance(nonce, str) and len(nonce) > 25:
        raise invalid_form("nonce", "NONCE_TYPE_TOO_LONG", "Must be 25 or fewer in length.")
    is_int64 = isinstance(nonce, int) and not isinstance(nonce, bool) and -(2**63) <= nonce < 2**63
    if nonce is not None and not isinstance(nonce, str) and not is_int64:
        raise invalid_form("nonce", "NONCE_TYPE_INVALID", "Must be a string or an int64.")
    if not isinstance(form.get("enforce_nonce", False), bool):
        raise invalid_form("enforce_nonce", "BOOLEAN_TYPE_CONVERT", "Must be true or false.")


def _check_flags(form: dict[str, Any]) -> None:
    flags = form.get("flags", 0)
    if not isinstance(flags, int) or flags & ~(SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS):
        raise invalid_form("flags", "BITFIELD_INVALID", "Not a flag that a bot may set on text.")


def _check_mentions(allowed: Any) -> None:
    if allowed is None:
        return
    kinds = allowed.get("parse") if isinstance(allowed, dict) else None
    if not isinstance(kinds or [], list) or set(kinds or []) - {"users", "roles", "everyone"}:
        raise invalid_form("allowed_mentions", "LIST_TYPE_CONVERT", "Not a list of known kinds.")
    if not isinstance(allowed, dict) or allowed.keys() - {
        "parse",
        "users",
        "roles",
        "replied_user",
    }:
        raise invalid_form(
            "allowed_mentions", "DICT_TYPE_CONVERT", "Only dictionaries may be used."
        )
    for kind in ("users", "roles"):
        if kind in (kinds or []) and allowed.get(kind):
            shown = f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.'
            raise invalid_form(
                "allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", shown
            )


def fired_mentions(content: str, allowed: dict[str, Any] | None) -> dict[str, Any]:
    """Whom the message would have notified. Without `allowed_mentions` Discord fires them all."""
    allowed = {"parse": ["users", "roles", "everyone"]} if allowed is None else allowed
    kinds = allowed.get("parse", [])
    users = re.findall(r"<@!?(\d+)>", content)
    roles = re.findall(r"<@&(\d+)>", content)
    return {
        "users": [u for u in users if "users" in kinds or u in allowed.get("users", [])],
        "roles": [r for r in roles if "roles" in kinds or r in allowed.get("roles", [])],
        "everyone": "everyone" in kinds and re.search("@(everyone|here)", content) is not None,
    }
