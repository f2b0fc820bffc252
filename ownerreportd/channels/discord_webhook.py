"""Owns delivery to Discord by a webhook: one part is one message in the webhook's channel.

Rules: the webhook's address is the secret, and is in no text. `wait=true` always: without it "a
message that is not saved does not return an error". There is no nonce, so a repeat is a second
message; whether a lost one arrived is read in the channel's history with a bot's token, where one
is given, and is otherwise decided by `in_doubt`.

Sources: Discord's pages "Webhook Resource", "Rate Limits", and "Gateway", on message content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio
from pydantic import Field, field_validator

from ownerreportd.channels.discord_answers import is_snowflake, refusal, rest_s
from ownerreportd.channels.discord_message import (
    TEXT_MAX,
    USER_AGENT,
    Message,
    MessageMaker,
    MessageOptions,
    checked_token,
    made_message,
    message_receipt,
    rendered,
)
from ownerreportd.channels.discord_question import NOT_DISCORD, ask, too_slow
from ownerreportd.channels.discord_reader import (
    FORUM_WITHOUT_THREAD,
    HINT_FORUM,
    DiscordReader,
)
from ownerreportd.channels.failed import Failed
from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, Outcome, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult
    from ownerreportd.core.report import Report

OWN_CHANNEL: Final = "channel"
_TARGET: Final = re.compile(r"thread:[0-9]{1,19}")
_BASES: Final = r"https://(?:(?:ptb|canary)\.)?discord(?:app)?\.com/api(?:/v[0-9]{1,2})?"
_WEBHOOK: Final = r"/webhooks/([0-9]{1,20})/([A-Za-z0-9_-]{1,200})"
_HINT_URL: Final = (
    "copy it again (the channel's settings, Integrations, Webhooks, Copy Webhook URL), and put it "
    "alone, on one line, into url_file"
)
_HINT_GONE: Final = (
    "the webhook was deleted; make a new one (the channel's settings, Integrations, Webhooks) and "
    "put its URL into url_file"
)
_HINTS: Final[dict[int, str]] = {
    401: _HINT_URL,
    403: _HINT_URL,
    404: _HINT_GONE,
    10003: "check the id in target: it must be a thread in the webhook's own channel",
    10015: _HINT_GONE,
    50027: _HINT_URL,
    FORUM_WITHOUT_THREAD: HINT_FORUM,
}
_HINT_BOT_LOGIN: Final = (
    "put the bot's current token into bot_token_file (Developer Portal, Bot, Reset Token)"
)
_HINT_BOT_ACCESS: Final = "invite the bot to the webhook's server, and give it View Channel there"
_BOT_HINTS: Final[dict[int, str]] = {
    401: _HINT_BOT_LOGIN,
    403: _HINT_BOT_ACCESS,
    10003: "check the id in target, and that the bot was invited to the webhook's server",
    40001: _HINT_BOT_LOGIN,
    50001: _HINT_BOT_ACCESS,
    50013: _HINT_BOT_ACCESS,
    50014: _HINT_BOT_LOGIN,
}


class DiscordWebhookOptions(MessageOptions):
    """A Discord webhook destination's own keys."""

    username: str = Field(
        "", max_length=80, description="the name that messages bear; empty for the webhook's own"
    )
    avatar_url: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+\S*)?$",
        description="the picture that messages bear; empty for the webhook's own",
    )

    @field_validator("username")
    @classmethod
    def _is_allowed(cls, name: str) -> str:
        if any(word in name.lower() for word in ("clyde", "discord")):
            raise ValueError('Discord takes no name with "clyde" or "discord" in it')
        return name

    @property
    def fields(self) -> dict[str, str]:
        """What goes beside each message's text."""
        given = {"username": self.username, "avatar_url": self.avatar_url}
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class _Webhook:
    """One webhook, and the thread that its messages go to; empty for its own channel."""

    http: HttpClient
    id: str
    url: str
    thread_id: str

    async def whole(self) -> Message | Failed:
        """Its name and place, as Discord has it."""
        found = await self._asked(self.url)
        if isinstance(found, Failed):
            return found
        is_ours = found.get("id") == self.id and is_snowflake(found.get("channel_id"))
        return found if is_ours else NOT_DISCORD

    async def message(self, message_id: str) -> Message | Failed:
        """One of its messages, with the text."""
        where = f"?thread_id={self.thread_id}" if self.thread_id else ""
        found = await self._asked(f"{self.url}/messages/{message_id}{where}")
        return found if isinstance(found, Failed) or found.get("id") == message_id else NOT_DISCORD

    async def _asked(self, url: str) -> Message | Failed:
        answer = await ask(self.http, url, _HINTS)
        if isinstance(answer, Failed):
            return answer
        found: Any = answer.json()
        return found if isinstance(found, dict) else NOT_DISCORD


