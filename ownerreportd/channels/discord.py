"""Owns delivery to Discord by a bot: one part is one message in a channel or thread.

A message is confirmed only by Discord's own answer with its id, our channel and our text. The
part's key is the message's `nonce` with `enforce_nonce`: within "a few minutes" (documented
without a number; two are taken as sure) a repeat returns the first message instead of making a
second. Later the channel's history is read; it shows no nonce, so author, time and text decide.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
from pydantic import BaseModel, ConfigDict, Field

from ownerreportd import __version__
from ownerreportd.channels.discord_answers import (
    UNKNOWN_MESSAGE,
    essence,
    is_snowflake,
    refusal,
    rest_s,
    service_error,
)
from ownerreportd.channels.discord_reader import DiscordReader, is_part
from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import (
    Confirmed,
    InDoubt,
    Outcome,
    Receipt,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult
    from ownerreportd.core.report import Report

TEXT_MAX = 2000
_SUPPRESS_EMBEDS = 1 << 2
_SUPPRESS_NOTIFICATIONS = 1 << 12
_TARGET = re.compile(r"(?:(channel|thread):)?([0-9]{1,19})")
_USER_AGENT = f"DiscordBot (https://example.org/ownerreportd, {__version__})"


class DiscordOptions(BaseModel):
    """A Discord destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_base: str = Field(
        "https://discord.com/api/v10",
        pattern=r"^https?://[^/\s]+",
        description="the address of the API, for a proxy of your own",
    )
    dedup_window_s: float = Field(
        120.0,
        ge=0,
        le=600,
        description="how long after an attempt Discord surely still knows its nonce",
    )
    silent: bool = Field(default=False, description="deliver without a notification")


class DiscordChannel:
    """One Discord channel or thread, written to by one bot."""

    Options: ClassVar[type[DiscordOptions]] = DiscordOptions
    capabilities: Capabilities = Capabilities(
        text_max=TEXT_MAX, text_unit="code_points", dedup_window_s=120.0, read_back=True
    )
    secret_names: ClassVar[tuple[str, ...]] = ("token",)
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self,
        *,
        name: str,
        target: str,
        options: DiscordOptions,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
    ) -> None:
        token = secrets["token"]
        if not token.isascii() or not token.isprintable() or " " in token or not token:
            raise ConfigError(
                f"the token of destination {name!r} is no Discord token",
                hint="put the token alone, on one line, into token_file",
            )
        self.capabilities = replace(self.capabilities, dedup_window_s=options.dedup_window_s)
        self._place_id = self.check_target(target).rpartition(":")[2]
        self._base = options.api_base.rstrip("/")
        self._language = language
        self._flags = _SUPPRESS_EMBEDS | (_SUPPRESS_NOTIFICATIONS if options.silent else 0)
        self._http = HttpClient(
            headers={"Authorization": f"Bot {token}", "User-Agent": _USER_AGENT},
            timeout_s=timeout_s,
            secrets=(token,),
        )
        self._reader = DiscordReader(self._http, self._base, self._place_id, timeout_s=timeout_s)
        self._rested_at = 0.0

    @staticmethod
    def check_target(target: str) -> str:
        """`channel:ID` or `thread:ID`; a bare id is a channel's."""
        match = _TARGET.fullmatch(target.strip())
        if match is None:
            raise ConfigError(
                f"target {target!r} is none of Discord's",
                hint="use channel:ID, thread:ID or the id alone (Copy Channel ID)",
            )
        return f"{match[1] or 'channel'}:{match[2]}"

    def render(self, report: Report) -> list[Part]:
        """The report as messages of at most 2,000 code points in Discord's Markdown."""
        from ownerreportd.render.dialects import DISCORD
        from ownerreportd.render.parts import render_parts

        return render_parts(
            report,
            text_max=TEXT_MAX,
            unit="code_points",
            dialect=DISCORD,
            language=self._language,
        )

    async def send(self, part: Part) -> Outcome:
        """Create the message, or return the one that an earlier attempt with this key made."""
        wait_s = self._rested_at - anyio.current_time()
        if wait_s > 0:
            return Throttled(wait_s, "Discord's rate limit is used up")
        answer = await self._http.exchange(
            "POST",
            f"{self._base}/channels/{self._place_id}/messages",
            headers={"Content-Type": "application/json"},
            content=self._form(part),
        )
        if not isinstance(answer, Answer):
            return answer
        self._rested_at = anyio.current_time() + rest_s(answer)
        return self._outcome(part, answer)

    def _form(self, part: Part) -> bytes:
        form = {
            "content": part.payload.decode("utf-8"),
            "nonce": part.key,
            "enforce_nonce": True,
            # Left out, a bot's message would notify everyone whom its text happens to name.
            "allowed_mentions": {"parse": []},
            "flags": self._flags,
        }
        return json.dumps(form, ensure_ascii=False).encode("utf-8")

    def _outcome(self, part: Part, answer: Answer) -> Outcome:
        if answer.status == 200:
            return self._confirmed(part, answer.json())
        error = service_error(answer)
        if error is not None and error.code == UNKNOWN_MESSAGE and answer.status < 500:
            # Intended by Discord: the nonce is known, its message is not there any more.
            return Confirmed(Receipt(f"deleted-{part.key}", note="delivered, and deleted since"))
        return refusal(answer, self._http.shown)

    def _confirmed(self, part: Part, message: Any) -> Outcome:
        if not isinstance(message, dict) or not is_snowflake(message.get("id")):
            return InDoubt("the answer to the message was 200, but is not Discord's message")
        if message.get("channel_id") != self._place_id:
            return InDoubt("Discord answered with a message in another channel")
        if not is_part(message, part):
            where = _first_difference(part.payload.decode(), str(message.get("content")))
            return InDoubt(f"Discord answered with another text, from visible character {where} on")
        return Confirmed(self._reader.receipt(message["id"]))

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Read the channel's history; see `DiscordReader.look` for what is claimed when."""
        return await self._reader.look(part, since, known)

    async def check(self) -> list[Problem]:
        """Token, channel and history, as far as they can be told without posting."""
        return await self._reader.check()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _first_difference(ours: str, theirs: str) -> int:
    pairs = zip_longest(essence(ours), essence(theirs))
    return next((n for n, (a, b) in enumerate(pairs, start=1) if a != b), 0)
