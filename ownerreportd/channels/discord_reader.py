"""Owns what is read from Discord: is the part there, and is the destination ready.

Rules: an empty history proves nothing until the same reader has been shown a message: without the
permission Read Message History Discord answers with an empty list, not with an error. A message
whose text is hidden from the reader proves nothing until its author has shown it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from ownerreportd.channels.discord_answers import (
    NO_HINTS,
    UNKNOWN_MESSAGE,
    is_snowflake,
    snowflake_at,
)
from ownerreportd.channels.discord_message import Message, essences, is_part, message_receipt
from ownerreportd.channels.discord_permissions import (
    HINT_HISTORY,
    no_history,
    permissions,
    problems,
)
from ownerreportd.channels.discord_question import NOT_DISCORD, ask, too_slow
from ownerreportd.channels.failed import Failed
from ownerreportd.channels.http import Answer
from ownerreportd.core.channel import Part, Problem
from ownerreportd.core.outcome import Absent, Found, Receipt, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ownerreportd.channels.http import HttpClient
    from ownerreportd.core.outcome import LookResult

PAGE = 100
PAGES_MAX = 100
CANARIES_MAX = 3
HIDDEN_MAX = 5  # each is a request of its own, and the webhook has one bucket for them
CLOCK_SLACK = timedelta(minutes=2)
THREAD_TYPES = frozenset({10, 11, 12})
_TEXT_TYPES = THREAD_TYPES | {0, 1, 2, 3, 5, 13}
FORUM_TYPES = frozenset({15, 16})
FORUM_WITHOUT_THREAD = 220001
HINT_HIDDEN = "give the webhook to this program alone, or the bot the intent Message Content"
HINT_FORUM = "the webhook's channel is a forum: set target to thread:ID, a thread in it"


class Author(Protocol):
    """Who writes our messages, where that is not the bot that reads them."""

    @property
    def id(self) -> str:
        """The id of its messages' author."""

    async def message(self, message_id: str) -> Message | Failed:
        """One of its own messages with its text, which Discord hides from others.

        A bot without the privileged intent Message Content is shown an empty `content`, also for
        the webhooks that it owns (discord-api-docs, issue 5411).
        """


@dataclass(frozen=True, slots=True)
class _Bot:
    id: str
    clock_off: timedelta


