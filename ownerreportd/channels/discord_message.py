"""Owns a part as a Discord message, whether a bot or a webhook makes it.

Rules: nobody is mentioned, whatever the text says; a message counts as ours only with an id, in
our channel and with our text; a bucket that is used up is left alone.
"""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
from pydantic import BaseModel, ConfigDict, Field

from ownerreportd import __version__
from ownerreportd.channels.discord_answers import essence, is_snowflake, rest_s
from ownerreportd.channels.http import Answer
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import InDoubt, NotSent, Receipt, Throttled

if TYPE_CHECKING:
    from ownerreportd.channels.http import HttpClient
    from ownerreportd.core.channel import Part
    from ownerreportd.core.report import Report

TEXT_MAX: Final = 2000
USER_AGENT: Final = f"DiscordBot (https://example.org/ownerreportd, {__version__})"
_SUPPRESS_EMBEDS: Final = 1 << 2
_SUPPRESS_NOTIFICATIONS: Final = 1 << 12

Message: TypeAlias = dict[str, Any]


class MessageOptions(BaseModel):
    """The keys that every Discord destination has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_base: str = Field(
        "https://discord.com/api/v10",
        pattern=r"^https?://[^/\s]+",
        description="the address of the API, for a proxy of your own",
    )
    silent: bool = Field(default=False, description="deliver without a notification")


def checked_token(token: str, destination: str, file: str) -> str:
    """The bot's token, if it can be one.

    Raises:
        ConfigError: if not; it is not shown.
    """
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise ConfigError(
            f"the token of destination {destination!r} is no Discord token",
            hint=f"put the token alone, on one line, into {file}",
        )
    return token


def rendered(report: Report, language: str) -> list[Part]:
    """The report as messages of at most 2,000 code points in Discord's Markdown."""
    from ownerreportd.render.dialects import DISCORD
    from ownerreportd.render.parts import render_parts

    return render_parts(
        report, text_max=TEXT_MAX, unit="code_points", dialect=DISCORD, language=language
    )


class MessageMaker:
    """Asks Discord to make messages. One bucket of Discord's: one address, one token."""

    def __init__(self, http: HttpClient, options: MessageOptions) -> None:
        self._http = http
        self._flags = _SUPPRESS_EMBEDS | (_SUPPRESS_NOTIFICATIONS if options.silent else 0)
        self._rested_at = 0.0

    async def make(
        self, url: str, part: Part, **fields: object
    ) -> Answer | Throttled | NotSent | InDoubt:
        """POST the part's text, with these fields beside it; Throttled if it is too early."""
        wait_s = self._rested_at - anyio.current_time()
        if wait_s > 0:
            return Throttled(wait_s, "Discord's rate limit is used up")
        form = {
            "content": part.payload.decode("utf-8"),
            # Left out, a message would notify everyone whom its text happens to name.
            "allowed_mentions": {"parse": []},
            "flags": self._flags,
            **fields,
        }
        answer = await self._http.exchange(
            "POST",
            url,
            headers={"Content-Type": "application/json"},
            content=json.dumps(form, ensure_ascii=False).encode("utf-8"),
        )
        if isinstance(answer, Answer):
            self._rested_at = anyio.current_time() + rest_s(answer)
        return answer


def made_message(answer: Answer, part: Part, place_id: str) -> Message | InDoubt:
    """The message of a 200, once it is proven to be this part in that channel.

    An empty `place_id` is a channel that is not known yet.
    """
    message = answer.json()
    if not isinstance(message, dict) or not is_snowflake(message.get("id")):
        return InDoubt("the answer to the message was 200, but is not Discord's message")
    if message.get("channel_id") != (place_id or message.get("channel_id")):
        return InDoubt("Discord answered with a message in another channel")
    if not is_part(message, part):
        where = _first_difference(part.payload.decode(), str(message.get("content")))
        return InDoubt(f"Discord answered with another text, from visible character {where} on")
    return message


def essences(part: Part) -> set[str]:
    """What can be seen of the part, in both forms."""
    return {essence(form.decode("utf-8", "replace")) for form in (part.plain, part.marked)}


def is_part(message: Message, part: Part) -> bool:
    """Whether the message's text is the part's, in either form."""
    content = message.get("content")
    return isinstance(content, str) and essence(content) in essences(part)


def message_receipt(message_id: str, place_id: str, guild_id: str) -> Receipt:
    """The receipt of a message, with its address where the server is known."""
    if not guild_id:
        return Receipt(message_id)
    return Receipt(
        message_id, link=f"https://discord.com/channels/{guild_id}/{place_id}/{message_id}"
    )


def _first_difference(ours: str, theirs: str) -> int:
    pairs = zip_longest(essence(ours), essence(theirs))
    return next((n for n, (a, b) in enumerate(pairs, start=1) if a != b), 0)
