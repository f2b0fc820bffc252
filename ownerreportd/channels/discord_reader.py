"""Owns what is read from Discord: is the part there, and is the destination ready.

Rule: an empty history proves nothing until the same reader has been shown a message. Without the
permission Read Message History Discord answers with an empty list, not with an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from ownerreportd.channels.discord_answers import (
    UNKNOWN_MESSAGE,
    Refusal,
    essence,
    is_snowflake,
    refusal,
    snowflake_at,
)
from ownerreportd.channels.discord_permissions import HINT_HISTORY, permissions, problems
from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.core.channel import Part, Problem
from ownerreportd.core.outcome import Absent, Found, Receipt, Rejected, Throttled, Unknown

if TYPE_CHECKING:
    from ownerreportd.core.outcome import LookResult

PAGE = 100
PAGES_MAX = 100
CANARIES_MAX = 3
CLOCK_SLACK = timedelta(minutes=2)
THREAD_TYPES = frozenset({10, 11, 12})
_TEXT_TYPES = THREAD_TYPES | {0, 1, 2, 3, 5, 13}
_HINT_UNREACHABLE = "check the network, the proxy and api_base; it is tried again by itself"

_Message: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Failed:
    """A read that gave nothing. `is_transient`: the same again may work later."""

    code: str
    detail: str
    hint: str
    is_transient: bool
    retry_after_s: float = 0.0

    def as_unknown(self) -> Unknown:
        return Unknown(self.detail, transient=self.is_transient, retry_after_s=self.retry_after_s)

    def as_problem(self) -> Problem:
        return Problem(self.code, self.detail, self.hint)


@dataclass(frozen=True, slots=True)
class _Bot:
    id: str
    clock_off: timedelta


class DiscordReader:
    """Reads one channel or thread. Nothing here changes anything at Discord."""

    def __init__(self, http: HttpClient, base: str, place_id: str, *, timeout_s: float) -> None:
        self._http = http
        self._base = base
        self._place_id = place_id
        self._timeout_s = timeout_s
        self._guild_id = ""

    def receipt(self, message_id: str) -> Receipt:
        """The receipt of a message here, with its address once `check` has learned the server."""
        if not self._guild_id:
            return Receipt(message_id)
        place = f"{self._guild_id}/{self._place_id}"
        return Receipt(message_id, link=f"https://discord.com/channels/{place}/{message_id}")

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Read the history from `since` on, less two minutes and what the two clocks differ by.

        Of several messages that fit, none of them another part's, the oldest is the part: the
        others repeat it, since any other part with that text has its receipt in `known`.
        Absent is said only when the reader has been shown at least one message.
        """
        with anyio.move_on_after(self._timeout_s):
            return await self._look(part, since, known)
        return Unknown(_too_slow(self._timeout_s), transient=True)

    async def _look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        if "" in _essences(part):
            return Unknown("the part has no visible text to look for")
        bot = await self._bot()
        if isinstance(bot, _Failed):
            return bot.as_unknown()
        messages = await self._messages(snowflake_at(since - CLOCK_SLACK - bot.clock_off))
        if isinstance(messages, _Failed):
            return messages.as_unknown()
        fitting = [m["id"] for m in messages if _is_by(m, bot.id) and is_part(m, part)]
        fitting = [message_id for message_id in fitting if message_id not in known]
        if fitting:
            return Found(self.receipt(min(fitting, key=int)))
        return await self._absent(known, is_readable=bool(messages))

    async def _absent(self, known: frozenset[str], *, is_readable: bool) -> LookResult:
        shown = is_readable or await self._canary(known)
        if isinstance(shown, _Failed):
            return shown.as_unknown()
        if not shown:
            return Unknown("Discord showed no message at all: Read Message History may be missing")
        return Absent("the channel's history was read, and the message is not in it")

    async def _canary(self, known: frozenset[str]) -> bool | _Failed:
        """Whether a message that must be there is shown: one of ours, else anybody's newest."""
        ours = sorted((i for i in known if is_snowflake(i)), key=int, reverse=True)
        for message_id in ours[:CANARIES_MAX]:
            answer = await self._get(f"/channels/{self._place_id}/messages/{message_id}")
            if isinstance(answer, Answer):
                return True
            # Deleted since, or a message in another channel: the next one may serve.
            if answer.code != f"discord.{UNKNOWN_MESSAGE}":
                return answer
        newest = await self._page("limit=1")
        return newest if isinstance(newest, _Failed) else bool(newest)

    async def check(self) -> list[Problem]:
        """What is wrong with token, channel or history; the first that hides the others."""
        with anyio.move_on_after(self._timeout_s):
            return await self._check()
        return [Problem("unreachable", _too_slow(self._timeout_s), _HINT_UNREACHABLE)]

    async def _check(self) -> list[Problem]:
        bot = await self._bot()
        if isinstance(bot, _Failed):
            return [bot.as_problem()]
        answer = await self._get(f"/channels/{self._place_id}")
        if isinstance(answer, _Failed):
            return [answer.as_problem()]
        place = answer.json()
        if not isinstance(place, dict) or place.get("id") != self._place_id:
            return [_NOT_DISCORD.as_problem()]
        self._guild_id = place["guild_id"] if is_snowflake(place.get("guild_id")) else ""
        found = _problems_of(place)
        newest = await self._page("limit=1")
        if isinstance(newest, _Failed):
            found.append(newest.as_problem())
        elif not newest and place.get("last_message_id"):
            detail = "no message can be read, though the channel has had some"
            found.append(Problem("discord.history", detail, HINT_HISTORY))
        return found or await self._forbidden(bot.id, place)

    async def _forbidden(self, bot_id: str, place: dict[str, Any]) -> list[Problem]:
        """What the bot's roles keep it from; a direct message has none."""
        if not self._guild_id:
            return []
        in_thread = place.get("type") in THREAD_TYPES
        asked = [f"/guilds/{self._guild_id}", f"/guilds/{self._guild_id}/members/{bot_id}"]
        if in_thread and is_snowflake(place.get("parent_id")):
            asked.append(f"/channels/{place['parent_id']}")
        answers = []
        for path in asked:
            answer = await self._get(path)
            if isinstance(answer, _Failed):  # one that may not be asked forbids nothing
                return [answer.as_problem()] if answer.is_transient else []
            answers.append(answer.json())
        guild, member, *parent = answers
        try:
            bits = permissions(guild, parent[0] if parent else place, bot_id, member["roles"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return []
        return problems(bits, in_thread=in_thread)

    async def _bot(self) -> _Bot | _Failed:
        answer = await self._get("/users/@me")
        if isinstance(answer, _Failed):
            return answer
        body = answer.json()
        if not isinstance(body, dict) or not is_snowflake(body.get("id")):
            return _NOT_DISCORD
        now = datetime.now(UTC)
        return _Bot(body["id"], abs((answer.date() or now) - now))

    async def _messages(self, after: int) -> list[_Message] | _Failed:
        """Every message after that id; the pages go upwards, each with its newest first."""
        found: list[_Message] = []
        for _ in range(PAGES_MAX):
            page = await self._page(f"after={after}&limit={PAGE}")
            if isinstance(page, _Failed):
                return page
            found += page
            if len(page) < PAGE:
                return found
            after = max(int(message["id"]) for message in page)
        detail = f"more than {PAGES_MAX * PAGE} messages since the attempt"
        return _Failed("discord.history", detail, HINT_HISTORY, is_transient=False)

    async def _page(self, query: str) -> list[_Message] | _Failed:
        answer = await self._get(f"/channels/{self._place_id}/messages?{query}")
        if isinstance(answer, _Failed):
            return answer
        page = answer.json()
        if not isinstance(page, list):
            return _NOT_DISCORD
        if not all(isinstance(m, dict) and is_snowflake(m.get("id")) for m in page):
            return _NOT_DISCORD
        return page

    async def _get(self, path: str) -> Answer | _Failed:
        answer = await self._http.exchange("GET", self._base + path)
        if not isinstance(answer, Answer):
            return _failed(answer)
        return answer if answer.status == 200 else _failed(refusal(answer, self._http.shown))


_NOT_DISCORD = _Failed(
    "not_discord",
    "the answer was 200, but not what Discord answers",
    "check api_base and the proxy between here and Discord",
    # A portal that wants a log-in answers like this, and goes away.
    is_transient=True,
)


def _too_slow(timeout_s: float) -> str:
    return f"Discord did not answer everything within {timeout_s:g} s"


def _failed(outcome: Refusal) -> _Failed:
    if isinstance(outcome, Rejected):
        return _Failed(outcome.code, outcome.detail, outcome.hint, is_transient=False)
    wait_s = outcome.retry_after_s if isinstance(outcome, Throttled) else 0.0
    return _Failed(
        "unreachable",
        outcome.detail,
        _HINT_UNREACHABLE,
        is_transient=True,
        retry_after_s=wait_s,
    )


def _problems_of(place: dict[str, Any]) -> list[Problem]:
    if place.get("type") not in _TEXT_TYPES:
        detail = f"the target is a channel of type {place.get('type')}, which takes no messages"
        return [Problem("discord.50008", detail, "set target to a text channel or a thread")]
    state = place.get("thread_metadata")
    if not isinstance(state, dict):
        return []
    hint = "open the thread again, or set target to another channel"
    if state.get("locked"):
        return [Problem("discord.160005", "the thread is locked", hint)]
    if state.get("archived"):
        return [Problem("discord.50083", "the thread is archived", hint)]
    return []


def _is_by(message: _Message, author_id: str) -> bool:
    author = message.get("author")
    return isinstance(author, dict) and author.get("id") == author_id


def _essences(part: Part) -> set[str]:
    return {essence(form.decode("utf-8", "replace")) for form in (part.plain, part.marked)}


def is_part(message: _Message, part: Part) -> bool:
    """Whether the message's text is the part's, in either form."""
    content = message.get("content")
    return isinstance(content, str) and essence(content) in _essences(part)
