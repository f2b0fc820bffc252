"""Owns the fakes: a clock that a test moves, and a channel that follows a script."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import anyio

from ownerreportd.core.channel import Capabilities, Part, Problem
from ownerreportd.core.outcome import (
    Absent,
    Confirmed,
    Found,
    LookResult,
    Outcome,
    Receipt,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ownerreportd.core.report import Report


class FakeClock:
    """A clock that moves only when it is told to."""

    def __init__(self, now: datetime = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic_s = 1000.0

    def now(self) -> datetime:
        """The time of day in UTC."""
        return self._now

    def utc(self) -> float:
        """The time of day as seconds since the epoch."""
        return self._now.timestamp()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds

    def set_now(self, now: datetime) -> None:
        """Set the time of day alone, as an operator or NTP does."""
        self._now = now


@dataclass(frozen=True, slots=True)
class Accepts:
    """A step of a script: the owner gets the message, but the answer is this one."""

    answer: Outcome


@dataclass(frozen=True, slots=True)
class Hangs:
    """A step of a script: no answer until cancelled; `accepts` says whether the owner gets it."""

    accepts: bool = False


Step: TypeAlias = Outcome | Accepts | Hangs | Exception


class FakeChannel:
    """A channel that follows a script, one step a send, and confirms when the script is over.

    `sent` is every attempt; `accepted` is what the owner sees, with the receipt's id. Within
    `capabilities.dedup_window_s` a repeated key returns the first receipt, as real ones do.
    `looks` is a script for `look`; when it is over, `look` searches `accepted` by key.
    """

    capabilities: Capabilities

    def __init__(
        self,
        script: Iterable[Step] = (),
        *,
        capabilities: Capabilities | None = None,
        looks: Iterable[LookResult] = (),
        problems: Iterable[Problem] = (),
        clock: FakeClock | None = None,
    ) -> None:
        self.capabilities = capabilities or Capabilities(
            text_max=2000, dedup_window_s=120.0, read_back=True
        )
        self.script: deque[Step] = deque(script)
        self.looks: deque[LookResult] = deque(looks)
        self.problems = list(problems)
        self.clock = clock or FakeClock()
        self.sent: list[Part] = []
        self.looked: list[Part] = []
        self.accepted: list[tuple[str, Part]] = []
        self.closed = 0
        self._first: dict[str, tuple[float, Receipt]] = {}

    @property
    def texts(self) -> list[str]:
        """What the owner sees, in order."""
        return [part.payload.decode() for _, part in self.accepted]

    def render(self, report: Report) -> list[Part]:
        """The body, cut wherever the limit falls; marked with a leading `(possible duplicate) `."""
        mark = "(possible duplicate) "
        size = max(1, (self.capabilities.text_max or 1_000_000) - len(mark))
        # In any unit a code point is at most four; short pieces keep the limit in all of them.
        if self.capabilities.text_unit != "code_points":
            size = max(1, size // 4)
        cuts = range(0, max(1, len(report.body)), size)
        texts = [report.body[at : at + size] for at in cuts]
        return [
            Part(number, len(texts), text.encode(), (mark + text).encode())
            for number, text in enumerate(texts, start=1)
        ]

    async def send(self, part: Part) -> Outcome:
        """Do the script's next step."""
        self.sent.append(part)
        step = self.script.popleft() if self.script else None
        if step is None:
            return Confirmed(self._accept(part))
        if isinstance(step, Confirmed):
            self._accept(part)
            return step
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Accepts):
            self._accept(part)
            return step.answer
        if not isinstance(step, Hangs):
            return step
        if step.accepts:
            self._accept(part)
        await anyio.sleep_forever()
        raise AssertionError("a hanging send went on")

    def _accept(self, part: Part) -> Receipt:
        at, receipt = self._first.get(part.key, (-math.inf, Receipt("")))
        if self.clock.monotonic() - at < self.capabilities.dedup_window_s:
            return receipt
        receipt = Receipt(f"m{len(self.accepted) + 1}", proof=self.capabilities.proof)
        self.accepted.append((receipt.id, part))
        self._first[part.key] = (self.clock.monotonic(), receipt)
        return receipt

    async def look(self, part: Part, since: datetime, known: frozenset[str]) -> LookResult:  # noqa: ARG002  the fake searches all of it
        """The next scripted result, else the truth."""
        self.looked.append(part)
        if self.looks:
            return self.looks.popleft()
        if not self.capabilities.read_back:
            return Unknown("this channel cannot be read back")
        for message_id, accepted in self.accepted:
            if accepted.key == part.key and message_id not in known:
                return Found(Receipt(message_id))
        return Absent()

    async def check(self) -> list[Problem]:
        """The problems that the test has set."""
        return list(self.problems)

    async def aclose(self) -> None:
        """Count the closings."""
        self.closed += 1
