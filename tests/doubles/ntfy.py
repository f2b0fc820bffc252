"""A strict double of an ntfy server: publishing to a topic, polling its cache, asking for access.

It follows server/server.go: a text over the limit becomes an attachment, a setting may come as a
header or in the query, a sequence id is said back from 2.16 on, a cache may be off, or emptied by
a restart, and keeps a message for some hours. A topic needs not be made, so the only wrong one is
a name that the server's own settings forbid (`disallowed-topics`).
"""

from __future__ import annotations

import json
import re
import secrets
import string
import time
from collections import deque
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Self

from doubles.wire import Fault, Reply, Seen, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "tk_made_up_access_token"
TOPIC = "owner-reports"
LIMIT_BYTES = 4096
DISALLOWED = {"docs", "static", "file", "app", "account", "settings", "login", "signup", "v1"}
TOPIC_PATH = re.compile(r"/([-_A-Za-z0-9]{1,64})")
READ_PATH = re.compile(r"/([-_A-Za-z0-9]{1,64})/(json|auth)")
SEQUENCE_ID = re.compile(r"[-_A-Za-z0-9]{1,64}")
JSON = {"Content-Type": "application/json"}


class NtfyError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        body = {"code": code, "http": code // 100, "error": message}
        self.reply = Reply.of_json(code // 100, body)


@dataclass
class Message:
    id: str
    topic: str
    text: str
    at: float
    expires: float
    title: str = ""
    tags: list[str] = field(default_factory=list)
    priority: int = 0
    markdown: bool = False
    sequence_id: str = ""
    attachment: bytes = b""
    cached: bool = True


class NtfyDouble:
    """The server. `access` says what the token's user and everybody else (None) may: r, w, rw."""

    channel = "ntfy"
    exactly_once = True

    def __init__(self, *, token: str = TOKEN, port: int = 0) -> None:
        self.secrets = {"token": token}
        self.access: dict[str | None, str] = {token: "rw", None: ""}
        self.disallowed = DISALLOWED
        self.messages: list[Message] = []
        self.on_step: Callable[[str], None] | None = None
        self.faults: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.read_faults: deque[Fault | None] = deque()
        self.read_always: Fault | None = None
        self.fault_if: Callable[[Seen], Fault | None] | None = None
        self.knows_sequences = True
        self.caches = True
        self.cache_s = 12 * 3600.0
        self.limit_bytes = LIMIT_BYTES
        self.attaches = True
        self.requests_left: int | None = None
        self.messages_left: int | None = None
        self.shift_s = 0.0
        self.wire = Wire(self._answer, self._fault_for, port=port)

    async def __aenter__(self) -> Self:
        await self.wire.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.wire.__aexit__(*exc)

    # What a test asks.

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.wire.port}/{TOPIC}"

    @property
    def destination(self) -> dict[str, Any]:
        return {"target": self.address, "burst": 10_000, "timeout_s": 1}

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    @property
    def attempts(self) -> list[Seen]:
        return [seen for seen in self.wire.requests if _is_post(seen)]

    # What a test arranges.

    async def arrange(self, situation: str) -> bool:
        own = self.secrets["token"]
        self.access, self.disallowed = {own: "rw", None: ""}, DISALLOWED
        self.always = self.read_always = self.requests_left = None
        await self.wire.accept_again()
        if situation == "unreachable":
            self.wire.refuse()
        elif situation == "wrong_token":
            self.access = {"tk_another": "rw", None: ""}
        elif situation == "wrong_target":
            self.disallowed = DISALLOWED | {TOPIC}
        elif situation in {"no_permission", "refuses_config"}:
            self.access[own] = ""
        elif situation == "refuses_report":
            body = {"code": 40014, "http": 400, "error": "attachments not allowed"}
            self.always = Fault("answer", status=400, headers=JSON, body=json.dumps(body))
        elif situation == "throttles":
            self.requests_left = 0
        elif situation in {"drops", "silent"}:
            self.always = Fault("close" if situation == "drops" else "hang", accept=True)
        else:
            return situation == "accepts"
        return True

    def now(self) -> float:
        return time.time() + self.shift_s

    def restart(self) -> None:
        """As a server with its cache in memory: what was cached is gone, what was shown is not."""
        for message in self.messages:
            message.cached = False

    def post(self, text: str, *, ago_s: float = 0.0, sequence_id: str = "") -> Message:
        """A message that came another way."""
        return self._record(text.encode(), TOPIC, {}, {"x-sequence-id": sequence_id}, ago_s=ago_s)

    # What a request meets.

    def _fault_for(self, seen: Seen) -> Fault | None:
        if self.fault_if is not None:
            return self.fault_if(seen)
        if _is_post(seen):
            return self.faults.popleft() if self.faults else self.always
        return self.read_faults.popleft() if self.read_faults else self.read_always

    async def _answer(self, seen: Seen) -> Reply:
        try:
            reply = self._route(seen)
        except NtfyError as error:
            reply = error.reply
        reply.headers.setdefault("Date", formatdate(self.now(), usegmt=True))
        return reply

