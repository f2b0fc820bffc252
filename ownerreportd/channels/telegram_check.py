"""Owns where a Telegram message is to be, and the read-only look at whether it can be put there.

Rule: what Telegram does not show (a topic's own state, a person who blocked the bot) is no
problem before a message is refused.

Source: Bot API, `getMe`, `getChat`, `getChatMember`; tdlib/telegram-bot-api Client.cpp
(`check_message_topic`: where a chat has no topics, one that is asked for is ignored silently).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ownerreportd.channels.http import Answer
from ownerreportd.channels.telegram_answers import (
    HINT_CHAT,
    HINT_MEMBER,
    HINT_PROXY,
    HINT_RIGHTS,
    refusal,
    result_of,
)
from ownerreportd.core.channel import Problem
from ownerreportd.core.outcome import Rejected

if TYPE_CHECKING:
    from ownerreportd.channels.http import HttpClient

_HINT_UNREACHABLE: Final = "check the network, the proxy and api_base; it is tried again by itself"
_HINT_TOPICS: Final = "turn topics on in the group, or take :topic: out of target"
_SUPERGROUP: Final = "-100"


@dataclass(frozen=True, slots=True)
class Place:
    """A chat by id or `@name`, and the topic in it, which may be empty.

    `moved_to` is the id of the supergroup that the chat has become; empty where it has not.
    """

    chat: str
    topic: str = ""
    moved_to: str = ""

    @property
    def chat_id(self) -> int | str:
        """The chat as the Bot API takes it."""
        chat = self.moved_to or self.chat
        return chat if chat.startswith("@") else int(chat)

    def advice(self) -> str:
        """What to change in the configuration after a move."""
        return f'set target = "{self.moved_to}" in the configuration, then ownerreportd reload'

    def difference(self, chat: dict[str, Any], thread_id: object) -> str:
        """Where a message is that is not here; empty where it is. `chat` is its chat."""
        wanted = self.chat_id
        if isinstance(wanted, int):
            is_here = chat.get("id") == wanted
        else:
            is_here = f"@{chat.get('username')}".lower() == wanted
        if not is_here:
            return "into another chat"
        if self.topic and thread_id != int(self.topic):
            return f"outside of the topic {self.topic}"
        return ""

    def link(self, number: str, chat: dict[str, Any]) -> str:
        """The address of a message in it; empty in private chats and old groups."""
        name = chat.get("username") or (self.chat[1:] if self.chat.startswith("@") else "")
        path = f"{self.topic}/{number}" if self.topic else number
        if name and chat.get("type") != "private":
            return f"https://t.me/{name}/{path}"
        own = str(self.chat_id)
        return f"https://t.me/c/{own[4:]}/{path}" if own.startswith(_SUPERGROUP) else ""


class TelegramCheck:
    """Asks for token, chat and rights, in that order, up to the first that is wrong."""

    def __init__(self, http: HttpClient, base: str, place: Place) -> None:
        self._http = http
        self._base = base
        self._place = place

    async def problems(self) -> list[Problem]:
        """What is wrong; nothing is sent to the chat."""
        me = await self._result("getMe", {})
        if isinstance(me, Problem):
            return [me]
        chat = await self._result("getChat", {"chat_id": self._place.chat_id})
        if isinstance(chat, Problem):
            return [chat]
        if self._place.topic and chat.get("type") != "private" and not chat.get("is_forum"):
            detail = f"the chat has no topics, so there is no topic {self._place.topic}"
            return [Problem("telegram.topic", detail, _HINT_TOPICS)]
        if chat.get("type") == "private":
            return []
        asked = {"chat_id": self._place.chat_id, "user_id": me.get("id")}
        member = await self._result("getChatMember", asked)
        return [member] if isinstance(member, Problem) else _rights(chat, member)

    async def _result(self, method: str, form: dict[str, Any]) -> dict[str, Any] | Problem:
        content = json.dumps(form).encode()
        answer = await self._http.exchange("POST", f"{self._base}/{method}", content=content)
        if not isinstance(answer, Answer):
            return Problem("unreachable", answer.detail, _HINT_UNREACHABLE)
        if answer.status == 200:
            result = result_of(answer)
            if isinstance(result, dict):
                return result
            # A portal that wants a log-in answers like this, and goes away.
            return Problem("unreachable", f"the answer to {method} is not Telegram's", HINT_PROXY)
        refused = refusal(answer, self._http.shown)
        if isinstance(refused, Rejected):
            hint = refused.hint if refused.scope == "config" else HINT_CHAT
            return Problem(refused.code, refused.detail, hint)
        return Problem("unreachable", refused.detail, _HINT_UNREACHABLE)


def _rights(chat: dict[str, Any], member: dict[str, Any]) -> list[Problem]:
    """What keeps the bot from sending, by its own state there and the chat's."""
    status = member.get("status")
    if status in {"left", "kicked"}:
        return [
            Problem("telegram.member", f"the bot's state in the chat is: {status}", HINT_MEMBER)
        ]
    permissions = chat.get("permissions")
    allowed = permissions.get("can_send_messages") if isinstance(permissions, dict) else None
    is_forbidden = {
        "administrator": chat.get("type") == "channel" and not member.get("can_post_messages"),
        "restricted": not member.get("can_send_messages"),
        "member": chat.get("type") == "channel" or allowed is False,
    }.get(str(status), False)
    if is_forbidden:
        return [
            Problem(
                "telegram.rights", f"the bot ({status}) may not send messages there", HINT_RIGHTS
            )
        ]
    return []
