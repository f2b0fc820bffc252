"""Owns who gets a connection: how many there may be, and which one makes room for a new one.

Rule: a connection with a whole request in flight is never closed for another.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uvicorn.server import ServerState

if TYPE_CHECKING:
    from ownerreportd.api.protocol import Connection


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller, and all of them together, may take.

    `request_s` is the time for one whole request, `idle_s` the time between two, `stalled_s` how
    long a caller may leave an answer unread. `gate_connections_max` more connections are there for
    the gate alone, so that no crowd of waiting producers keeps an agent from ending its turn.
    """

    report_bytes_max: int = 1_048_576
    header_bytes_max: int = 16_384
    connections_max: int = 256
    connections_per_uid_max: int = 64
    gate_connections_max: int = 16
    request_s: float = 5.0
    idle_s: float = 30.0
    stalled_s: float = 30.0


class Connections(ServerState):
    """Every open connection, oldest first, and who holds them."""

    def __init__(self, limits: Limits, version: str) -> None:
        super().__init__()
        self.limits = limits
        self.default_headers = [(b"Ownerreportd-Version", version.encode())]
        self.closed = False
        self.in_order: dict[Connection, None] = {}
        self.emptied = asyncio.Event()
        self.emptied.set()

    def admit(self, new: Connection) -> bool:
        """Count the connection in; at a limit the oldest without a whole request makes room.

        Where every other one has a request in flight it may ask the gate alone; False where all of
        those places are taken too.
        """
        ordinary = [each for each in self.in_order if not each.gate_only]
        crowded = (
            ([each for each in ordinary if each.uid == new.uid],
             self.limits.connections_per_uid_max),
            (ordinary, self.limits.connections_max),
        )  # fmt: skip
        if not all(_make_room(those, most) for those, most in crowded):
            reserved = [each for each in self.in_order if each.gate_only]
            if not _make_room(reserved, self.limits.gate_connections_max):
                return False
            new.gate_only = True
        self.in_order[new] = None
        self.emptied.clear()
        return True

    def forget(self, connection: Connection) -> None:
        """Count the connection out; twice is no error."""
        self.in_order.pop(connection, None)
        if not self.in_order:
            self.emptied.set()


def _make_room(those: list[Connection], most: int) -> bool:
    if len(those) < most:
        return True
    oldest = next((each for each in those if not each.busy), None)
    if oldest is not None:
        oldest.cut_off()
    return oldest is not None
