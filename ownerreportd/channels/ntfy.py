"""Owns delivery to a topic of an ntfy server: one part is one message, never an attachment.

A message is confirmed only by ntfy's own answer with its id, our topic and our text. A server from
2.16 on also gets the part's key as sequence id and says it back: apps that know of it show a
repeat in the place of the first, others show both, and the cache keeps both. So no window is
claimed, and a lost answer is looked up in the cache before anything is repeated.

The text is the body, not a field of JSON: ntfy takes JSON of at most twice the message's limit,
which a text full of quotation marks and line breaks exceeds once it is escaped.

Source: binwiederhier/ntfy, docs/publish.md, docs/releases.md (2.16), server/server.go.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote, urlencode, urlsplit

import anyio
from pydantic import BaseModel, ConfigDict, Field

from ownerreportd import __version__
from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.channels.ntfy_answers import (
    HINT_SIZE,
    REFILL_S,
    REQUESTS,
    has_text_of,
    is_message,
    refusal,
    service_error,
)
from ownerreportd.channels.ntfy_reader import NtfyReader
from ownerreportd.channels.state import MemoryState
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, Outcome, Receipt, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.channel import ChannelState
    from ownerreportd.core.outcome import LookResult
    from ownerreportd.core.report import Report

TEXT_MAX: Final = 4_000  # bytes; from 4,097 on it would be an attachment
_TOPIC: Final = re.compile(r"[-_A-Za-z0-9]{1,64}")
_PUBLIC: Final = "https://ntfy.sh"
_FULL_AT: Final = "requests full at"  # seconds of UTC
_HINT_TARGET: Final = (
    "use https://HOST/TOPIC, or TOPIC alone for ntfy.sh; a topic is letters, digits, - and _, at "
    "most 64"
)


class NtfyOptions(BaseModel):
    """An ntfy destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(
        "", max_length=200, description="the title of every message; empty: the topic's name"
    )
    priority: int = Field(3, ge=1, le=5, description="1 (min) to 5 (max); 3 is ntfy's default")
    tags: tuple[str, ...] = Field(
        (), max_length=10, description="tags of every message; names of emojis become emojis"
    )
    markdown: bool = Field(
        default=False,
        description="send Markdown, which only the web app shows; the phones show its marks",
    )
    burst: int = Field(
        30,
        ge=1,
        le=1_000_000,
        description="requests at once before a pause; half of the server's own default",
    )
    refill_s: float = Field(
        REFILL_S, ge=0, le=3600, description="then the seconds from one message to the next"
    )


