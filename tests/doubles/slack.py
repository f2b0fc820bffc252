"""A strict double of Slack's Web API, as far as an app needs it to post and to read back.

It follows the documented methods auth.test, chat.postMessage, conversations.info,
conversations.history and conversations.replies, and refuses what Slack refuses: with HTTP 200 and
`ok: false`. It counts a text in UTF-16 units, and sends no metadata that is not asked for.
"""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Self

from doubles.wire import Fault, Reply, Seen, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "xoxb-1234567890-made-up"
CHANNEL = "C0123456789"
TEXT_MAX = 12_000
ALL_SCOPES = frozenset({"chat:write", "channels:read", "channels:history"})
# What Slack's own page lists, less what nobody needs; everything else is `invalid_arguments`.
FIELDS = frozenset(
    {"channel", "markdown_text", "metadata", "thread_ts", "unfurl_links", "unfurl_media",
     "link_names", "parse", "reply_broadcast", "text", "mrkdwn"}
)  # fmt: skip
CALLS = re.compile(
    r"<!(?:channel|here|everyone|group|subteam\^\w+)[^<>]*>|<@[UW]\w*[^<>]*>", re.IGNORECASE
)
NAMES = re.compile(r"(?<![\w@])@(?:channel|here|everyone|group)\b", re.IGNORECASE)
JSON = {"Content-Type": "application/json; charset=utf-8"}


class SlackError(Exception):
    def __init__(self, name: str, **more: Any) -> None:
        super().__init__(name)
        self.body = {"ok": False, "error": name, **more}


@dataclass
class Place:
    """One conversation; every state of it can be changed while the double runs."""

    id: str
    member: bool = True
    archived: bool = False
    private: bool = False
    read_only: bool = False


@dataclass
class Message:
    ts: str
    channel: str
    text: str
    thread_ts: str = ""
    metadata: dict[str, Any] | None = None
    fired: list[str] = field(default_factory=list)


