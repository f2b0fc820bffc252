"""Owns delivery to Slack by an app's bot token: one part is one message in a channel or thread.

A message is confirmed only by `ok: true` with its `ts`, in our channel: Slack answers 200 to a
failure too. Slack recognises no repeat, so a lost answer is looked up: the part's key stands in
the message's metadata, which the channel's history gives back.

The answer's text is Slack's own rendering of the Markdown and is not compared; the channel, the
thread and the key are.

Source: docs.slack.dev, reference/methods/chat.postMessage; messaging/message-metadata. CHANNELS'
note that Markdown has no tables there is out of date; see `render.slack`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from ownerreportd import __version__
from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.channels.slack_answers import EVENT_TYPE, accepted, is_ts, key_of, refusal
from ownerreportd.channels.slack_reader import SlackReader
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, Outcome, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult
    from ownerreportd.core.report import Report

# "Limit this field to 12,000 characters", without saying which ones; UTF-16 is the longer count.
TEXT_MAX: Final = 11_500
# "Generally allows posting one message per second per channel"; apis/web-api/rate-limits.
PAUSE_S: Final = 1.0
_ID: Final = r"[CDG][A-Z0-9]{2,20}"
_CHANNEL: Final = re.compile(rf"(?:channel:)?({_ID})")
_THREAD: Final = re.compile(rf"thread:({_ID}):([0-9]{{1,12}}\.[0-9]{{6}})")


class SlackOptions(BaseModel):
    """A Slack destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_base: str = Field(
        "https://slack.com/api",
        pattern=r"^https?://[^/\s]+",
        description="the address of the API, for a proxy of your own",
    )


class SlackChannel:
    """One Slack channel, private channel, direct message or thread, written to by one app."""

    Options: ClassVar[type[SlackOptions]] = SlackOptions
    capabilities: Capabilities = Capabilities(text_max=TEXT_MAX, text_unit="utf16", read_back=True)
    secret_names: ClassVar[tuple[str, ...]] = ("token",)
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self,
        *,
        name: str,
        target: str,
        options: SlackOptions,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
    ) -> None:
        token = secrets["token"]
        whole = token.isascii() and token.isprintable() and " " not in token
        if not whole or not token.startswith("xox"):
            raise ConfigError(
                f"the token of destination {name!r} is no Slack token",
                hint="put the bot token alone, xoxb-..., on one line, into token_file",
            )
        self._channel_id, _, self._thread_ts = (
            self.check_target(target).partition(":")[2].partition(":")
        )
        self._base = options.api_base.rstrip("/")
        self._language = language
        self._http = HttpClient(
            headers={
                "Authorization": f"Bearer {token}",
                "User-Agent": f"ownerreportd/{__version__}",
            },
            timeout_s=timeout_s,
            secrets=(token,),
        )
        self._reader = SlackReader(
            self._http, self._base, self._channel_id, self._thread_ts, timeout_s=timeout_s
        )

    @staticmethod
    def check_target(target: str) -> str:
        """`channel:ID` or `thread:ID:TS`; a bare id is a channel's."""
        given = target.strip()
        if match := _CHANNEL.fullmatch(given):
            return f"channel:{match[1]}"
        if match := _THREAD.fullmatch(given):
            return f"thread:{match[1]}:{match[2]}"
        raise ConfigError(
            f"target {target!r} is none of Slack's",
            hint="use channel:C0123456789, the id alone (C..., G... or D...), or "
            "thread:C0123456789:1700000000.000100; not the channel's name",
        )

    def render(self, report: Report) -> list[Part]:
        """The report as messages of at most 11,500 UTF-16 units in Slack's Markdown."""
        from ownerreportd.render.slack import render_slack

        return render_slack(report, text_max=TEXT_MAX, language=self._language)

    async def send(self, part: Part) -> Outcome:
        """Post the message."""
        answer = await self._http.exchange(
            "POST",
            f"{self._base}/chat.postMessage",
            headers={"Content-Type": "application/json; charset=utf-8"},
            content=self._form(part),
        )
        if not isinstance(answer, Answer):
            return answer
        body = accepted(answer)
        return refusal(answer, self._http.shown) if body is None else self._confirmed(part, body)

    def _form(self, part: Part) -> bytes:
        form = {
            "channel": self._channel_id,
            "markdown_text": part.payload.decode("utf-8"),
            "metadata": {"event_type": EVENT_TYPE, "event_payload": {"key": part.key}},
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if self._thread_ts:
            form["thread_ts"] = self._thread_ts
        return json.dumps(form, ensure_ascii=False).encode("utf-8")

    def _confirmed(self, part: Part, body: dict[str, Any]) -> Outcome:
        ts, message = body.get("ts"), body.get("message")
        if not isinstance(ts, str) or not is_ts(ts):
            return InDoubt("the answer to the message was ok, but is not Slack's message")
        if body.get("channel") != self._channel_id:
            return InDoubt("Slack answered with a message in another channel")
        if isinstance(message, dict):
            if key_of(message) not in {"", part.key}:
                return InDoubt("Slack answered with another message")
            if self._thread_ts and message.get("thread_ts") not in {None, self._thread_ts}:
                detail = "Slack put the message into another thread"
                hint = "set target to the thread's first message, then `retry` or `skip`"
                return Rejected("slack.thread", "config", detail, hint)
        return Confirmed(self._reader.receipt(ts), pause_s=PAUSE_S)

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Read the channel's history; see `SlackReader.look` for what is claimed when."""
        return await self._reader.look(part, since, known)

    async def check(self) -> list[Problem]:
        """Token, scopes, channel and history, as far as they can be told without posting."""
        return await self._reader.check()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
