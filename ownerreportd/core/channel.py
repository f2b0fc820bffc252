"""Owns what a channel is: its capabilities, the part it sends, and the protocol it follows.

Rule: one call, one attempt. A channel never queues, sleeps or retries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

    from ownerreportd.core.outcome import LookResult, Outcome, Proof
    from ownerreportd.core.report import Report

TextUnit: TypeAlias = Literal["code_points", "utf16", "bytes"]
Form: TypeAlias = Literal["plain", "marked"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can do, in its own units.

    `text_max` is the longest text of one part in `text_unit`; None where there is no limit.
    `dedup_window_s` is how long the channel surely recognises a repeated key; 0 if it never does,
    `inf` if for ever. `read_back` says that `look` works. `proof` is the best it can give.
    """

    text_max: int | None
    text_unit: TextUnit = "code_points"
    dedup_window_s: float = 0.0
    read_back: bool = False
    attachments: bool = False
    proof: Proof = "confirmed"


@dataclass(frozen=True, slots=True)
class Part:
    """One message's worth of a report, frozen before the first attempt.

    `plain` and `marked` are the two forms of what the channel sends (for most channels the text
    in UTF-8); the marked one says that it may be a duplicate. `number` counts from 1 to `count`.
    `key` is 24 characters of `[a-z2-7]`, the same for both forms; `form` is the one to send now.
    """

    number: int
    count: int
    plain: bytes
    marked: bytes
    key: str = ""
    form: Form = "plain"

    @property
    def payload(self) -> bytes:
        """The bytes of the form that this attempt sends."""
        return self.plain if self.form == "plain" else self.marked

    def as_form(self, form: Form) -> Part:
        """The same part, to be sent in that form."""
        return replace(self, form=form)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a destination, found without sending anything.

    `blocks` is false where the destination works all the same, and a person should know.
    """

    code: str
    detail: str
    hint: str
    blocks: bool = True


class ChannelState(Protocol):
    """What a channel has to know of its destination over restarts: short texts by name.

    A class with `keeps_state = True` is given one, as `state`. Old names are forgotten, the ones
    put first before the others.
    """

    async def get(self, name: str) -> str:
        """What was put under the name; empty where nothing was, or it cannot be read."""

    async def put(self, name: str, value: str) -> None:
        """Keep it; it is on the disk when this returns. An empty value forgets the name.

        Raises:
            OSError: if it cannot be kept.
        """


class Channel(Protocol):
    """One configured destination. One call, one attempt: no retry, no sleep, no queue."""

    capabilities: Capabilities

    def render(self, report: Report) -> list[Part]:
        """The report as parts, at least one; pure and deterministic. `key` is still empty."""

    async def send(self, part: Part) -> Outcome:
        """Attempt to send `part.payload` once. Never raises for what can be expected."""

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:
        """Search the channel for the part, in either form, from `since` (UTC) on.

        `known` are receipt ids of other parts, which are not this one. Only with `read_back`.
        """

    async def check(self) -> list[Problem]:
        """Look at token, target and permissions without sending. Empty means ready.

        A channel that cannot be reached answers with one problem whose code is `unreachable`.
        """

    async def aclose(self) -> None:
        """Let go of every resource. Closing twice is no error."""


def measure(text: str, unit: TextUnit) -> int:
    """The length of the text in the channel's own unit."""
    if unit == "code_points":
        return len(text)
    if unit == "utf16":
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text.encode("utf-8", "surrogatepass"))
