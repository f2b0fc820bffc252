"""Owns delivery to Telegram by a bot: one part is one message in a chat, channel or topic.

A message is confirmed by Telegram's own answer with its id, our chat and topic, and our text. A
bot can neither have a repeat recognised nor read what it sent, so a part in doubt can only be
sent again, marked, or held. With `stub` a part is two steps: a short line is sent, and the text
put into it by `editMessageText`, which can be repeated safely; an answer that is lost then costs
a second short line at most, never a second report.

A group that became a supergroup has a new id. The old one takes nothing, and names the new one:
that is kept, and the next attempt goes there.

Sources: Bot API, `sendMessage`, `editMessageText`, `ResponseParameters`; grammY "Flood limits"
(one message a second into a chat, twenty a minute into a group).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.channels.state import MemoryState
from ownerreportd.channels.telegram_answers import essence, refusal, result_of, service_error
from ownerreportd.channels.telegram_check import Place, TelegramCheck
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import (
    Confirmed,
    InDoubt,
    NotSent,
    Outcome,
    Receipt,
    Rejected,
    Unknown,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.channels.telegram_answers import ServiceError
    from ownerreportd.core.channel import ChannelState
    from ownerreportd.core.outcome import LookResult
    from ownerreportd.core.report import Report

TEXT_MAX: Final = 4096
PRIVATE_PAUSE_S: Final = 1.0
GROUP_PAUSE_S: Final = 3.0
_GENERAL_TOPIC: Final = "1"  # is not to be named: messages without a topic are in it
_TARGET: Final = re.compile(
    r"(-?[1-9][0-9]{0,18}|@[A-Za-z][A-Za-z0-9_]{3,31})(?::topic:([1-9][0-9]{0,18}))?"
)
_TOKEN: Final = re.compile(r"[0-9]+:[A-Za-z0-9_-]+")
_HINT_TARGET: Final = "use a chat id (a group's begins with -), @name, or either with :topic:ID"
_MOVED: Final = "chat"  # the name that the new id is kept under


class TelegramOptions(BaseModel):
    """A Telegram destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_base: str = Field(
        "https://api.telegram.org",
        pattern=r"^https?://[^/\s]+",
        description="the address of the API, for a server of your own",
    )
    silent: bool = Field(default=False, description="deliver without a sound")
    stub: bool = Field(
        default=False,
        description="send a short line first and put the text into it: no report ever comes twice",
    )
    pause_s: float | None = Field(
        None,
        ge=0,
        le=3600,
        description="the pause after each message; 1 in a private chat, 3 in groups and channels",
    )


@dataclass(frozen=True, slots=True)
class _Message:
    """A part's bytes: the text with its entities, and the line that can stand for it."""

    body: dict[str, Any]
    stub: dict[str, Any]

    @classmethod
    def of(cls, payload: bytes) -> _Message:
        value = json.loads(payload)
        return cls({"text": value["text"], "entities": value["entities"]}, value["stub"])