class NtfyChannel:
    """One topic of one ntfy server."""

    Options: ClassVar[type[NtfyOptions]] = NtfyOptions
    capabilities: Capabilities = Capabilities(text_max=TEXT_MAX, text_unit="bytes", read_back=True)
    secret_names: ClassVar[tuple[str, ...]] = ()
    optional_secret_names: ClassVar[tuple[str, ...]] = ("token",)
    default_in_doubt: ClassVar[str] = "resend"
    keeps_state: ClassVar[bool] = True

    def __init__(
        self,
        *,
        name: str,
        target: str,
        options: NtfyOptions,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
        state: ChannelState | None = None,
    ) -> None:
        token = secrets.get("token", "")
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            raise ConfigError(
                f"the token of destination {name!r} is no access token",
                hint="put the token alone, tk_..., on one line, into token_file",
            )
        address = self.check_target(target)
        self._topic = address.rpartition("/")[2]
        self._post_to = f"{address}?{_settings(options)}"
        self._language = language
        self._as_markdown = options.markdown
        login = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = HttpClient(
            headers={"User-Agent": f"ownerreportd/{__version__}", **login},
            timeout_s=timeout_s,
            secrets=(token,),
        )
        self._pace = _Pace(options.burst, options.refill_s, state or MemoryState())
        self._reader = NtfyReader(self._http, address, timeout_s=timeout_s)

    @staticmethod
    def check_target(target: str) -> str:
        """`https://HOST/TOPIC`; `HOST/TOPIC` is that too, and a topic alone is one of ntfy.sh."""
        given = target.strip()
        if _TOPIC.fullmatch(given):
            return f"{_PUBLIC}/{given}"
        address = given if "://" in given else f"https://{given}"
        if not address.isascii() or not address.isprintable() or not _is_topics(address):
            raise ConfigError(f"target {target!r} is no topic", hint=_HINT_TARGET)
        scheme, host, path, *_ = urlsplit(address)
        return f"{scheme}://{host.lower()}{path}"

    def render(self, report: Report) -> list[Part]:
        """The report as messages of at most 4,000 bytes."""
        from ownerreportd.render.ntfy import render_ntfy

        return render_ntfy(
            report, text_max=TEXT_MAX, as_markdown=self._as_markdown, language=self._language
        )

    async def send(self, part: Part) -> Outcome:
        """Publish the message."""
        read, self._reader.requests = self._reader.requests, 0
        await self._pace.keep(1 + read)
        try:
            answer = await self._http.exchange(
                "POST",
                self._post_to,
                headers={"Content-Type": "text/plain; charset=utf-8", "X-Sequence-ID": part.key},
                content=part.payload,
            )
        finally:
            self._pace.spend(1 + read)
        if not isinstance(answer, Answer):
            return answer
        if answer.status != 200:
            error = service_error(answer)
            if error is not None and error.code == REQUESTS:
                self._pace.is_used_up()
                await self._pace.keep(0)
            return refusal(answer, self._http.shown)
        return self._outcome(part, answer.json())

    def _outcome(self, part: Part, message: Any) -> Outcome:
        if not is_message(message):
            return InDoubt("the answer to the message was 200, but is not ntfy's message")
        if message.get("topic") != self._topic:
            return InDoubt("ntfy answered with a message in another topic")
        if message.get("sequence_id", part.key) != part.key:
            return InDoubt("ntfy answered with another message")
        if "attachment" in message:
            detail = "the server made an attachment of the text: its message-size-limit is lower"
            return Rejected("ntfy.attachment", "report", detail, HINT_SIZE)
        if not has_text_of(message, part):
            return InDoubt("ntfy answered with another text")
        return Confirmed(Receipt(message["id"]), pause_s=self._pace.pause_s())

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Read the topic's cache; see `NtfyReader` for what is claimed when."""
        return await self._reader.look(part, since, known)

    async def check(self) -> list[Problem]:
        """Whether server, token and topic fit together, as far as reading tells."""
        return await self._reader.check()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class _Pace:
    """The server's bucket of requests as it must look from here: `burst`, one more each refill.

    When it will be full again is kept over restarts, by the wall clock. If that was set back, the
    bucket is taken for empty at the worst, as the server's own can be no emptier.
    """

    def __init__(self, burst: int, refill_s: float, state: ChannelState) -> None:
        self._refill_s = refill_s
        self._whole_s = burst * refill_s
        self._state = state
        self._full_at: float | None = None  # by the loop's clock

    async def keep(self, requests: int) -> None:
        """Have it on the disk that so many are spent now: a kill in the midst forgets none.

        Where the disk does not take it, it is known as long as this process lives.
        """
        if self._full_at is None:
            self._full_at = anyio.current_time() + await self._kept_s()
        left_s = self._after(requests) - anyio.current_time()
        if left_s > 0:
            with contextlib.suppress(OSError):
                await self._state.put(_FULL_AT, f"{time.time() + left_s:.3f}")

    def spend(self, requests: int) -> None:
        """Count what the server has counted, at the latest moment when it can have done so."""
        self._full_at = self._after(requests)

    def is_used_up(self) -> None:
        self._full_at = anyio.current_time() + self._whole_s

    def pause_s(self) -> float:
        """How long from now until there is a request to spend."""
        return max(0.0, self._after(1) - self._whole_s - anyio.current_time())

    def _after(self, requests: int) -> float:
        return max(self._full_at or 0.0, anyio.current_time()) + requests * self._refill_s

    async def _kept_s(self) -> float:
        try:
            left_s = float(await self._state.get(_FULL_AT)) - time.time()
        except ValueError:
            return 0.0
        return min(max(left_s, 0.0), self._whole_s) if math.isfinite(left_s) else 0.0


def _is_topics(address: str) -> bool:
    """Whether the address is a host's with a topic, and nothing else in it."""
    try:
        parts = urlsplit(address)
        named = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return False
    more = parts.username is not None or parts.query or parts.fragment
    topic = _TOPIC.fullmatch(parts.path.removeprefix("/"))
    return bool(named and topic) and not more


def _settings(options: NtfyOptions) -> str:
    """The settings of every message as a query, where ntfy takes UTF-8 as it is."""
    asked = {"title": options.title, "tags": ",".join(options.tags)}
    asked |= {"priority": str(options.priority), "markdown": "yes" if options.markdown else "no"}
    return urlencode({k: v for k, v in asked.items() if v}, quote_via=quote)
