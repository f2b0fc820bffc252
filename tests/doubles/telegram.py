"""A strict double of Telegram's Bot API, as a real HTTP server on loopback.

It follows the documented contract for the methods that a bot needs to send, edit and check, and
refuses what Telegram refuses, in its words. Parameters that it does not know are refused too,
where Telegram ignores them: they are somebody's slip.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from doubles.faults import NAMED
from doubles.telegram_rules import (
    ApiError,
    Chat,
    Message,
    bad,
    checked_entities,
    cleaned,
    found_in,
)
from doubles.wire import Fault, Reply, Seen, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "123456789:AAE-made_up-token-of-a-bot-0000000"
GROUP = -1001234567890
PERSON = 4242
PATH = re.compile(r"/bot([^/]+)/(\w+)")
SENDS = {"sendMessage", "editMessageText"}
FIELDS = {
    "getMe": set(),
    "getChat": {"chat_id"},
    "getChatMember": {"chat_id", "user_id"},
    "sendMessage": {
        "chat_id", "message_thread_id", "text", "entities", "link_preview_options",
        "disable_notification",
    },
    "editMessageText": {"chat_id", "message_id", "text", "entities", "link_preview_options"},
}  # fmt: skip
SITUATIONS = {
    "accepts", "throttles", "unreachable", "drops", "silent", "refuses_report", "refuses_config",
    "wrong_token", "wrong_target", "no_permission",
}  # fmt: skip


def refused(status: int, description: str, **parameters: Any) -> Fault:
    """One of Telegram's own errors, as a fault."""
    reply = ApiError(status, description, **parameters).reply
    return Fault("answer", status=status, headers=reply.headers, body=reply.body.decode())


def throttled(retry_after_s: int) -> Fault:
    words = f"Too Many Requests: retry after {retry_after_s}"
    return refused(429, words, retry_after=retry_after_s)


