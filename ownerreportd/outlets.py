"""Owns the destinations in use: each with its channel, opened when first needed.

Rule: a delivery goes to what its destination meant when it was frozen; when the configuration
has changed since, an outlet for the old meaning is opened beside the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from ownerreportd.core.errors import UsageError
from ownerreportd.ledger.deliveries import Bound

if TYPE_CHECKING:
    from ownerreportd.core.channel import Channel
    from ownerreportd.core.lane_words import Policy
    from ownerreportd.core.outcome import Proof
    from ownerreportd.core.routing import Routing


@dataclass(frozen=True, slots=True)
class Outlet:
    """A destination ready for use. `timeout_s` bounds one attempt."""

    bound: Bound
    channel: Channel
    policy: Policy
    archive_on: Proof = "confirmed"


@dataclass(frozen=True, slots=True)
class NoOutlet:
    """Why a delivery's destination cannot be used."""

    reason: str
    hint: str


Open: TypeAlias = Callable[[Bound], "Outlet | NoOutlet"]
State: TypeAlias = Literal["open", "closed"]


@dataclass(slots=True)
class Outlets:
    """The configured destinations, and how to open one.

    `open` builds an outlet for a destination, a channel type and a target; `normal` gives a
    channel's target in its one normal form, or as it is. Both raise nothing.
    """

    routing: Routing
    bounds: Mapping[str, Bound]
    open: Open
    implicit_inbox: bool = False
    normal: Callable[[str, str], str] = lambda _channel, target: target
    generation: int = 0
    _opened: dict[Bound, Outlet] = field(default_factory=dict)

    def get(self, bound: Bound) -> Outlet | NoOutlet:
        """The outlet for what this destination means, or meant."""
        if bound not in self._opened:
            outlet = self.open(bound)
            if isinstance(outlet, NoOutlet):
                return outlet
            self._opened[bound] = outlet
        return self._opened[bound]

    def meant(self, destination: str | None, channel: str | None, target: str | None) -> Bound:
        """Where a person's `send` goes: a configured destination, or a channel with a target.

        Raises:
            UsageError: if neither or both are named, or the destination is unknown.
        """
        known = self.bounds
        if channel is not None and target is not None and destination is None:
            return self._adhoc(channel, target)
        if channel is None and target is None:
            if destination is None and len(known) == 1:
                return next(iter(known.values()))
            if destination is not None:
                return self._known(destination)
        hint = f"--to one of {', '.join(sorted(known))}; or both --channel and --target"
        raise UsageError("it is not said where to send the report", hint=hint)

    def _known(self, destination: str) -> Bound:
        if destination not in self.bounds:
            hint = f"configured are: {', '.join(sorted(self.bounds))}"
            raise UsageError(f"unknown destination {destination!r}", hint=hint)
        return self.bounds[destination]

    def _adhoc(self, channel: str, target: str) -> Bound:
        """The configured destination of that address, so that its doubts count; else a new one."""
        target = self.normal(channel, target)
        for bound in self.bounds.values():
            if (bound.channel, bound.target) == (channel, target):
                return bound
        return Bound(f"{channel}:{target}", channel, target)

    def exchange(self, other: Outlets) -> None:
        """Become the other configuration, and let it become this one. Not while a report is read.

        `generation` rises, so that what was prepared with the earlier one is known for it.
        """
        for name in ("routing", "bounds", "open", "implicit_inbox", "normal", "_opened"):
            mine, others = getattr(self, name), getattr(other, name)
            setattr(self, name, others)
            setattr(other, name, mine)
        self.generation += 1

    async def aclose(self) -> None:
        """Close every channel that was opened."""
        while self._opened:
            _, outlet = self._opened.popitem()
            await outlet.channel.aclose()
