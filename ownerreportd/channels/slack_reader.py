"""Owns what is read from Slack: is the part there, and is the destination ready.

Rule: Absent is said only of a history that was read to its end, from before the attempt on.

Source: docs.slack.dev, reference/methods/ auth.test, conversations.info, conversations.history,
conversations.replies; apis/web-api/pagination.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import anyio

from ownerreportd.channels.failed import Failed
from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.channels.slack_answers import (
    HINT_UNREACHABLE,
    NOT_SLACK,
    accepted,
    failed,
    is_ts,
    key_of,
    refusal,
)
from ownerreportd.core.channel import Part, Problem
from ownerreportd.core.outcome import Absent, Found, Receipt, Unknown

if TYPE_CHECKING:
    from ownerreportd.core.outcome import LookResult

PAGE: Final = 50  # messages; each of them up to about 200 kB with its blocks
PAGES_MAX: Final = 40
PAGE_BYTES_MAX: Final = 16 * 1_048_576
CLOCK_SLACK: Final = timedelta(minutes=2)
_HINT_HISTORY: Final = (
    "add the scope {} under OAuth & Permissions and install the app again, so that a lost answer "
    "can be looked up"
)
_HINT_LOOK: Final = "look at the channel, then: ownerreportd resolve"
_WORKSPACE: Final = re.compile(r"https://[a-z0-9.-]+\.slack(?:-gov)?\.com/?")


@dataclass(frozen=True, slots=True)
class _Login:
    scopes: frozenset[str] | None  # None where Slack did not say
    clock_off: timedelta


class SlackReader:
    """Reads one channel, or one thread in it. Nothing here changes anything at Slack."""

    def __init__(
        self, http: HttpClient, base: str, channel_id: str, thread_ts: str, *, timeout_s: float
    ) -> None:
        self._http = http
        self._base = base
        self._channel_id = channel_id
        self._thread_ts = thread_ts
        self._timeout_s = timeout_s
        self._workspace = ""

    def receipt(self, ts: str) -> Receipt:
        """The receipt of a message here, with its address once the workspace's is known."""
        receipt_id = f"{self._channel_id}:{ts}"
        if not self._workspace:
            return Receipt(receipt_id)
        link = f"{self._workspace}/archives/{self._channel_id}/p{ts.replace('.', '')}"
        if self._thread_ts:
            link += f"?thread_ts={self._thread_ts}&cid={self._channel_id}"
        return Receipt(receipt_id, link=link)

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Read the history from `since` on, less two minutes and what the two clocks differ by.

        The key in the message's metadata decides. Of several with it the oldest is the part.
        """
        with anyio.move_on_after(self._timeout_s):
            return await self._look(part, since, known)
        return Unknown(_too_slow(self._timeout_s), transient=True)

    async def _look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        login = await self._login()
        if isinstance(login, Failed):
            return login.as_unknown()
        oldest = since - CLOCK_SLACK - login.clock_off
        messages = await self._messages(f"{max(oldest.timestamp(), 0):.6f}")
        if isinstance(messages, Failed):
            return messages.as_unknown()
        fitting = [m["ts"] for m in messages if part.key and key_of(m) == part.key]
        fitting = [ts for ts in fitting if self.receipt(ts).id not in known]
        if fitting:
            return Found(self.receipt(min(fitting, key=float)))
        return Absent("the channel's history was read, and the message is not in it")

    async def check(self) -> list[Problem]:
        """What is wrong with token, scopes, channel or history; the first that hides the others."""
        with anyio.move_on_after(self._timeout_s):
            return await self._check()
        return [Problem("unreachable", _too_slow(self._timeout_s), HINT_UNREACHABLE)]

    async def _check(self) -> list[Problem]:
        login = await self._login()
        if isinstance(login, Failed):
            return [login.as_problem()]
        if login.scopes is not None and "chat:write" not in login.scopes:
            hint = "add chat:write under OAuth & Permissions, and install the app again"
            return [Problem("slack.missing_scope", "the token lacks the scope chat:write", hint)]
        place = await self._get("conversations.info", channel=self._channel_id)
        if isinstance(place, Failed):
            # Only to see the channel's name and state; without it the history says who may what.
            if place.code != "slack.missing_scope":
                return [place.as_problem()]
            place = {}
        found = _problems_of(place.get("channel"))
        if found:
            return found
        newest = await self._page("0", "", limit=1)
        if not isinstance(newest, Failed):
            return []
        if newest.code != "slack.missing_scope":
            return [newest.as_problem()]
        hint = _HINT_HISTORY.format(_history_scope(place.get("channel")))
        return [Problem("slack.history", newest.detail, hint, blocks=False)]

    async def _login(self) -> _Login | Failed:
        answer = await self._http.exchange("POST", f"{self._base}/auth.test")
        if not isinstance(answer, Answer):
            return failed(answer)
        body = accepted(answer)
        if body is None:
            return failed(refusal(answer, self._http.shown))
        if not isinstance(body.get("team_id"), str):
            return NOT_SLACK
        url = body.get("url")
        if isinstance(url, str) and _WORKSPACE.fullmatch(url):
            self._workspace = url.rstrip("/")
        named = answer.headers.get("x-oauth-scopes")
        scopes = None if named is None else frozenset(each.strip() for each in named.split(","))
        now = datetime.now(UTC)
        return _Login(scopes, abs((answer.date() or now) - now))

    async def _messages(self, oldest: str) -> list[dict[str, Any]] | Failed:
        found: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(PAGES_MAX):
            body = await self._page(oldest, cursor, limit=PAGE)
            if isinstance(body, Failed):
                return body
            found += body["messages"]
            cursor = _next_cursor(body)
            if not cursor:
                return _unfinished(body) or found
        detail = f"more than {PAGES_MAX * PAGE} messages since the attempt"
        return Failed("slack.history", detail, _HINT_LOOK, is_transient=False)

    async def _page(self, oldest: str, cursor: str, *, limit: int) -> dict[str, Any] | Failed:
        """One page, from the oldest message to the newest or the other way, as the method likes."""
        asked = {"channel": self._channel_id, "oldest": oldest, "limit": str(limit)}
        asked |= {"include_all_metadata": "true"} | ({"cursor": cursor} if cursor else {})
        if self._thread_ts:
            body = await self._get("conversations.replies", ts=self._thread_ts, **asked)
        else:
            body = await self._get("conversations.history", **asked)
        if isinstance(body, Failed):
            return body
        page = body.get("messages")
        if not isinstance(page, list):
            return NOT_SLACK
        if not all(isinstance(each, dict) and is_ts(each.get("ts")) for each in page):
            return NOT_SLACK
        return body

    async def _get(self, method: str, **asked: str) -> dict[str, Any] | Failed:
        answer = await self._http.exchange(
            "GET", f"{self._base}/{method}?{urlencode(asked)}", answer_bytes_max=PAGE_BYTES_MAX
        )
        if not isinstance(answer, Answer):
            return failed(answer)
        body = accepted(answer)
        return failed(refusal(answer, self._http.shown)) if body is None else body


def _too_slow(timeout_s: float) -> str:
    return f"Slack did not answer everything within {timeout_s:g} s"


def _next_cursor(body: dict[str, Any]) -> str:
    metadata = body.get("response_metadata")
    cursor = metadata.get("next_cursor") if isinstance(metadata, dict) else None
    return cursor if isinstance(cursor, str) else ""


def _unfinished(body: dict[str, Any]) -> Failed | None:
    """What is left out of the last page: more without a cursor, or what the plan hides."""
    if not body.get("has_more") and not body.get("is_limited"):
        return None
    detail = "Slack showed a part of the history only"
    return Failed("slack.history", detail, _HINT_LOOK, is_transient=False)


def _problems_of(place: Any) -> list[Problem]:
    if not isinstance(place, dict):
        return []
    if place.get("is_archived") is True:
        hint = "unarchive the channel, or set target to another one"
        return [Problem("slack.is_archived", "the channel is archived", hint)]
    if place.get("is_member") is False and not place.get("is_im"):
        hint = "invite the bot: type /invite @NAME in that channel"
        return [Problem("slack.not_in_channel", "the bot is not in the channel", hint)]
    if place.get("is_read_only") is True:
        hint = "ask an owner of the workspace to let the app post there, or set target anew"
        code = "slack.restricted_action_read_only_channel"
        return [Problem(code, "the channel is read-only", hint)]
    return []


def _history_scope(place: Any) -> str:
    """The scope that reads a conversation of that kind."""
    if not isinstance(place, dict):
        return "channels:history (of a private channel: groups:history)"
    for kind, scope in (("is_im", "im"), ("is_mpim", "mpim"), ("is_private", "groups")):
        if place.get(kind):
            return f"{scope}:history"
    return "channels:history"
