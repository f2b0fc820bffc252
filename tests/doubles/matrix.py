"""A strict double of a Matrix homeserver's client API, with one room, as real HTTP on loopback.

It follows the Client-Server API (v1.18) for the requests that post and read back messages; where
the specification leaves a choice it does what Synapse 1.163 was measured to do.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Self

from doubles.faults import NAMED
from doubles.wire import Fault, Reply, Seen, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

API = "/_matrix/client/v3"
EVENT_BYTES_MAX = 65_536
SERVER = "double.test"
BOT = f"@reports:{SERVER}"
OWNER = f"@owner:{SERVER}"
TOKEN = "syt_made_up_token_of_the_reports"
DEVICE = "OWNERREPORTD"
ROOM = "!3NMvmtIRqa9cEGXG9c9AtHYyRda_lX87wpqwiP6idBA"
ALIAS = f"#reports:{SERVER}"
SEND_PATH = re.compile(rf"{API}/rooms/([^/]+)/send/m\.room\.message/([^/]+)")
STATE_PATH = re.compile(rf"{API}/rooms/([^/]+)/state/([^/]+)(?:/([^/]+))?")
EVENT_PATH = re.compile(rf"{API}/rooms/([^/]+)/event/([^/]+)")
MESSAGES_PATH = re.compile(rf"{API}/rooms/([^/]+)/messages")
DIRECTORY_PATH = re.compile(rf"{API}/directory/room/([^/]+)")
FIELDS = {
    "msgtype", "body", "format", "formatted_body", "m.mentions", "m.relates_to",
    "org.ownerreportd.part",
}  # fmt: skip


def matrix_error(status: int, errcode: str, message: str = "made up", **more: Any) -> Fault:
    """One of the homeserver's own errors, as a fault."""
    body = json.dumps({"errcode": errcode, "error": message, **more})
    return Fault("answer", status=status, headers={"Content-Type": "application/json"}, body=body)


class MatrixError(Exception):
    def __init__(self, status: int, errcode: str, message: str = "", **more: Any) -> None:
        super().__init__(errcode)
        self.reply = Reply.of_json(status, {"errcode": errcode, "error": message, **more})


@dataclass(slots=True)
class Event:
    id: str
    type: str
    sender: str
    content: dict[str, Any]
    at: float
    state_key: str | None = None
    device: str = ""
    txn_id: str = ""
    before: dict[str, Any] = field(default_factory=dict)
    redacted: bool = False

    def shown(self, device: str) -> dict[str, Any]:
        """The event as the client API shows it to that device."""
        unsigned: dict[str, Any] = {"age": 1}
        if self.txn_id and self.device == device:
            unsigned["transaction_id"] = self.txn_id
        if self.before:
            unsigned["prev_content"] = self.before
        if self.redacted:
            unsigned["redacted_because"] = {"type": "m.room.redaction"}
        keyed = {} if self.state_key is None else {"state_key": self.state_key}
        return {
            "event_id": self.id, "type": self.type, "sender": self.sender, "content": self.content,
            "origin_server_ts": int(self.at * 1000), "unsigned": unsigned, **keyed,
        }  # fmt: skip


