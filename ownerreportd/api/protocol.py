"""Owns one connection: uvicorn's h11 protocol with peer credentials and a time for each request.

Rule: a connection that has not sent a whole request in time is closed; one that has is not.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from ownerreportd.api.access import Peer, peer_of
from ownerreportd.api.problems import MEDIA_TYPE, TYPE_PREFIX

if TYPE_CHECKING:
    import socket

    from uvicorn.config import Config


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


class Connection(H11Protocol):
    """One connection to the socket, and the process at its other end."""

    def __init__(
        self, config: Config, connections: Connections, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(config, connections, {}, loop)
        self.all = connections
        self.peer: Peer | None = None
        self.gate_only = False
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    @property
    def uid(self) -> int:
        """The user at the other end; -1 before the connection is made."""
        return -1 if self.peer is None else self.peer.caller.uid

    @property
    def current(self) -> RequestResponseCycle | None:
        """The last request that began; None before the first one."""
        return self.cycle

    @property
    def busy(self) -> bool:
        """Whether a whole request is here whose answer is not yet complete."""
        cycle = self.current
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own narrowing
        """Ask the kernel who it is, and start the time for the first request."""
        super().connection_made(transport)
        try:
            self.peer = peer_of(cast("socket.socket", transport.get_extra_info("socket")))
        except OSError:
            self.peer = None  # gone already
        if self.peer is None or self.all.closed:
            transport.abort()
            return
        if self.all.admit(self):
            self.app_state = {"peer": self.peer, "gate_only": self.gate_only}
            self._watch()
        else:
            self._refuse(503, "too_many_connections", "every connection is in use; try again")

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._stop_watching()
        self._stop_stalling()
        self.all.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and keep the time for as long as the request is not whole."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        """Wait for a caller that reads slowly, but not for ever."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.all.limits.stalled_s, self.cut_off)

    def resume_writing(self) -> None:
        """Go on writing."""
        self._stop_stalling()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Go on to a request that was sent behind the first one, on its own time."""
        super().on_response_complete()
        if self.conn.trailing_data[0] or self._is_receiving():
            self._watch()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or has too long a header."""
        self._refuse(400, "bad_request", f"{msg} A header may have {self._header_bytes_max} bytes.")

    def cut_off(self) -> None:
        """Close at once; whoever still works for it learns that the caller is gone."""
        self._disconnect()
        self.all.forget(self)
        self.transport.abort()

    def finish(self) -> None:
        """Close when the answer in flight, if any, is out."""
        if not self.transport.is_closing():
            self.shutdown()

    @property
    def _header_bytes_max(self) -> int:
        return self.all.limits.header_bytes_max

    def _is_receiving(self) -> bool:
        cycle = self.current
        return cycle is not None and cycle.more_body and not cycle.response_complete

    def _disconnect(self) -> None:
        if self.current is not None:
            self.current.disconnected = True
            self.current.message_event.set()

    def _watch(self) -> None:
        if self.busy or self.transport.is_closing():
            self._stop_watching()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.all.limits.request_s, self.cut_off)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_stalling(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _refuse(self, status: int, kind: str, detail: str) -> None:
        """Answer outside of any route, and close. Says nothing where an answer has begun."""
        self._disconnect()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            for event in _refusal(status, kind, detail, self.all.default_headers):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _refusal(
    status: int, kind: str, detail: str, headers: list[tuple[bytes, bytes]]
) -> tuple[h11.Event, ...]:
    content: dict[str, Any] = {
        "type": TYPE_PREFIX + kind,
        "title": kind.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "hint": "ask again with one whole HTTP/1.1 request",
    }
    body = json.dumps(content).encode()
    fields = [
        *headers,
        (b"Content-Type", MEDIA_TYPE.encode()),
        (b"Content-Length", str(len(body)).encode()),
        (b"Connection", b"close"),
    ]
    response = h11.Response(status_code=status, headers=fields, reason=HTTPStatus(status).phrase)
    return response, h11.Data(data=body), h11.EndOfMessage()
