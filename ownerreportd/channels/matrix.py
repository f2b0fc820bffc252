"""Owns delivery to a Matrix room: one part is one message, sent by one account.

A part is confirmed by the homeserver's answer with an event's id. The part's key is the
transaction's id: the same device's repeat returns the first event, whatever it says by then. That
holds only for one device, so the window is claimed only where `device_id` is configured and the
token is of that device; Synapse keeps transactions for 24 hours in its database, and 30 minutes
are taken as sure. Without it, and later, the room is read back: the key is in the event's content,
and no time, text or token has to be compared.

Nothing is posted into an encrypted room. That is asked before the first part, and again where the
last answer is older than a minute: a room that becomes encrypted within that minute, between the
question and the part, may get a part in plain text, as from any client that has not yet heard.

Nobody is mentioned: with `m.mentions` in a message (v1.7) its text is not searched for names.

Source: the Client-Server API (v1.18), "rooms/{roomId}/send", "Transaction identifiers",
"User and room mentions", "Threading". Measured with Synapse 1.163.2.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import unquote

import anyio
from pydantic import BaseModel, ConfigDict, Field

from ownerreportd import __version__
from ownerreportd.channels import matrix_checkup, matrix_history
from ownerreportd.channels.http import Answer, HttpClient
from ownerreportd.channels.matrix_answers import HINT_UNREACHABLE, refusal
from ownerreportd.channels.matrix_room import Place, Room, event_id_of
from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.errors import ConfigError
from ownerreportd.core.outcome import Confirmed, InDoubt, NotSent, Outcome, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult
    from ownerreportd.core.report import Report

TEXT_MAX: Final = 8_192
_LINK: Final = re.compile(r"https?://matrix\.to/#/([^?]+)(?:\?.*)?")
_TARGET: Final = re.compile(
    r"""(![!-.0-~]{1,254}|\#[^:\s]{1,200}:[0-9A-Za-z.:\[\]-]{1,200})(?:/(\$[!-~]{1,254}))?"""
)
_HINT_TARGET: Final = (
    "use !ROOM:SERVER (Room Settings, Advanced), #ALIAS:SERVER, or the room's link; with /$EVENT "
    "behind it the reports go to that message's thread"
)


class MatrixOptions(BaseModel):
    """A Matrix destination's own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    homeserver: str = Field(
        pattern=r"^https?://[^/@?#\s]+(/[^@?#\s]*)?$",
        description="the address of the homeserver's client API, as https://matrix.example.org",
    )
    device_id: str = Field(
        "",
        max_length=255,
        description="the device that the token must be of; only then is a repeat recognised",
    )
    dedup_window_s: float = Field(
        1800.0,
        ge=0,
        le=86_400,
        description="with device_id: how long the homeserver surely knows a transaction",
    )
    silent: bool = Field(
        default=False, description="deliver as m.notice, which notifies nobody by default"
    )


class MatrixChannel:
    """One Matrix room, or a thread in it, written to by one account."""

    Options: ClassVar[type[MatrixOptions]] = MatrixOptions
    capabilities: Capabilities = Capabilities(
        text_max=TEXT_MAX, text_unit="bytes", dedup_window_s=0.0, read_back=True
    )
    secret_names: ClassVar[tuple[str, ...]] = ("token",)
    default_in_doubt: ClassVar[str] = "resend"

    def __init__(
        self,
        *,
        name: str,
        target: str,
        options: MatrixOptions,
        secrets: Mapping[str, str],
        language: str,
        timeout_s: float,
    ) -> None:
        token = secrets["token"]
        if not token.isascii() or not token.isprintable() or " " in token or not token:
            raise ConfigError(
                f"the token of destination {name!r} is no access token",
                hint="put the access token alone, on one line, into token_file",
            )
        if options.device_id:
            window_s = options.dedup_window_s
            self.capabilities = replace(self.capabilities, dedup_window_s=window_s)
        room, _, thread = self.check_target(target).partition("/$")
        self._place = Place(room, f"${thread}" if thread else "")
        self._options = options
        self._language = language
        self._timeout_s = timeout_s
        self._http = HttpClient(
            headers={
                "Authorization": f"Bearer {token}",
                "User-Agent": f"ownerreportd/{__version__}",
            },
            timeout_s=timeout_s,
            secrets=(token,),
        )
        self._room = Room(self._http, options.homeserver, self._place, options.device_id)

    @staticmethod
    def check_target(target: str) -> str:
        """`!room:server`, `#alias:server`, or either with `/$event` for that event's thread.

        A link of matrix.to becomes what it names. Since room version 12 an id has no server.
        """
        text = target.strip()
        link = _LINK.fullmatch(text)
        text = unquote(link[1]) if link else text
        if not _TARGET.fullmatch(text):
            raise ConfigError(f"target {target!r} is none of Matrix's", hint=_HINT_TARGET)
        return text

    def render(self, report: Report) -> list[Part]:
        """The report as messages of at most 8,192 bytes of text, with HTML beside it."""
        from ownerreportd.render.matrix import render_matrix

        return render_matrix(report, text_max=TEXT_MAX, language=self._language)

    async def send(self, part: Part) -> Outcome:
        """Send the message, or get the event that an earlier attempt with this key made.

        All of it, with the questions before, keeps within `timeout_s`.
        """
        has_begun = False
        with anyio.move_on_after(self._timeout_s):
            hindrance = await self._room.hindrance()
            if hindrance is not None:
                return hindrance.as_outcome()
            has_begun = True
            answer = await self._http.exchange(
                "PUT",
                self._room.address("send", "m.room.message", part.key),
                headers={"Content-Type": "application/json"},
                content=self._event(part),
            )
            return self._outcome(answer) if isinstance(answer, Answer) else answer
        slow = f"no complete answer within {self._timeout_s:g} s"
        return InDoubt(slow) if has_begun else NotSent(f"{slow}, before anything was posted")

    def _event(self, part: Part) -> bytes:
        """The event's content in JSON."""
        content: dict[str, Any] = {
            **json.loads(part.payload),
            "msgtype": "m.notice" if self._options.silent else "m.text",
            "m.mentions": {},
            matrix_history.KEY: part.key,
        }
        if self._place.thread:
            root = self._place.thread
            content["m.relates_to"] = {
                "rel_type": "m.thread",
                "event_id": root,
                "is_falling_back": True,
                "m.in_reply_to": {"event_id": root},
            }
        return json.dumps(content, ensure_ascii=False).encode("utf-8")

    def _outcome(self, answer: Answer) -> Outcome:
        if answer.status != 200:
            return refusal(answer, self._http.shown)
        event_id = event_id_of(answer.json())
        if event_id is None:
            return InDoubt("the answer to the message was 200, but names no event")
        return Confirmed(self._room.receipt(event_id))

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Read the room's history; see `matrix_history` for what is claimed when."""
        with anyio.move_on_after(self._timeout_s):
            return await matrix_history.look(self._room, part, since, known)
        return Unknown(self._too_slow(), transient=True)

    async def check(self) -> list[Problem]:
        """Token, device, room, encryption, power level and thread, without posting."""
        with anyio.move_on_after(self._timeout_s):
            return await matrix_checkup.check(self._room)
        return [Problem("unreachable", self._too_slow(), HINT_UNREACHABLE)]

    def _too_slow(self) -> str:
        return f"the homeserver did not answer everything within {self._timeout_s:g} s"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
