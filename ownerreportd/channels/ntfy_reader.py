"""Owns what is read from ntfy: is the part in the topic's cache, and is the destination ready.

Rule: that the cache does not have a message proves nothing by itself. The cache may be off, is
kept for some hours, and by default lies in memory, so that a restart of the server empties it.
Absent is said only while an older message of ours is still there: what came later would be too.
(A server that writes its cache in batches, which is off by default, can lose the last second of it
when it is killed; nothing that can be read would show that.)

Source: binwiederhier/ntfy, docs/subscribe/api.md ("Fetch cached messages"), docs/config.md
("Message cache"), server/server.go (`/TOPIC/auth`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import anyio

from ownerreportd.channels.failed import Failed
from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.channels.ntfy_answers import (
    HINT_ACCESS,
    HINT_UNREACHABLE,
    NOT_NTFY,
    essence,
    failed,
    is_part,
    messages_of,
    refusal,
)
from ownerreportd.core.channel import Part, Problem
from ownerreportd.core.outcome import Absent, Found, Receipt, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ownerreportd.core.outcome import LookResult

CLOCK_SLACK: Final = timedelta(minutes=2)
POLL_BYTES_MAX: Final = 16 * 1_048_576


class NtfyReader:
    """Reads one topic. Nothing here changes anything at the server."""

    def __init__(self, http: HttpClient, address: str, *, timeout_s: float) -> None:
        self._http = http
        self._address = address
        self._timeout_s = timeout_s
        self._clock_off = timedelta(0)
        self.requests = 0

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Read the cache from `since` on, less two minutes and by the server's own clock.

        Of several messages that fit, none of them another part's, the oldest is the part.
        """
        with anyio.move_on_after(self._timeout_s):
            return await self._look(part, since, known)
        return Unknown(_too_slow(self._timeout_s), transient=True)

    async def _look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        if not essence(part.plain.decode("utf-8", "replace")):
            return Unknown("the part has no visible text to look for")
        messages = await self._poll(_stamp(since - CLOCK_SLACK))
        if abs(self._clock_off) > CLOCK_SLACK / 2:
            messages = await self._poll(_stamp(since + self._clock_off - CLOCK_SLACK))
        if isinstance(messages, Failed):
            return messages.as_unknown()
        for message in messages:
            if is_part(message, part) and message["id"] not in known:
                return Found(Receipt(message["id"]))
        return await self._absent(messages, _stamp(since + self._clock_off), known)

    async def _absent(
        self, messages: list[dict[str, Any]], since: str, known: frozenset[str]
    ) -> LookResult:
        if not _has_older(messages, int(since), known):
            whole = await self._poll("all")
            if isinstance(whole, Failed):
                return whole.as_unknown()
            if not _has_older(whole, int(since), known):
                return Unknown("the server's cache has no older message of ours, so may be empty")
        return Absent("the server's cache was read, and the message is not in it")

    async def check(self) -> list[Problem]:
        """What is wrong with token or topic, as far as reading tells; writing shows only then."""
        with anyio.move_on_after(self._timeout_s):
            return await self._check()
        return [Problem("unreachable", _too_slow(self._timeout_s), HINT_UNREACHABLE)]

    async def _check(self) -> list[Problem]:
        answer = await self._get("auth")
        if isinstance(answer, Failed):
            if answer.code != "ntfy.40301":
                return [answer.as_problem()]
            # Whoever may not read may yet write, and only a message shows that.
            detail = "the topic may not be read, so that a lost answer could not be looked up"
            return [Problem(answer.code, detail, HINT_ACCESS, blocks=False)]
        body = answer.json()
        if not isinstance(body, dict) or body.get("success") is not True:
            return [NOT_NTFY.as_problem()]
        return []

    async def _poll(self, since: str) -> list[dict[str, Any]] | Failed:
        answer = await self._get(f"json?poll=1&since={since}")
        if isinstance(answer, Failed):
            return answer
        messages = messages_of(answer)
        return NOT_NTFY if messages is None else messages

    async def _get(self, path: str) -> Answer | Failed:
        self.requests += 1
        answer = await self._http.exchange(
            "GET", f"{self._address}/{path}", answer_bytes_max=POLL_BYTES_MAX
        )
        if not isinstance(answer, Answer):
            return failed(answer)
        now = datetime.now(UTC)
        self._clock_off = (answer.date() or now) - now
        return answer if answer.status == 200 else failed(refusal(answer, self._http.shown))


def _has_older(messages: Iterable[dict[str, Any]], since: int, known: frozenset[str]) -> bool:
    """Whether a message of ours from before the attempt is still there."""
    return any(each["id"] in known and each["time"] <= since for each in messages)


def _stamp(at: datetime) -> str:
    return str(max(0, int(at.timestamp())))


def _too_slow(timeout_s: float) -> str:
    return f"the server did not answer everything within {timeout_s:g} s"
