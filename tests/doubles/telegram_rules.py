"""What Telegram does to a text and its entities, and what it refuses.

Sources: Bot API "Formatting options"; tdlib/td MessageEntity.cpp, misc.cpp, LinkManager.cpp. The
double is stricter in one thing: entities that are nested as the documentation forbids are refused,
where Telegram mends them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from doubles.wire import Reply

TEXT_MAX = 4096
ENTITIES_MAX = 100
SPLITTABLE = {"bold", "italic", "underline", "strikethrough", "spoiler"}
CONTINUOUS = {"pre", "code", "text_link"}
KINDS = SPLITTABLE | CONTINUOUS | {"blockquote"}
ENTITY_FIELDS = {"type", "offset", "length", "url", "language"}
MENTION = re.compile(r"(?<!\w)@[A-Za-z0-9_]{2,32}(?!\w)")
COMMAND = re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/<>])")
URL = re.compile(r"(?<!\w)https?://[\w.-]+\.[a-z]{2,}[^\s<>\"]*")
USER = re.compile(r"tg:(?://)?user/?\?(?:.*&)?id=\d+", re.IGNORECASE)
CONTROLS = str.maketrans({n: " " for n in range(33) if n not in {10, 13}})
TAKEN_AWAY = re.compile("[\r\u2028-\u202e\u0333\u033f\u030a]")


class ApiError(Exception):
    """Raised to answer with one of Telegram's errors."""

    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
        if parameters:
            body["parameters"] = parameters
        self.reply = Reply.of_json(status, body)


def bad(description: str, **parameters: Any) -> ApiError:
    return ApiError(400, f"Bad Request: {description}", **parameters)


@dataclass
class Chat:
    """A chat as the bot finds it. `status` is the bot's own state in it."""

    id: int
    type: str = "supergroup"
    username: str = ""
    status: str = "administrator"
    can_post: bool = True
    can_send: bool = True
    is_blocked: bool = False
    is_forum: bool = False
    topics: set[int] = field(default_factory=set)
    closed_topics: set[int] = field(default_factory=set)
    moved_to: int = 0
    last_id: int = 0

    def shown(self) -> dict[str, Any]:
        value: dict[str, Any] = {"id": self.id, "type": self.type}
        if self.username:
            value["username"] = self.username
        if self.is_forum:
            value["is_forum"] = True
        return value


@dataclass
class Message:
    chat_id: int
    id: int
    text: str
    entities: list[dict[str, Any]]
    thread_id: int = 0
    is_silent: bool = False
    has_preview: bool = True
    edits: int = 0


def cleaned(text: Any) -> str:
    """The text as Telegram keeps it: cleaned, trimmed, not empty, not too long."""
    if not isinstance(text, str):
        raise bad("message text must be a string")
    text = TAKEN_AWAY.sub("", text.translate(CONTROLS))
    if not text.strip("\n \u00a0\u200b\u200c\u200d\u200e\u200f\ufeff"):
        raise bad("message text is empty")
    if units(text) > TEXT_MAX:
        raise bad("message is too long")
    return text.strip("\n ")


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def checked_entities(text: str, given: Any) -> list[dict[str, Any]]:
    """The entities that are kept, at most 100; whatever Telegram refuses is refused."""
    if not isinstance(given, list):
        raise bad("can't parse entities: expected an array")
    whole = text.encode("utf-16-le", "surrogatepass")
    for entity in given:
        check_entity(entity, whole)
    for one, other in combinations(given, 2):
        check_pair(one, other)
    return given[:ENTITIES_MAX]


def check_entity(entity: Any, whole: bytes) -> None:
    if not isinstance(entity, dict) or not set(entity) <= ENTITY_FIELDS:
        raise bad("can't parse MessageEntity")
    start, length = entity.get("offset"), entity.get("length")
    if entity.get("type") not in KINDS or not isinstance(start, int) or not isinstance(length, int):
        raise bad("can't parse MessageEntity: type, offset or length")
    if start < 0 or length <= 0 or start + length > len(whole) // 2:
        raise bad("entity begins or ends after the end of the text")
    try:
        inside = whole[2 * start : 2 * (start + length)].decode("utf-16-le")
    except UnicodeDecodeError:
        raise bad("entity begins in a middle of a UTF-16 symbol") from None
    if not inside.strip():
        raise bad("entity has only white space in it (the double's own rule)")
    if entity["type"] == "text_link":
        check_url(entity.get("url"))


def check_url(url: Any) -> None:
    """As `LinkManager::check_link`: http with a host that has a dot in it, or tg."""
    if not isinstance(url, str) or not url:
        raise bad("can't parse MessageEntity: url")
    if re.match(r"tg:", url, re.IGNORECASE):
        if not re.fullmatch(r"tg:(//)?[\w-]+([/?#].*)?", url, re.IGNORECASE | re.DOTALL):
            raise bad(f"entity URL '{url}' is invalid: wrong tg URL")
        return
    found = re.fullmatch(r"(?:(\w+)://)?([^/?#]*)(.*)", url, re.DOTALL)
    if found is None or (found[1] or "http").lower() not in {"http", "https"}:
        raise bad(f"entity URL '{url}' is invalid: Unsupported URL protocol")
    host, colon, port = found[2].rpartition("@")[2].partition(":")
    if colon and not (port.isdigit() and 0 < int(port) < 65536):
        raise bad(f"entity URL '{url}' is invalid: Wrong port number specified in the URL")
    if "." not in host or not re.fullmatch(r"(?:[\w.!$,~*'();&+=%-]|[^\x00-\x7f])+", host):
        raise bad(f"entity URL '{url}' is invalid: Wrong HTTP URL")


def check_pair(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two entities with a character in common: one within the other, as it is allowed."""
    a, b = sorted((one, other), key=lambda e: (e["offset"], -e["length"], e["type"] in SPLITTABLE))
    if b["offset"] >= a["offset"] + a["length"]:
        return
    if b["offset"] + b["length"] > a["offset"] + a["length"]:
        raise bad("entities overlap, and neither is within the other")
    kinds = {a["type"], b["type"]}
    same = len(kinds) == 1
    in_code = bool(kinds & {"pre", "code"}) and bool(kinds & SPLITTABLE)
    if same or in_code or kinds <= CONTINUOUS or (b["type"] == "blockquote" and kinds & CONTINUOUS):
        raise bad(f"a {b['type']} entity cannot be within a {a['type']} entity")


def found_in(text: str, entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What Telegram finds by itself outside of code and links: mentions and commands."""
    taken = [(e["offset"], e["offset"] + e["length"]) for e in entities if e["type"] in CONTINUOUS]
    urls = [(units(text[: m.start()]), units(text[: m.end()])) for m in URL.finditer(text)]
    taken += [u for u in urls if not any(u[0] < end and start < u[1] for start, end in taken)]
    found = []
    for kind, pattern in (("mention", MENTION), ("bot_command", COMMAND)):
        for match in pattern.finditer(text):
            start, end = units(text[: match.start()]), units(text[: match.end()])
            if not any(start < b and a < end for a, b in taken):
                found.append({"type": kind, "offset": start, "length": end - start})
    users = [e for e in entities if e["type"] == "text_link" and USER.match(e["url"])]
    return found + [{**e, "type": "text_mention"} for e in users]
