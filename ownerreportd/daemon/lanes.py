"""Owns the lanes of one spool: one for everything, or one for each destination.

Rules: what changes a report that several lanes have runs while all of them are at rest; lanes are
asked to rest in one order for everybody, so that nobody waits for anybody in a circle.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio

from ownerreportd.core.errors import UnreachableError
from ownerreportd.ledger.lanes import MAIN

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from ownerreportd.courier import Courier

EVERY_HEAD: Final = 0  # no report has this row
# Answers the row of the report that may be at the head no more, `EVERY_HEAD`, or None.
Act: TypeAlias = Callable[[], Awaitable[int | None]]


@dataclass(slots=True)
class Lanes:
    """The lanes at work. `make` makes one; with `separate` there is one for each destination."""

    make: Callable[[str], Courier]
    separate: bool = False
    held: bool = False
    _couriers: dict[str, Courier] = field(default_factory=dict)
    _tasks: TaskGroup | None = None
    _stopping: bool = False

    def __iter__(self) -> Iterator[Courier]:
        return iter(tuple(self._couriers.values()))

    def follow(self, destinations: Iterable[str]) -> None:
        """Have the lanes of these destinations, and no others but those that an act uses."""
        names = dict.fromkeys(destinations if self.separate else (MAIN,))
        for name in self._couriers.keys() - names.keys():
            if self._couriers[name].is_asked_to_rest:
                names[name] = None
            else:
                self._couriers.pop(name).retire()
        self._couriers = {name: self._couriers.get(name) or self._begin(name) for name in names}

    def _begin(self, name: str) -> Courier:
        courier = self.make(name)
        courier.held = self.held
        if self._tasks is not None and not self._stopping:
            self._tasks.start_soon(courier.run)
        return courier

    def of(self, destination: str) -> Courier:
        """The lane that serves the destination; a new one for an address that has none yet."""
        name = destination if self.separate else MAIN
        if name not in self._couriers:
            self._couriers[name] = self._begin(name)
        return self._couriers[name]

    def named(self, names: Iterable[str]) -> list[Courier]:
        """Those of these lanes that are there."""
        return [self._couriers[name] for name in names if name in self._couriers]

    def chosen(self, destination: str | None) -> tuple[Courier, ...]:
        """The lane of that destination; all of them without one."""
        return tuple(self) if destination is None else (self.of(destination),)

    def with_head(self, rid: int) -> list[Courier]:
        """The lanes where it is this report's turn."""
        return [courier for courier in self if courier.is_head(rid)]

    def nudge(self) -> None:
        """There may be something to fetch."""
        for courier in self:
            courier.nudge()

    def hold(self) -> None:
        """Run what a person asks only: fetch nothing."""
        self.held = True
        for courier in self:
            courier.held = True

    async def run(self) -> None:
        """Work until stopped; the calls in flight are ended and recorded first."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for courier in self:
                tasks.start_soon(courier.run)

    async def stop(self, grace_s: float) -> None:
        """Begin nothing new; give the calls in flight that long, then cut them off."""
        self._stopping = True
        async with anyio.create_task_group() as tasks:
            for courier in self:
                tasks.start_soon(courier.stop, grace_s)

    async def act(self, act: Act, couriers: Iterable[Courier]) -> None:
        """Run it while these lanes are at rest. It is not cut off when nobody waits any more.

        A lane that was taken away meanwhile is at rest for ever. Raises:
            UnreachableError: if all is stopping; then nothing was done. What `act` raises.
        """
        resting = [(courier, courier.rest_soon()) for courier in couriers]
        changed: int | None = None
        try:
            for _, rest in resting:
                await rest.begun.wait()
            if self._stopping:
                hint = "nothing was done; ask again when it runs"
                raise UnreachableError("the daemon is stopping", hint=hint)
            with anyio.CancelScope(shield=True):
                changed = await act()
        finally:
            for courier, rest in resting:
                rest.left = changed == EVERY_HEAD or (
                    changed is not None and courier.is_head(changed)
                )
                rest.over.set()