class DiscordWebhookChannel:
    """One webhook of Discord: its own channel, or one thread in it."""

    Options: ClassVar[type[DiscordWebhookOptions]] = DiscordWebhookOptions
    capabilities: Capabilities = Capabilities(text_max=TEXT_MAX, text_unit="code_points")
    secret_names: ClassVar[tuple[str, ...]] = ("url",)
    optional_secret_names: ClassVar[tuple[str, ...]] = ("bot_token",)
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self,
        *,
        name: str,
        target: str,
        options: DiscordWebhookOptions,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
    ) -> None:
        self._base = options.api_base.rstrip("/")
        webhook_id, key = _parsed(secrets["url"], self._base, name)
        self._options = options
        self._language = language
        self._timeout_s = timeout_s
        self._channel_id = self._guild_id = ""
        hidden = (secrets["url"].strip(), key, secrets.get("bot_token", ""))
        http = HttpClient(headers={"User-Agent": USER_AGENT}, timeout_s=timeout_s, secrets=hidden)
        thread_id = self.check_target(target).partition(":")[2]
        url = f"{self._base}/webhooks/{webhook_id}/{key}"
        self._webhook = _Webhook(http, webhook_id, url, thread_id)
        self._maker = MessageMaker(http, options)
        self._bot: HttpClient | None = None
        if "bot_token" in secrets:
            token = checked_token(secrets["bot_token"], name, "bot_token_file")
            headers = {"Authorization": f"Bot {token}", "User-Agent": USER_AGENT}
            self._bot = HttpClient(headers=headers, timeout_s=timeout_s, secrets=hidden)
            self.capabilities = replace(self.capabilities, read_back=True)

    @staticmethod
    def check_target(target: str) -> str:
        """`channel` (the webhook's own, and may be left out), or `thread:ID`."""
        given = target.strip() or OWN_CHANNEL
        if given != OWN_CHANNEL and _TARGET.fullmatch(given) is None:
            raise ConfigError(
                f"target {target!r} is none of a Discord webhook's",
                hint="use thread:ID for a thread in the webhook's channel, or leave target out",
            )
        return given

    def render(self, report: Report) -> list[Part]:
        """The report as messages of at most 2,000 code points in Discord's Markdown."""
        return rendered(report, self._language)

    async def send(self, part: Part) -> Outcome:
        """Create the message and wait until Discord has saved it."""
        thread = f"&thread_id={self._webhook.thread_id}" if self._webhook.thread_id else ""
        answer = await self._maker.make(
            f"{self._webhook.url}?wait=true{thread}", part, **self._options.fields
        )
        return self._outcome(part, answer) if isinstance(answer, Answer) else answer

    def _outcome(self, part: Part, answer: Answer) -> Outcome:
        if answer.status != 200:
            return refusal(answer, self._webhook.http.shown, _HINTS)
        message = made_message(answer, part, self._place_id)
        if isinstance(message, InDoubt):
            # Should the webhook have been moved, the next answer must not be measured by this.
            self._channel_id = ""
            return message
        if message.get("webhook_id", self._webhook.id) != self._webhook.id:
            return InDoubt("Discord answered with a message of another sender")
        receipt = message_receipt(message["id"], self._place_id, self._guild_id)
        return Confirmed(receipt, pause_s=rest_s(answer))

    @property
    def _place_id(self) -> str:
        """Where the messages are, as far as it is known."""
        return self._webhook.thread_id or self._channel_id

    async def _learn(self) -> Failed | None:
        """Ask where the webhook's channel is."""
        found = await self._webhook.whole()
        if isinstance(found, Failed):
            return found
        self._channel_id = found["channel_id"]
        self._guild_id = found["guild_id"] if is_snowflake(found.get("guild_id")) else ""
        return None

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Read the channel's history as the bot; see `DiscordReader.look`."""
        if self._bot is None:
            return Unknown("without bot_token_file nobody can ask what a webhook has posted")
        with anyio.move_on_after(self._timeout_s):
            before = self._place_id
            failed = await self._learn()
            if failed is not None:
                return failed.as_unknown()
            if before and before != self._place_id:
                return Unknown("the webhook was moved to another channel since the attempt")
            return await self._reader(self._bot).look(part, since, known)
        return too_slow(self._timeout_s).as_unknown()

    async def check(self) -> list[Problem]:
        """Whether the webhook is there; with a bot also thread, and whether history is shown."""
        with anyio.move_on_after(self._timeout_s):
            failed = await self._learn()
            if failed is not None:
                return [failed.as_problem()]
            found = await self._reader(self._bot).check() if self._bot else []
            return [_without_the_bot(each) for each in found]
        return [too_slow(self._timeout_s).as_problem()]

    def _reader(self, bot: HttpClient) -> DiscordReader:
        return DiscordReader(
            bot,
            self._base,
            self._place_id,
            timeout_s=self._timeout_s,
            author=self._webhook,
            guild_id=self._guild_id,
            own_hints=_BOT_HINTS,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._webhook.http.aclose()
        if self._bot is not None:
            await self._bot.aclose()


def _without_the_bot(problem: Problem) -> Problem:
    """What the bot may not see stops nobody from posting; what kind of channel it is, does."""
    return replace(problem, blocks=problem.code == f"discord.{FORUM_WITHOUT_THREAD}")


def _parsed(url: str, base: str, destination: str) -> tuple[str, str]:
    """The webhook's id and token out of its address at Discord, or below `api_base`.

    An address without a version means one that is deprecated, so all are put behind `api_base`.

    Raises:
        ConfigError: if it is none; it is not shown.
    """
    match = re.fullmatch(f"(?:{_BASES}|{re.escape(base)}){_WEBHOOK}", url.strip())
    if match is None:
        raise ConfigError(
            f"the url of destination {destination!r} is no Discord webhook's", hint=_HINT_URL
        )
    return match[1], match[2]