class TelegramChannel:
    """One chat, written to by one bot."""

    Options: ClassVar[type[TelegramOptions]] = TelegramOptions
    capabilities: Capabilities = Capabilities(text_max=TEXT_MAX, text_unit="utf16")
    secret_names: ClassVar[tuple[str, ...]] = ("token",)
    default_in_doubt: ClassVar[str] = "resend"
    keeps_state: ClassVar[bool] = True

    def __init__(
        self,
        *,
        name: str,
        target: str,
        options: TelegramOptions,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
        state: ChannelState | None = None,
    ) -> None:
        token = secrets["token"]
        if not _TOKEN.fullmatch(token):
            raise ConfigError(
                f"the token of destination {name!r} is no Telegram token",
                hint="put the token alone, on one line, into token_file: 123456789:AA...",
            )
        if options.stub:  # an edit that is repeated changes nothing
            self.capabilities = replace(self.capabilities, dedup_window_s=inf)
        chat, _, topic = self.check_target(target).partition(":topic:")
        self._place = Place(chat, topic)
        self._options = options
        self._language = language
        self._state: ChannelState = state or MemoryState()
        self._fresh: dict[str, str] = {}  # what could not be kept on the disk
        self._misplaced = ""
        self._base = f"{options.api_base.rstrip('/')}/bot{token}"
        self._http = HttpClient(
            headers={"Content-Type": "application/json"}, timeout_s=timeout_s, secrets=(token,)
        )
        is_private = not chat.startswith(("-", "@"))
        usual_s = PRIVATE_PAUSE_S if is_private else GROUP_PAUSE_S
        self._pause_s = usual_s if options.pause_s is None else options.pause_s

    @staticmethod
    def check_target(target: str) -> str:
        """`ID`, `@name` in lower case, or either with `:topic:ID`; the general topic is none."""
        match = _TARGET.fullmatch(target.strip())
        if match is None:
            raise ConfigError(f"target {target!r} is none of Telegram's", hint=_HINT_TARGET)
        chat, topic = match[1].lower(), match[2]
        return f"{chat}:topic:{topic}" if topic and topic != _GENERAL_TOPIC else chat

    def render(self, report: Report) -> list[Part]:
        """The report as messages of at most 4,096 UTF-16 units and 100 entities, as JSON."""
        from ownerreportd.render.telegram import render_telegram

        return render_telegram(report, language=self._language)

    # --- send -------------------------------------------------------------------------------

    async def send(self, part: Part) -> Outcome:
        """Send the message; with `stub`, put the text into the line that stands for it."""
        place = replace(self._place, moved_to=await self._kept(_MOVED))
        message = _Message.of(part.payload)
        if not self._options.stub:
            return await self._create(place, message.body, self._pause_s)
        name = f"stub {part.key}"
        chat, _, number = (await self._kept(name)).rpartition("/")
        if number and chat == place.moved_to:  # else it is a line of the group before its move
            return await self._fill(place, name, number, message.body)
        made = await self._create(place, message.stub, self._pause_s)
        if not isinstance(made, Confirmed):
            return made
        await self._keep(name, made.receipt.id)
        number = made.receipt.id.rpartition("/")[2]
        return await self._fill(place, name, number, message.body)

    async def _create(self, place: Place, body: dict[str, Any], pause_s: float) -> Outcome:
        """`sendMessage`, once."""
        form = {
            "chat_id": place.chat_id,
            **body,
            "link_preview_options": {"is_disabled": True},
            "disable_notification": self._options.silent,
        }
        if place.topic:
            form["message_thread_id"] = int(place.topic)
        answer = await self._ask("sendMessage", form)
        if not isinstance(answer, Answer):
            return answer
        error = service_error(answer)
        if error is not None and error.moved_to and answer.status == 400:
            return await self._moved(error)
        return self._outcome(place, body, answer, pause_s)

    async def _fill(self, place: Place, name: str, number: str, body: dict[str, Any]) -> Outcome:
        """`editMessageText`, once."""
        pause_s = 2 * self._pause_s  # one for the line, one for the text
        form = {
            "chat_id": place.chat_id,
            "message_id": int(number),
            **body,
            "link_preview_options": {"is_disabled": True},
        }
        answer = await self._ask("editMessageText", form)
        if not isinstance(answer, Answer):
            # The connection failed, but the line may be there: nothing of the text was taken.
            return answer
        error = service_error(answer)
        if error is not None and error.moved_to and answer.status == 400:
            await self._keep(name, "")
            return await self._moved(error)
        if error is not None and error.is_unchanged:
            return Confirmed(self._receipt(place, number, {}), pause_s)
        if error is not None and error.is_gone:
            await self._keep(name, "")
            return NotSent("the line that stood for the part is gone; the next attempt makes one")
        return self._outcome(place, body, answer, pause_s)

    async def _ask(self, method: str, form: dict[str, Any]) -> Answer | NotSent | InDoubt:
        content = json.dumps(form, ensure_ascii=False).encode("utf-8")
        return await self._http.exchange("POST", f"{self._base}/{method}", content=content)

    async def _moved(self, error: ServiceError) -> Outcome:
        """The group has a new id: nothing was accepted, and the next attempt goes there."""
        await self._keep(_MOVED, error.moved_to)
        return NotSent(f"the group has become the supergroup {error.moved_to}; it is written there")

    def _outcome(
        self, place: Place, body: dict[str, Any], answer: Answer, pause_s: float
    ) -> Outcome:
        if answer.status != 200:
            return refusal(answer, self._http.shown)
        message = result_of(answer)
        number = message.get("message_id") if isinstance(message, dict) else None
        chat = message.get("chat") if isinstance(message, dict) else None
        if not isinstance(number, int) or number <= 0 or not isinstance(chat, dict):
            return InDoubt("the answer to the message was 200, but is not Telegram's message")
        receipt = self._receipt(place, str(number), chat)
        where = place.difference(chat, message.get("message_thread_id"))
        if where:
            return self._elsewhere(where, receipt)
        if essence(str(message.get("text"))) != essence(body["text"]):
            return self._another_text(receipt)
        return Confirmed(receipt, pause_s)

    def _receipt(self, place: Place, number: str, chat: dict[str, Any]) -> Receipt:
        note = place.advice() if place.moved_to else ""
        # A supergroup counts its messages anew.
        unique = f"{place.moved_to}/{number}" if place.moved_to else number
        return Receipt(unique, link=place.link(number, chat), note=note)

    def _elsewhere(self, where: str, receipt: Receipt) -> Rejected:
        # Not in doubt: a repeat would come to the same wrong place, again and again. A probe
        # could not see it either (a private chat does not show its topics), so it is told.
        detail = f"Telegram put the message {receipt.id} {where}"
        self._misplaced = detail
        hint = f"set target to where it is to be ({_HINT_TARGET}); then `retry`, or `skip` it"
        return Rejected("telegram.elsewhere", "config", detail, hint)

    def _another_text(self, receipt: Receipt) -> Rejected:
        # Not in doubt: a repeat would be shown in the same way, again and again.
        detail = f"Telegram shows another text than was sent in message {receipt.id}"
        hint = f"read it{f' at {receipt.link}' if receipt.link else ''}; `skip` the report if it is"
        return Rejected("telegram.text", "report", detail, f"{hint} right, else `retry`")

    # --- what is kept -----------------------------------------------------------------------

    async def _kept(self, name: str) -> str:
        return self._fresh[name] if name in self._fresh else await self._state.get(name)

    async def _keep(self, name: str, value: str) -> None:
        """Keep the value; in memory alone where the disk does not take it."""
        self._fresh.pop(name, None)
        try:
            await self._state.put(name, value)
        except OSError:
            self._fresh[name] = value

    # --- look and check ---------------------------------------------------------------------

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:  # noqa: ARG002 - the protocol's
        """A bot cannot read what it has sent."""
        return Unknown("a Telegram bot cannot read what it has sent")

    async def check(self) -> list[Problem]:
        """Token, chat, topic and rights, as far as they can be told without sending."""
        place = replace(self._place, moved_to=await self._kept(_MOVED))
        found = await TelegramCheck(self._http, self._base, place).problems()
        if not found and self._misplaced:
            found = [Problem("telegram.elsewhere", self._misplaced, _HINT_TARGET)]
        if place.moved_to:
            detail = f"the group {self._place.chat} has become the supergroup {place.moved_to}"
            found.append(Problem("telegram.moved", detail, place.advice(), blocks=False))
        return found

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