class SlackDouble:
    """The service. `messages` has everything that was posted, in the order of arrival."""

    channel = "slack"
    exactly_once = True

    def __init__(self, *, token: str = TOKEN, port: int = 0) -> None:
        self.secrets = {"token": token}
        self.token = token
        self.scopes = ALL_SCOPES
        self.places = {CHANNEL: Place(CHANNEL)}
        self.messages: list[Message] = []
        self.on_step: Callable[[str], None] | None = None
        self.faults: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.read_faults: deque[Fault | None] = deque()
        self.read_always: Fault | None = None
        self.fault_if: Callable[[Seen], Fault | None] | None = None
        self.page_max = 999
        self.hides_history = False
        self.shift_s = 0.0
        self.next_error: str | None = None
        self._last_us = 0
        self.wire = Wire(self._answer, self._fault_for, port=port)

    async def __aenter__(self) -> Self:
        await self.wire.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.wire.__aexit__(*exc)

    # What a test asks.

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.wire.port}/api"

    @property
    def destination(self) -> dict[str, Any]:
        return {"target": f"channel:{CHANNEL}", "api_base": self.base, "timeout_s": 1}

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    @property
    def attempts(self) -> list[Seen]:
        return [seen for seen in self.wire.requests if _is_post(seen)]

    # What a test arranges.

    async def arrange(self, situation: str) -> bool:
        self.token, self.scopes = self.secrets["token"], ALL_SCOPES
        self.always = self.read_always = self.next_error = None
        self.places[CHANNEL] = Place(CHANNEL)
        await self.wire.accept_again()
        if situation == "unreachable":
            self.wire.refuse()
        elif situation == "wrong_token":
            self.token = "xoxb-another"
        elif situation == "wrong_target":
            del self.places[CHANNEL]
        elif situation in {"no_permission", "refuses_config"}:
            self.places[CHANNEL].member = False
        elif situation == "refuses_report":
            self.next_error = "msg_blocks_too_long"
        elif situation == "throttles":
            body = '{"ok": false, "error": "ratelimited"}'
            self.always = Fault(
                "answer", status=429, headers=JSON | {"Retry-After": "1"}, body=body
            )
        elif situation in {"drops", "silent"}:
            self.always = Fault("close" if situation == "drops" else "hang", accept=True)
        else:
            return situation == "accepts"
        return True

    def now(self) -> float:
        return time.time() + self.shift_s

    def post(self, text: str, *, channel: str = CHANNEL, **more: Any) -> Message:
        """A message that came another way."""
        return self._record(channel, text, more)

    # What a request meets.

    def _fault_for(self, seen: Seen) -> Fault | None:
        if self.fault_if is not None:
            return self.fault_if(seen)
        if _is_post(seen):
            return self.faults.popleft() if self.faults else self.always
        return self.read_faults.popleft() if self.read_faults else self.read_always

    async def _answer(self, seen: Seen) -> Reply:
        method = seen.path.removeprefix("/api/")
        answers: dict[str, Callable[[Seen], dict[str, Any]]] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post_message,
            "conversations.info": self._info,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
        }
        headers = {"Date": formatdate(self.now(), usegmt=True)}
        try:
            self._authorize(seen)
            headers["X-OAuth-Scopes"] = ",".join(sorted(self.scopes))
            body = {"ok": True, **answers.get(method, _unknown)(seen)}
        except SlackError as error:
            body = error.body
        return Reply.of_json(200, body, headers)

    def _authorize(self, seen: Seen) -> None:
        given = seen.headers.get("authorization", "")
        if not given:
            raise SlackError("not_authed")
        if given != f"Bearer {self.token}":
            raise SlackError("invalid_auth")

    def _needs(self, *scopes: str) -> None:
        if not self.scopes & set(scopes):
            have = ",".join(sorted(self.scopes))
            raise SlackError("missing_scope", needed=",".join(scopes), provided=have)

    def _place(self, channel_id: str) -> Place:
        place = self.places.get(channel_id)
        if place is None or (place.private and not place.member):
            raise SlackError("channel_not_found")
        return place

    # The methods.

    def _auth_test(self, _seen: Seen) -> dict[str, Any]:
        who = {"team": "Made up", "user": "reports", "team_id": "T01", "user_id": "U01"}
        return {"url": "https://made-up.slack.com/", **who, "bot_id": "B01"}

    def _info(self, seen: Seen) -> dict[str, Any]:
        place = self._place(seen.query.get("channel", ""))
        self._needs("groups:read" if place.private else "channels:read")
        state = {"is_member": place.member, "is_archived": place.archived}
        state |= {"is_private": place.private, "is_read_only": place.read_only}
        return {"channel": {"id": place.id, "name": "reports", "is_channel": True, **state}}

    def _readable(self, seen: Seen) -> Place:
        place = self._place(seen.query.get("channel", ""))
        self._needs("groups:history" if place.private else "channels:history")
        if not place.member:
            raise SlackError("not_in_channel")
        return place

    def _history(self, seen: Seen) -> dict[str, Any]:
        place = self._readable(seen)
        top = [m for m in self.messages if m.channel == place.id and not m.thread_ts]
        return self._paged(seen, top[::-1])

    def _replies(self, seen: Seen) -> dict[str, Any]:
        place = self._readable(seen)
        ts = seen.query.get("ts", "")
        here = [m for m in self.messages if m.channel == place.id]
        if not any(m.ts == ts for m in here):
            raise SlackError("thread_not_found")
        return self._paged(seen, [m for m in here if ts in {m.ts, m.thread_ts}])

    def _paged(self, seen: Seen, ordered: list[Message]) -> dict[str, Any]:
        """A page; the cursor is the number of messages that came before."""
        oldest = float(seen.query.get("oldest", "0"))
        start = int(seen.query.get("cursor", "0") or "0")
        limit = min(int(seen.query.get("limit", "100")), self.page_max)
        fitting = [m for m in ordered if float(m.ts) > oldest]
        page, more = fitting[start : start + limit], len(fitting) > start + limit
        with_metadata = seen.query.get("include_all_metadata") == "true"
        cursor = {"response_metadata": {"next_cursor": str(start + limit)}} if more else {}
        return {
            "messages": [_shown(m, with_metadata=with_metadata) for m in page],
            "has_more": more,
            **({"is_limited": True} if self.hides_history else {}),
            **cursor,
        }

    def _post_message(self, seen: Seen) -> dict[str, Any]:
        form = self._form(seen)
        self._needs("chat:write")
        place = self._place(form.get("channel", ""))
        if not place.member:
            raise SlackError("not_in_channel")
        if place.archived:
            raise SlackError("is_archived")
        if place.read_only:
            raise SlackError("restricted_action_read_only_channel")
        text = form.get("markdown_text", "")
        if "text" in form or "blocks" in form:
            raise SlackError("markdown_text_conflict")
        if not text.strip():
            raise SlackError("no_text")
        if len(text.encode("utf-16-le")) // 2 > TEXT_MAX:
            raise SlackError("msg_too_long")
        if self.next_error:
            raise SlackError(self.next_error)
        thread_ts = form.get("thread_ts", "")
        if thread_ts and not any(m.ts == thread_ts for m in self.messages):
            raise SlackError("thread_not_found")
        self._step("arrived")
        message = self._record(place.id, text, form)
        self._step("taken")
        return {"channel": place.id, "ts": message.ts, "message": _shown(message)}

    @staticmethod
    def _form(seen: Seen) -> dict[str, Any]:
        kind = seen.headers.get("content-type", "")
        if not kind:
            raise SlackError("missing_post_type")
        if kind != "application/json; charset=utf-8":
            raise SlackError("invalid_charset" if "json" in kind else "invalid_post_type")
        try:
            form = seen.json()
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(form, dict) or set(form) - FIELDS:
            raise SlackError("invalid_arguments")
        metadata = form.get("metadata")
        if metadata is not None:
            whole = isinstance(metadata, dict) and set(metadata) == {"event_type", "event_payload"}
            if not whole or not re.fullmatch(r"\w{1,255}", metadata["event_type"]):
                raise SlackError("invalid_metadata_format")
            if not isinstance(metadata["event_payload"], dict):
                raise SlackError("invalid_metadata_schema")
        return form

    def _record(self, channel: str, text: str, form: dict[str, Any]) -> Message:
        fired = CALLS.findall(text) + (NAMES.findall(text) if form.get("link_names") else [])
        self._last_us = max(self._last_us + 1, int(self.now() * 1_000_000))
        ts = f"{self._last_us // 1_000_000}.{self._last_us % 1_000_000:06}"
        message = Message(ts, channel, text, form.get("thread_ts", ""), form.get("metadata"), fired)
        self.messages.append(message)
        return message

    def _step(self, name: str) -> None:
        if self.on_step is not None:
            self.on_step(name)


def _unknown(_seen: Seen) -> dict[str, Any]:
    raise SlackError("unknown_method")


def _is_post(seen: Seen) -> bool:
    return seen.path == "/api/chat.postMessage"


def _shown(message: Message, *, with_metadata: bool = False) -> dict[str, Any]:
    """A message as Slack gives it back: its text is a rendering, never the Markdown itself."""
    text = re.sub(r"\*\*(.+?)\*\*", r"*\1*", message.text).replace("&", "&amp;")
    shown = {"type": "message", "user": "U01", "bot_id": "B01", "ts": message.ts, "text": text}
    if message.thread_ts:
        shown["thread_ts"] = message.thread_ts
    if message.metadata is not None:
        kept = message.metadata if with_metadata else {**message.metadata, "event_payload": {}}
        shown["metadata"] = kept
    return shown
