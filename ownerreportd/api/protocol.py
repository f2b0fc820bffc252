"""Owns one connection: uvicorn's httptools protocol with peer credentials, bounds and times.

Rule: a connection that has not sent a whole request in time is closed; one that has is not.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ownerreportd.api.access import Peer, peer_of
from ownerreportd.api.problems import problem

if TYPE_CHECKING:
    import asyncio
    import socket

    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config

    from ownerreportd.api.admission import Connections

# So little is parsed at a time, for a piece may hold many small requests and each takes memory.
_PIECE_BYTES: Final = 4096
_VERSIONS: Final = frozenset({"1.0", "1.1"})


class _BadRequestError(Exception):
    """Raised in the parser's callbacks where a request breaks a rule that it does not know."""


class _Flow(FlowControl):
    """Reads on only where nothing that was read still waits to be parsed or answered."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class _Joined:
    """A transport for one answer that sends its head together with what follows at once."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._begun = False

    def write(self, data: bytes) -> None:
        """Send it; the first piece with the second, or alone when the loop turns."""
        if not self._begun:
            self._begun = True
            self._head = data
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data if self._head is None else self._head + data)
        self._head = None

    def flush(self) -> None:
        """Send what is held back."""
        if self._head is not None:
            self._transport.write(self._head)
            self._head = None

    def close(self) -> None:
        """Close when all is sent."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is being closed."""
        return self._transport.is_closing()


class Connection(HttpToolsProtocol):
    """One connection to the socket, and the process at its other end."""

    def __init__(
        self, config: Config, connections: Connections, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(config, connections, {}, loop)
        self.access_log = False
        self.all = connections
        self.peer: Peer | None = None
        self.gate_only = False
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._reading: _Flow
        self._unparsed = bytearray()
        self._piece_bytes = 0
        self._fruitless_bytes = 0
        self._stage: Literal["between", "head", "body"] = "between"
        self._wrong = ""
        self._answering: RequestResponseCycle | None = None

    @property
    def uid(self) -> int:
        """The user at the other end; -1 before the connection is made."""
        return -1 if self.peer is None else self.peer.caller.uid

    @property
    def busy(self) -> bool:
        """Whether a whole request is here whose answer is not yet complete."""
        cycle: RequestResponseCycle | None = self.cycle  # the last one that began
        if self.pipeline:
            return True
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own narrowing
        """Ask the kernel who it is, and start the time for the first request."""
        super().connection_made(transport)
        self.flow = self._reading = _Flow(transport)
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
        self._disconnect()
        self.all.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and keep the time for as long as the request is not whole."""
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._unparsed += data
        self._parse()
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
        if self.transport.is_closing():
            return
        self._parse()
        if self._stage != "between":
            self._unset_keepalive_if_required()
            self._watch()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._stage = "head"

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; those behind the body are no part of the request."""
        if self._stage == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Take the request, if it is one of ours."""
        self._stage = "body"
        self._progressed()
        head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if head_bytes > self._header_bytes_max:
            raise _BadRequestError("The header is too long.")
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            raise _BadRequestError(f"HTTP/{version} is not spoken here.")
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise _BadRequestError("There must be one header Host.")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._progressed()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._stage = "between"
        self._progressed()
        super().on_message_complete()

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

    def _progressed(self) -> None:
        self._fruitless_bytes = -self._piece_bytes

    def _parse(self) -> None:
        """Parse piece by piece, for as long as no request waits behind the one that is answered."""
        while self._unparsed and not self.pipeline and not self._wrong:
            piece = bytes(self._unparsed[:_PIECE_BYTES])
            del self._unparsed[:_PIECE_BYTES]
            self._feed(piece)
        held, self._reading.held = (
            self._reading.held,
            bool(self._unparsed or self.pipeline or self._wrong),
        )
        if self._reading.held:
            self._reading.pause_reading()
        elif held:
            self._reading.resume_reading()
        if self._wrong and not self.busy:
            self.send_400_response(self._wrong)

    def _feed(self, piece: bytes) -> None:
        self._piece_bytes = len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # what follows is no HTTP; the request itself is
        except httptools.HttpParserError as error:
            ours = isinstance(error.__context__, _BadRequestError)
            self._wrong = str(error.__context__) if ours else f"{error}."
        else:
            self._fruitless_bytes += len(piece)
            if self._fruitless_bytes > self._header_bytes_max:
                self._wrong = "The header is too long."

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        cycle.transport = cast("asyncio.Transport", _Joined(self.transport, self.loop))
        super()._start_asgi_task(cycle, app)

    def _disconnect(self) -> None:
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()

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
        cycle = self._answering
        begun = cycle is not None and cycle.response_started and not cycle.response_complete
        self._disconnect()
        if not begun:
            self.transport.write(_refusal(status, kind, detail, self.all.default_headers))
        self.transport.close()


def _refusal(status: int, kind: str, detail: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    hint = "ask again with one whole HTTP/1.1 request"
    close = {"Connection": "close"}
    answer = problem(kind, status=status, detail=detail, hint=hint, headers=close)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
    lines += [name + b": " + value for name, value in [*headers, *answer.raw_headers]]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
