"""Owns delivery to Discord by a bot: one part is one message in a channel or thread.

A message is confirmed only by Discord's own answer with its id, our channel and our text. The
part's key is the message's `nonce` with `enforce_nonce`: within "a few minutes" (documented
without a number; two are taken as sure) a repeat returns the first message instead of making a
second. Later the channel's history is read; it shows no nonce, so author, time and text decide.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ownerreportd.channels.discord_answers import UNKNOWN_MESSAGE, refusal, rest_s, service_error
from ownerreportd.channels.discord_message import (
    TEXT_MAX,
    USER_AGENT,
    MessageMaker,
    MessageOptions,
    checked_token,
    made_message,
    rendered,
)
from ownerreportd.channels.discord_reader import DiscordReader
from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, Outcome, Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult
    from ownerreportd.core.report import Report

_TARGET = re.compile(r"(?:(channel|thread):)?([0-9]{1,19})")


class DiscordOptions(MessageOptions):
    """A Discord destination's own keys."""

    dedup_window_s: float = Field(
        120.0,
        ge=0,
        le=600,
        description="how long after an attempt Discord surely still knows its nonce",
    )


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
        token = checked_token(secrets["token"], name, "token_file")
        self.capabilities = replace(self.capabilities, dedup_window_s=options.dedup_window_s)
        self._place_id = self.check_target(target).rpartition(":")[2]
        self._language = language
        self._http = HttpClient(
            headers={"Authorization": f"Bot {token}", "User-Agent": USER_AGENT},
            timeout_s=timeout_s,
            secrets=(token,),
        )
        base = options.api_base.rstrip("/")
        self._messages_url = f"{base}/channels/{self._place_id}/messages"
        self._maker = MessageMaker(self._http, options)
        self._reader = DiscordReader(self._http, base, self._place_id, timeout_s=timeout_s)

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
        return rendered(report, self._language)

    async def send(self, part: Part) -> Outcome:
        """Create the message, or return the one that an earlier attempt with this key made."""
        answer = await self._maker.make(
            self._messages_url, part, nonce=part.key, enforce_nonce=True
        )
        return self._outcome(part, answer) if isinstance(answer, Answer) else answer

    def _outcome(self, part: Part, answer: Answer) -> Outcome:
        if answer.status == 200:
            message = made_message(answer, part, self._place_id)
            if isinstance(message, InDoubt):
                return message
            return Confirmed(self._reader.receipt(message["id"]), pause_s=rest_s(answer))
        error = service_error(answer)
        if error is not None and error.code == UNKNOWN_MESSAGE and answer.status < 500:
            # Intended by Discord: the nonce is known, its message is not there any more.
            receipt = Receipt(f"deleted-{part.key}", note="delivered, and deleted since")
            return Confirmed(receipt, pause_s=rest_s(answer))
        return refusal(answer, self._http.shown)

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Read the channel's history; see `DiscordReader.look` for what is claimed when."""
        return await self._reader.look(part, since, known)

    async def check(self) -> list[Problem]:
        """Token, channel and history, as far as they can be told without posting."""
        return await self._reader.check()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