class TelegramDouble:
    """The service with one bot. `pinged` is whatever would have notified or acted on somebody.

    `options` are the destination's. With `stub` a line that stands for a part is none of `texts`
    until the part's text is put into it.
    """

    channel = "telegram"

    def __init__(self, *, port: int = 0, chat: Chat | None = None, **options: Any) -> None:
        self.secrets = {"token": TOKEN}
        self.token = TOKEN
        self.bot_id = 123456789
        self.home = chat or Chat(GROUP)
        self.options = options
        self.exactly_once = bool(options.get("stub"))
        self.chats = {self.home.id: self.home}
        self.all_messages: list[Message] = []
        self.pinged: list[str] = []
        self.dropped_entities = 0
        self.always: Fault | None = None
        self.faults: deque[Fault | None] = deque()
        self.fault_if: Callable[[Seen], Fault | None] | None = None
        self.on_step: Callable[[str], None] | None = None
        self.wire = Wire(self._answer, self._fault_for, port=port)

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
        target = str(self.home.id)
        usual = {"target": target, "api_base": self.base, "timeout_s": 1, "pause_s": 0}
        return {**usual, **self.options}

    @property
    def texts(self) -> list[str]:
        return [m.text for m in self.all_messages if m.edits or not self.options.get("stub")]

    def requests(self, *methods: str) -> list[Seen]:
        """The requests of these methods (else all), whatever became of them."""
        return [r for r in self.wire.requests if not methods or method_of(r) in methods]

    # What a test arranges.

    async def arrange(self, situation: str) -> bool:
        if situation not in SITUATIONS:
            return False
        self.always, self.token = None, TOKEN
        self.chats = {self.home.id: self.home}
        self.home.status, self.home.can_post, self.home.can_send = "administrator", True, True
        await self.wire.accept_again()
        match situation:
            case "unreachable":
                self.wire.refuse()
            case "wrong_token":
                self.token = "987654321:another-token"
            case "wrong_target":
                self.chats = {}
            case "no_permission":
                self.home.status, self.home.can_post, self.home.can_send = "member", False, False
            case "refuses_config":
                self.home.status = "kicked"
            case _:
                self.always = {
                    "throttles": throttled(2),
                    "drops": NAMED["accept_then_drop"],
                    "silent": NAMED["accept_then_hang"],
                    "refuses_report": refused(400, "Bad Request: message is too long"),
                }.get(situation)
        return True

    def move(self, new_id: int) -> None:
        """The group becomes a supergroup."""
        self.home.moved_to = new_id
        self.chats[new_id] = Chat(new_id)

    # What a request meets.

    def _fault_for(self, seen: Seen) -> Fault | None:
        if self.fault_if is not None:
            return self.fault_if(seen)
        if method_of(seen) not in SENDS:
            return None
        return self.faults.popleft() if self.faults else self.always

    async def _answer(self, seen: Seen) -> Reply:
        if method_of(seen) in SENDS:
            self._step("arrived")
        try:
            result = self._result(seen)
        except ApiError as error:
            return error.reply
        if method_of(seen) in SENDS:
            self._step("taken")
        return Reply.of_json(200, {"ok": True, "result": result})

    def _step(self, name: str) -> None:
        if self.on_step is not None:
            self.on_step(name)

    def _result(self, seen: Seen) -> Any:
        found = PATH.fullmatch(seen.path)
        if found is None or not re.fullmatch(r"\d+:[\w-]+", found[1]):
            raise ApiError(404, "Not Found")
        if found[1] != self.token:
            raise ApiError(401, "Unauthorized")
        method = found[2]
        if method not in FIELDS:
            raise ApiError(404, "Not Found: method not found")
        form = self._form(seen, FIELDS[method])
        if method == "getMe":
            return {"id": self.bot_id, "is_bot": True, "first_name": "Bot", "username": "a_bot"}
        chat = self._chat(form.get("chat_id"))
        if method == "getChat":
            return {**chat.shown(), "permissions": {"can_send_messages": chat.can_send}}
        if method == "getChatMember":
            return self._member(chat, form)
        return self._send(chat, form) if method == "sendMessage" else self._edit(chat, form)

    def _form(self, seen: Seen, fields: set[str]) -> dict[str, Any]:
        if seen.headers.get("content-type") != "application/json":
            raise bad("the body is not JSON")
        form = json.loads(seen.body or b"{}")
        if not set(form) <= fields:
            raise bad(f"unknown parameters (the double's own rule): {set(form) - fields}")
        return form

    def _chat(self, chat_id: Any) -> Chat:
        """The chat, if the bot may read it."""
        names = {f"@{c.username}".lower(): c for c in self.chats.values() if c.username}
        is_name = isinstance(chat_id, str)
        chat = names.get(chat_id.lower()) if is_name else self.chats.get(chat_id)
        if chat is None:
            raise bad("chat not found")
        if chat.status == "kicked":
            raise ApiError(403, f"Forbidden: bot was kicked from the {chat.type} chat")
        if chat.status == "left" and not chat.username and chat.type != "group":
            raise ApiError(403, f"Forbidden: bot is not a member of the {chat.type} chat")
        return chat

    def _member(self, chat: Chat, form: dict[str, Any]) -> dict[str, Any]:
        if form.get("user_id") != self.bot_id:
            raise bad("user not found")
        value: dict[str, Any] = {"status": chat.status, "user": {"id": self.bot_id}}
        if chat.status == "administrator" and chat.type == "channel":
            value["can_post_messages"] = chat.can_post
        if chat.status == "restricted":
            value["can_send_messages"] = chat.can_send
        return value

    def _send(self, chat: Chat, form: dict[str, Any]) -> dict[str, Any]:
        check_may_send(chat)
        thread = thread_of(chat, form.get("message_thread_id"))
        text, entities = self._text(form)
        chat.last_id += 1
        message = Message(
            chat.id, chat.last_id, text, entities, thread,
            is_silent=form.get("disable_notification", False),
            has_preview=not form.get("link_preview_options", {}).get("is_disabled", False),
        )  # fmt: skip
        self.all_messages.append(message)
        return self._shown(chat, message)

    def _edit(self, chat: Chat, form: dict[str, Any]) -> dict[str, Any]:
        check_may_send(chat)
        wanted = (chat.id, form.get("message_id"))
        message = next((m for m in self.all_messages if (m.chat_id, m.id) == wanted), None)
        if message is None:
            raise bad("message to edit not found")
        text, entities = self._text(form)
        if (text, entities) == (message.text, message.entities):
            raise bad(
                "message is not modified: specified new message content and reply markup are "
                "exactly the same as a current content and reply markup of the message"
            )
        message.text, message.entities = text, entities
        message.edits += 1
        return self._shown(chat, message)

    def _text(self, form: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
        text = cleaned(form.get("text"))
        entities = checked_entities(form["text"], form.get("entities", []))
        self.dropped_entities += len(form.get("entities", [])) - len(entities)
        whole = form["text"].encode("utf-16-le")
        for each in found_in(form["text"], entities):
            start, end = each["offset"], each["offset"] + each["length"]
            self.pinged.append(whole[2 * start : 2 * end].decode("utf-16-le"))
        return text, entities

    def _shown(self, chat: Chat, message: Message) -> dict[str, Any]:
        value = {
            "message_id": message.id,
            "from": {"id": self.bot_id, "is_bot": True, "first_name": "Bot"},
            "chat": chat.shown(),
            "date": int(time.time()),
            "text": message.text,
            "entities": message.entities,
        }
        if message.thread_id:
            value |= {"message_thread_id": message.thread_id, "is_topic_message": True}
        return value


def method_of(seen: Seen) -> str:
    return seen.path.rpartition("/")[2]


def check_may_send(chat: Chat) -> None:
    if chat.moved_to:
        raise bad("group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.moved_to)
    if chat.is_blocked:
        raise ApiError(403, "Forbidden: bot was blocked by the user")
    if chat.status == "left":
        raise ApiError(403, f"Forbidden: bot is not a member of the {chat.type} chat")
    if chat.type == "channel" and (chat.status != "administrator" or not chat.can_post):
        raise bad("need administrator rights in the channel chat")
    if chat.status in {"member", "restricted"} and not chat.can_send:
        raise bad("not enough rights to send text messages to the chat")


def thread_of(chat: Chat, asked: Any) -> int:
    """The topic that a message comes into; 0 is none. Where there are none it is ignored."""
    if not asked or not chat.is_forum:
        return 0
    if asked == 1 or asked not in chat.topics:
        raise bad("message thread not found")
    if asked in chat.closed_topics:
        raise bad("TOPIC_CLOSED")
    return int(asked)