class MatrixDouble:
    """The homeserver. Everything about the room can be changed while it runs."""

    channel = "matrix"
    exactly_once = True

    def __init__(self, *, port: int = 0, window_s: float = 86_400.0) -> None:
        self.secrets = {"token": TOKEN}
        self.window_s = window_s
        self.devices = {TOKEN: DEVICE}
        self.aliases = {ALIAS: ROOM}
        self.events: list[Event] = []
        self.history_from = 0  # of the events, what a reader may see
        self.server_filters = True
        self.page_max = 100
        self.on_step: Callable[[str], None] | None = None
        self.faults: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.get_always: Fault | None = None
        self.fault_if: Callable[[Seen], Fault | None] | None = None
        self._shift_s = 0.0
        self.wire = Wire(self._answer, self._fault_for, port=port)
        self.state("m.room.create", {"room_version": "12"}, sender=OWNER)
        self.state("m.room.power_levels", {"users": {}, "events_default": 0}, sender=OWNER)
        self.join()

    async def __aenter__(self) -> Self:
        await self.wire.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.wire.__aexit__(*exc)

    # What a test asks.

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.wire.port}"

    @property
    def destination(self) -> dict[str, Any]:
        return {
            "target": ROOM, "homeserver": self.base, "device_id": DEVICE, "timeout_s": 1,
        }  # fmt: skip

    @property
    def messages(self) -> list[Event]:
        return [each for each in self.events if each.type == "m.room.message"]

    @property
    def texts(self) -> list[str]:
        return [each.content["body"] for each in self.messages if not each.redacted]

    @property
    def attempts(self) -> list[Seen]:
        return [seen for seen in self.wire.requests if seen.method == "PUT"]

    # What a test arranges.

    def now(self) -> float:
        return time.time() + self._shift_s

    def advance(self, seconds: float) -> None:
        self._shift_s += seconds

    def state(self, kind: str, content: dict[str, Any], key: str = "", *, sender: str = OWNER):
        before = self._state(kind, key)
        known = {} if before is None else before.content
        return self._add(kind, sender, content, state_key=key, before=known)

    def join(self, membership: str = "join", user: str = BOT):
        return self.state("m.room.member", {"membership": membership}, user, sender=user)

    def levels(self, **content: Any):
        return self.state("m.room.power_levels", content)

    def post(self, content: dict[str, Any], *, sender: str = BOT, **fields: Any) -> Event:
        """A message that came another way."""
        return self._add("m.room.message", sender, content, **fields)

    def redact(self, event_id: str, *, forget_txn: bool = False) -> None:
        for event in self.events:
            if event.id == event_id:
                event.content, event.redacted = {}, True
                event.txn_id = "" if forget_txn else event.txn_id

    async def arrange(self, situation: str) -> bool:
        self.always = self.get_always = None
        self.devices = {TOKEN: DEVICE}
        if (member := self._state("m.room.member", BOT)) and member.content["membership"] != "join":
            self.join()
        self.levels(events_default=0)
        await self.wire.accept_again()
        if situation == "unreachable":
            self.wire.refuse()
        elif situation == "wrong_token":
            self.devices = {}
        elif situation == "wrong_target":
            self.join("leave")
        elif situation in {"refuses_config", "no_permission"}:
            self.levels(events_default=50)
        elif situation != "accepts":
            self.always = {
                "throttles": matrix_error(429, "M_LIMIT_EXCEEDED", retry_after_ms=500),
                "drops": NAMED["accept_then_drop"],
                "silent": NAMED["accept_then_hang"],
                "refuses_report": matrix_error(413, "M_TOO_LARGE"),
            }[situation]
        return True

    # What a request meets.

    def _fault_for(self, seen: Seen) -> Fault | None:
        if self.fault_if is not None:
            return self.fault_if(seen)
        if seen.method == "PUT":
            return self.faults.popleft() if self.faults else self.always
        return self.get_always

    async def _answer(self, seen: Seen) -> Reply:
        try:
            reply = Reply.of_json(200, self._route(seen))
        except MatrixError as error:
            reply = error.reply
        reply.headers.setdefault("Date", formatdate(self.now(), usegmt=True))
        return reply

    def _route(self, seen: Seen) -> Any:
        if seen.path == f"{API}/account/whoami":
            return {"user_id": BOT, "device_id": self._device(seen), "is_guest": False}
        device = self._device(seen)
        if match := DIRECTORY_PATH.fullmatch(seen.path):
            if match[1] not in self.aliases:
                raise MatrixError(404, "M_NOT_FOUND", "Room alias not found")
            return {"room_id": self.aliases[match[1]], "servers": [SERVER]}
        if match := SEND_PATH.fullmatch(seen.path):
            if seen.method != "PUT":
                raise MatrixError(405, "M_UNRECOGNIZED", "Unrecognized request")
            return self._send(match[1], match[2], device, seen)
        if seen.method != "GET":
            raise MatrixError(405, "M_UNRECOGNIZED", "Unrecognized request")
        if match := STATE_PATH.fullmatch(seen.path):
            return self._get_state(match[1], match[2], match[3] or "", seen, device)
        if match := MESSAGES_PATH.fullmatch(seen.path):
            return self._get_messages(match[1], seen, device)
        if match := EVENT_PATH.fullmatch(seen.path):
            self._must_be_in(match[1])
            for event in self.events[self.history_from :]:
                if event.id == match[2]:
                    return event.shown(device)
            raise MatrixError(404, "M_NOT_FOUND", "Event not found.")
        raise MatrixError(404, "M_UNRECOGNIZED", "Unrecognized request")

    def _device(self, seen: Seen) -> str:
        given = seen.headers.get("authorization", "")
        if not given.startswith("Bearer "):
            raise MatrixError(401, "M_MISSING_TOKEN", "Missing access token")
        token = given.removeprefix("Bearer ")
        if token not in self.devices:
            raise MatrixError(401, "M_UNKNOWN_TOKEN", "Invalid access token", soft_logout=False)
        return self.devices[token]

    def _must_be_in(self, room: str) -> None:
        member = self._state("m.room.member", BOT)
        joined = member is not None and member.content["membership"] == "join"
        if room not in self.aliases.values() or not joined:
            raise MatrixError(403, "M_FORBIDDEN", f"User {BOT} not in room {room}")

    # Reading.

    def _state(self, kind: str, key: str = "") -> Event | None:
        found = [e for e in self.events if (e.type, e.state_key) == (kind, key)]
        return found[-1] if found else None

    def _get_state(self, room: str, kind: str, key: str, seen: Seen, device: str) -> Any:
        self._must_be_in(room)
        event = self._state(kind, key)
        if event is None:
            raise MatrixError(404, "M_NOT_FOUND", "Event not found.")
        return event.shown(device) if seen.query.get("format") == "event" else event.content

    def _get_messages(self, room: str, seen: Seen, device: str) -> Any:
        self._must_be_in(room)
        if seen.query.get("dir") != "b":
            raise MatrixError(400, "M_INVALID_PARAM", "dir")
        limit = min(int(seen.query.get("limit", "10")), self.page_max)
        start = int(seen.query.get("from", f"t{len(self.events)}")[1:])
        wanted = json.loads(seen.query.get("filter", "{}"))
        chunk, at = [], start
        while at > self.history_from and len(chunk) < limit:
            at -= 1
            event = self.events[at]
            known = event.sender in wanted.get("senders", [event.sender])
            known = known and event.type in wanted.get("types", [event.type])
            if known or not self.server_filters:
                chunk.append(event.shown(device))
            elif start - at >= 50:  # as a server that looks through so many at a time
                break
        more = {"end": f"t{at}"} if at > self.history_from else {}
        return {"start": f"t{start}", "chunk": chunk, **more}

    # Sending.

    def _send(self, room: str, txn_id: str, device: str, seen: Seen) -> Any:
        content = _content(seen)
        self._step("arrived")
        for event in self.messages:
            is_known = self.now() - event.at <= self.window_s
            if is_known and (event.txn_id, event.device) == (txn_id, device):
                return {"event_id": event.id}
        self._must_be_in(room)
        levels = self._state("m.room.power_levels")
        assert levels is not None
        needed = levels.content.get("events", {}).get("m.room.message")
        needed = levels.content.get("events_default", 0) if needed is None else needed
        if levels.content.get("users", {}).get(BOT, 0) < needed:
            raise MatrixError(403, "M_FORBIDDEN", "You don't have permission to post")
        if event_bytes(content) > EVENT_BYTES_MAX:
            raise MatrixError(413, "M_TOO_LARGE", "event too large")
        event = self._add("m.room.message", BOT, content, device=device, txn_id=txn_id)
        self._step("taken")
        return {"event_id": event.id}

    def _step(self, name: str) -> None:
        if self.on_step is not None:
            self.on_step(name)

    def _add(self, kind: str, sender: str, content: dict[str, Any], **fields: Any) -> Event:
        number = len(self.events) + 1
        fields.setdefault("at", self.now())
        event = Event(f"${number:040}abc", kind, sender, content, **fields)
        self.events.append(event)
        return event