    def _route(self, seen: Seen) -> Reply:
        user = self._user(seen)
        if self.requests_left is not None:
            if self.requests_left <= 0:
                raise NtfyError(42901, "limit reached: too many requests")
            self.requests_left -= 1
        if seen.method in {"POST", "PUT"} and (match := TOPIC_PATH.fullmatch(seen.path)):
            return self._publish(match[1], user, seen)
        if seen.method == "GET" and (match := READ_PATH.fullmatch(seen.path)):
            self._check(match[1], user, "r")
            if match[2] == "auth":
                return Reply.of_json(200, {"success": True})
            return self._poll(match[1], seen.query)
        raise NtfyError(40401, "page not found")

    def _user(self, seen: Seen) -> str | None:
        given = seen.headers.get("authorization")
        if given is None:
            return None
        token = given.removeprefix("Bearer ")
        if token not in self.access or token == given:
            raise NtfyError(40101, "unauthorized")
        return token

    def _check(self, topic: str, user: str | None, right: str) -> None:
        if topic in self.disallowed:
            raise NtfyError(40010, "invalid request: topic name is not allowed")
        if right not in self.access[user] + self.access[None]:
            raise NtfyError(40301, "forbidden")

    # Publishing.

    def _publish(self, topic: str, user: str | None, seen: Seen) -> Reply:
        self._check(topic, user, "w")
        if self.messages_left is not None:
            if self.messages_left <= 0:
                raise NtfyError(42908, "limit reached: daily message quota reached")
            self.messages_left -= 1
        if param(seen.query, seen.headers, "priority", "3") not in set("12345"):
            raise NtfyError(40007, "invalid priority parameter")
        too_long = len(seen.body) > self.limit_bytes or not _is_text(seen.body)
        if too_long and not self.attaches:
            raise NtfyError(40014, "invalid request: attachments not allowed")
        sequence_id = param(seen.query, seen.headers, "sequence-id", "x")
        if self.knows_sequences and not SEQUENCE_ID.fullmatch(sequence_id):
            raise NtfyError(40049, "invalid request: sequence ID invalid")
        self._step("arrived")
        message = self._record(seen.body, topic, seen.query, seen.headers)
        self._step("taken")
        return Reply.of_json(200, self._shown(message))

    def _record(
        self,
        body: bytes,
        topic: str,
        query: dict[str, str],
        headers: dict[str, str],
        *,
        ago_s: float = 0.0,
    ) -> Message:
        def given(name: str) -> str:
            return param(query, headers, name, "")

        too_long = len(body) > self.limit_bytes or not _is_text(body)
        at = self.now() - ago_s
        message = Message(
            id="".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12)),
            topic=topic,
            text="You received a file: attachment.txt" if too_long else _text(body),
            at=at,
            expires=at + self.cache_s,
            title=given("title"),
            tags=[tag for tag in given("tags").split(",") if tag],
            priority=int(given("priority") or 0),
            markdown=given("markdown") in {"1", "yes", "true"},
            sequence_id=given("sequence-id") if self.knows_sequences else "",
            attachment=body if too_long else b"",
            cached=self.caches,
        )
        self.messages.append(message)
        return message

    # Reading.

    def _poll(self, topic: str, query: dict[str, str]) -> Reply:
        if query.get("poll") != "1":
            raise AssertionError("without poll=1 this would be a stream without an end")
        since = query.get("since", "all")
        if not (since == "all" or since.isdigit()):
            raise NtfyError(40008, "invalid since parameter")
        oldest = 0 if since == "all" else int(since)
        now = self.now()
        kept = [m for m in self.messages if m.topic == topic and m.cached and m.expires > now]
        fitting = sorted((m for m in kept if int(m.at) >= oldest), key=lambda m: int(m.at))
        lines = [json.dumps(self._shown(message), ensure_ascii=False) + "\n" for message in fitting]
        headers = {"Content-Type": "application/x-ndjson; charset=utf-8"}
        return Reply(200, headers, "".join(lines).encode())

    def _shown(self, message: Message) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": message.id, "time": int(message.at), "event": "message"}
        shown |= {"topic": message.topic, "message": message.text, "expires": int(message.expires)}
        if message.sequence_id:
            shown["sequence_id"] = message.sequence_id
        if message.attachment:
            shown["attachment"] = {"name": "attachment.txt", "size": len(message.attachment)}
        if message.title:
            shown["title"] = message.title
        return shown

    def _step(self, name: str) -> None:
        if self.on_step is not None:
            self.on_step(name)


def param(query: dict[str, str], headers: dict[str, str], name: str, default: str) -> str:
    """A setting: a header counts before the query."""
    return headers.get(f"x-{name}") or headers.get(name) or query.get(name) or default


def _is_post(seen: Seen) -> bool:
    return seen.method in {"POST", "PUT"}


def _is_text(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _text(body: bytes) -> str:
    return body.decode("utf-8").replace("\0", "").strip() or "triggered"
