"""Owns delivery to Gotify: one part is one message of one application.

Gotify knows no repeat and shows an application no history, so `in_doubt` decides.

Source: gotify/server v3, api/message.go, model/message.go and error/handler.go.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from ownerreportd.channels.http import RETRY_AFTER_S, Answer, HttpClient
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, Receipt, Rejected, Throttled, Unknown
from ownerreportd.render.dialects import MARKDOWN
from ownerreportd.render.parts import render_parts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult, Outcome
    from ownerreportd.core.report import Report

TEXT_MAX = 60_000  # bytes; MySQL, one of Gotify's databases, keeps 65,535 of a message
MARKDOWN_EXTRAS = {"client::display": {"contentType": "text/markdown"}}
HINT_TOKEN = "put the token of an application (Gotify's page Apps) into token_file"
HINT_TARGET = "set target to the server's address as the browser shows it, and look at the proxy"
HINT_REPORT = "look at Gotify's log; `retry`, or `skip` it"
HINT_REACH = "check the network and target; it is tried again by itself"


class GotifyOptions(BaseModel):
    """A Gotify destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    priority: int = Field(5, ge=0, le=10, description="from 4 on a phone makes a sound")


class GotifyChannel:
    """One application of one Gotify server."""

    Options: ClassVar[type[GotifyOptions]] = GotifyOptions
    capabilities: Capabilities = Capabilities(text_max=TEXT_MAX, text_unit="bytes")
    secret_names: ClassVar[tuple[str, ...]] = ("token",)
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self, *, name: str, target: str, options: GotifyOptions,
        secrets: Mapping[str, str], language: str, timeout_s: float,
    ) -> None:  # fmt: skip
        self._url = f"{self.check_target(target)}/message"
        self._priority, self._language = options.priority, language
        headers = {"X-Gotify-Key": secrets["token"], "Content-Type": "application/json"}
        self._http = HttpClient(headers=headers, timeout_s=timeout_s, secrets=(secrets["token"],))

    @staticmethod
    def check_target(target: str) -> str:
        """The server's address, without a slash at its end."""
        address = target.strip().rstrip("/")
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise ConfigError(f"target {target!r} is no address", hint="use https://HOST[/PATH]")
        return address

    def render(self, report: Report) -> list[Part]:
        """The report as Markdown in parts of at most 60,000 bytes."""
        return render_parts(
            report, text_max=TEXT_MAX, unit="bytes", dialect=MARKDOWN, language=self._language
        )

    async def send(self, part: Part) -> Outcome:
        """Create the message; confirmed by its id, and by the text that comes back."""
        text = part.payload.decode("utf-8")
        form = {"message": text, "priority": self._priority, "extras": MARKDOWN_EXTRAS}
        answer = await self._http.exchange("POST", self._url, content=json.dumps(form).encode())
        if not isinstance(answer, Answer):
            return answer  # no connection: NotSent; no answer: InDoubt
        if answer.status != 200:
            return self._refusal(answer)
        made = answer.json()
        if isinstance(made, dict) and type(made.get("id")) is int and made.get("message") == text:
            return Confirmed(Receipt(str(made["id"])))
        return InDoubt("the answer was 200, but is not Gotify's message")

    def _refusal(self, answer: Answer) -> Throttled | InDoubt | Rejected:
        status, body = answer.status, answer.json()
        said = f"Gotify answered {status}"
        if status == 429:  # a proxy's: Gotify has no limit
            wait_s = answer.retry_after_s()
            return Throttled(RETRY_AFTER_S if wait_s is None else wait_s, said)
        if status < 300 or status == 408 or status >= 500:
            return InDoubt(said)
        if not isinstance(body, dict) or not isinstance(body.get("errorDescription"), str):
            return Rejected(f"http.{status}", "config", f"{said}, or something else", HINT_TARGET)
        detail = self._http.shown(f"{said}: {body['errorDescription']}")
        if status in {401, 403}:
            return Rejected(f"gotify.{status}", "config", detail, HINT_TOKEN)
        if status == 404:
            return Rejected(f"gotify.{status}", "config", detail, HINT_TARGET)
        return Rejected(f"gotify.{status}", "report", detail, HINT_REPORT)

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """An application may not read what it has sent."""
        return Unknown("an application of Gotify may not read its messages")

    async def check(self) -> list[Problem]:
        """Ask for a message without text: Gotify looks at the token first, and then refuses it."""
        answer = await self._http.exchange("POST", self._url, content=b"{}")
        if not isinstance(answer, Answer):
            return [Problem("unreachable", answer.detail, HINT_REACH)]
        found = self._refusal(answer)
        if not isinstance(found, Rejected):
            return [Problem("unreachable", found.detail, HINT_REACH)]
        return [] if found.scope == "report" else [Problem(found.code, found.detail, found.hint)]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