class DiscordReader:
    """Reads one channel or thread. Nothing here changes anything at Discord.

    Without an `author` the messages are the bot's own. `own_hints` are as in `refusal`.
    """

    def __init__(
        self,
        http: HttpClient,
        base: str,
        place_id: str,
        *,
        timeout_s: float,
        author: Author | None = None,
        guild_id: str = "",
        own_hints: Mapping[int, str] = NO_HINTS,
    ) -> None:
        self._http = http
        self._base = base
        self._place_id = place_id
        self._timeout_s = timeout_s
        self._author = author
        self._guild_id = guild_id
        self._own_hints = own_hints

    def receipt(self, message_id: str) -> Receipt:
        """The receipt of a message here, with its address once `check` has learned the server."""
        return message_receipt(message_id, self._place_id, self._guild_id)

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Read the history from `since` on, less two minutes and what the two clocks differ by.

        Of several messages that fit, none of them another part's, the oldest is the part: the
        others repeat it, since any other part with that text has its receipt in `known`.
        Absent is said only when the reader has been shown at least one message.
        """
        with anyio.move_on_after(self._timeout_s):
            return await self._look(part, since, known)
        return too_slow(self._timeout_s).as_unknown()

    async def _look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        if "" in essences(part):
            return Unknown("the part has no visible text to look for")
        bot = await self._bot()
        if isinstance(bot, Failed):
            return bot.as_unknown()
        messages = await self._messages(snowflake_at(since - CLOCK_SLACK - bot.clock_off))
        if isinstance(messages, Failed):
            return messages.as_unknown()
        author_id = self._author.id if self._author else bot.id
        mine = [m for m in messages if _is_by(m, author_id) and m["id"] not in known]
        found = await self._oldest(mine, part)
        if isinstance(found, Failed):
            return found.as_unknown()
        if found is not None:
            return Found(self.receipt(found))
        return await self._absent(known, is_readable=bool(messages))

    async def _oldest(self, messages: list[Message], part: Part) -> str | Failed | None:
        """The id of the oldest message that is the part; hidden ones are asked for one by one."""
        hidden = 0
        for message in sorted(messages, key=lambda m: int(m["id"])):
            seen: Message | Failed = message
            if self._author and message.get("content") == "":
                hidden += 1
                if hidden > HIDDEN_MAX:
                    detail = f"more than {HIDDEN_MAX} hidden messages of the webhook"
                    return Failed("discord.hidden", detail, HINT_HIDDEN, is_transient=False)
                seen = await self._author.message(message["id"])
            if isinstance(seen, Failed):
                return seen
            if is_part(seen, part):
                return str(seen["id"])
        return None

    async def _absent(self, known: frozenset[str], *, is_readable: bool) -> LookResult:
        shown = is_readable or await self._canary(known)
        if isinstance(shown, Failed):
            return shown.as_unknown()
        if not shown:
            return Unknown("Discord showed no message at all: Read Message History may be missing")
        return Absent("the channel's history was read, and the message is not in it")

    async def _canary(self, known: frozenset[str]) -> bool | Failed:
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
        return newest if isinstance(newest, Failed) else bool(newest)

    async def check(self) -> list[Problem]:
        """What is wrong with token, channel or history; the first that hides the others."""
        with anyio.move_on_after(self._timeout_s):
            return await self._check()
        return [too_slow(self._timeout_s).as_problem()]

    async def _check(self) -> list[Problem]:
        bot = await self._bot()
        if isinstance(bot, Failed):
            return [bot.as_problem()]
        answer = await self._get(f"/channels/{self._place_id}")
        if isinstance(answer, Failed):
            return [answer.as_problem()]
        place = answer.json()
        if not isinstance(place, dict) or place.get("id") != self._place_id:
            return [NOT_DISCORD.as_problem()]
        self._guild_id = place["guild_id"] if is_snowflake(place.get("guild_id")) else ""
        found = _problems_for_webhook(place) if self._author else _problems_of(place)
        newest = await self._page("limit=1")
        if isinstance(newest, Failed):
            found.append(newest.as_problem())
        elif not newest and place.get("last_message_id"):
            found.append(no_history("no message can be read, though the channel has had some"))
        if any(each.blocks for each in found):
            return found
        return await self._forbidden(bot.id, place) or found

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
            if isinstance(answer, Failed):  # one that may not be asked forbids nothing
                return [answer.as_problem()] if answer.is_transient else []
            answers.append(answer.json())
        guild, member, *parent = answers
        try:
            bits = permissions(guild, parent[0] if parent else place, bot_id, member["roles"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return []
        return problems(bits, in_thread=in_thread, posts=self._author is None)

    async def _bot(self) -> _Bot | Failed:
        answer = await self._get("/users/@me")
        if isinstance(answer, Failed):
            return answer
        body = answer.json()
        if not isinstance(body, dict) or not is_snowflake(body.get("id")):
            return NOT_DISCORD
        now = datetime.now(UTC)
        return _Bot(body["id"], abs((answer.date() or now) - now))

    async def _messages(self, after: int) -> list[Message] | Failed:
        """Every message after that id; the pages go upwards, each with its newest first."""
        found: list[Message] = []
        for _ in range(PAGES_MAX):
            page = await self._page(f"after={after}&limit={PAGE}")
            if isinstance(page, Failed):
                return page
            found += page
            if len(page) < PAGE:
                return found
            after = max(int(message["id"]) for message in page)
        detail = f"more than {PAGES_MAX * PAGE} messages since the attempt"
        return Failed("discord.history", detail, HINT_HISTORY, is_transient=False)

    async def _page(self, query: str) -> list[Message] | Failed:
        answer = await self._get(f"/channels/{self._place_id}/messages?{query}")
        if isinstance(answer, Failed):
            return answer
        page = answer.json()
        if not isinstance(page, list):
            return NOT_DISCORD
        if not all(isinstance(m, dict) and is_snowflake(m.get("id")) for m in page):
            return NOT_DISCORD
        return page

    async def _get(self, path: str) -> Answer | Failed:
        return await ask(self._http, self._base + path, self._own_hints)


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


def _problems_for_webhook(place: dict[str, Any]) -> list[Problem]:
    """An archived thread is none: a webhook's message opens it again."""
    if place.get("type") not in FORUM_TYPES:
        return []
    detail = "the webhook's channel is a forum, which takes messages in threads only"
    return [Problem(f"discord.{FORUM_WITHOUT_THREAD}", detail, HINT_FORUM)]


def _is_by(message: Message, author_id: str) -> bool:
    author = message.get("author")
    return isinstance(author, dict) and author.get("id") == author_id