def event_bytes(content: dict[str, Any]) -> int:
    """The size of the whole event, of the oldest room version with the longest names."""
    longest = "x" * 255
    hashed = [longest, {"sha256": "x" * 43}]
    event = {
        "auth_events": [hashed] * 10, "prev_events": [hashed] * 20, "content": content,
        "depth": 2**53 - 1, "event_id": longest, "hashes": {"sha256": "x" * 43},
        "origin": longest, "origin_server_ts": 10**13, "room_id": longest, "sender": longest,
        "signatures": {longest: {"ed25519:" + "x" * 20: "x" * 86}}, "type": "m.room.message",
        "unsigned": {"age_ts": 10**13},
    }  # fmt: skip
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return len(text.encode())


def _content(seen: Seen) -> dict[str, Any]:
    if seen.headers.get("content-type") != "application/json":
        raise MatrixError(400, "M_NOT_JSON", "Content-Type")
    try:
        content = json.loads(seen.body)
    except ValueError:
        raise MatrixError(400, "M_NOT_JSON", "Content not JSON.") from None
    if not isinstance(content, dict) or not isinstance(content.get("body"), str):
        raise MatrixError(400, "M_BAD_JSON", "no body")
    if set(content) - FIELDS or content.get("msgtype") not in {"m.text", "m.notice"}:
        raise MatrixError(400, "M_BAD_JSON", "unknown fields, or no msgtype")
    if content.get("m.mentions") != {}:
        raise MatrixError(400, "M_BAD_JSON", "somebody may be mentioned")
    html = content.get("formatted_body", "")
    if ("format" in content) != ("formatted_body" in content) or not isinstance(html, str):
        raise MatrixError(400, "M_BAD_JSON", "format without formatted_body")
    if not content["body"].strip():
        raise MatrixError(400, "M_BAD_JSON", "an empty body")
    return content
