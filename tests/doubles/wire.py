"""A small HTTP/1.1 server on loopback that can also misbehave, byte by byte.

h11 parses the requests; what goes back is written by hand where a fault asks for it. A double of
a service hands in two functions: one says which fault a request meets, one answers it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RECV_BYTES = 65_536
RST_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave. `accept` lets the service take the request first, then misbehave.

    act: answer, close, reset, hang, garbage, truncate, drip, huge.
    after: "head" acts when the request's head is read, "body" when all of it is.
    """

    act: str
    after: str = "body"
    accept: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    pause_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    number: int
    connection: int
    at: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of_json(cls, status: int, value: Any, headers: dict[str, str] | None = None) -> Self:
        body = json.dumps(value, ensure_ascii=False).encode()
        return cls(status, {"Content-Type": "application/json", **(headers or {})}, body)

    def head(self) -> bytes:
        names = {name.lower() for name in self.headers}
        lines = [f"HTTP/1.1 {self.status} {_reason(self.status)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if "content-length" not in names:
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class _EndedError(Exception):
    """Raised to end a connection from within."""


class Wire:
    """The listening side. Use it as an async context manager; `port` is then known."""

    def __init__(
        self,
        answer: Callable[[Seen], Awaitable[Reply]],
        fault_for: Callable[[Seen], Fault | None],
        *,
        port: int = 0,
    ) -> None:
        self._answer = answer
        self._fault_for = fault_for
        self.port = port
        self.requests: list[Seen] = []
        self.connection_faults: deque[Fault | None] = deque()
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port_holder: socket.socket | None = None

    async def __aenter__(self) -> Self:
        # Bound but never listening: it keeps the port ours while the service refuses.
        self._port_holder = _bound_socket(self.port)
        self.port = self._port_holder.getsockname()[1]
        await self.accept_again()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        await self.drop_connections()
        if self._port_holder is not None:
            self._port_holder.close()

    async def accept_again(self) -> None:
        if self._server is None:
            listening = _bound_socket(self.port)
            self._server = await asyncio.start_server(self._connected, sock=listening)

    def refuse(self) -> None:
        """Every new connection is refused from now on; those that are open go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def drop_connections(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            fault = self.connection_faults.popleft() if self.connection_faults else None
            if fault is not None:
                await _misbehave(fault, Reply(200, {}, b""), reader, writer)
            else:
                await self._converse(reader, writer, self.connections)
        except (OSError, _EndedError, h11.RemoteProtocolError):
            pass
        except asyncio.CancelledError:
            # The double is closing; nobody waits for this task but `drop_connections`.
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        parser = h11.Connection(h11.SERVER)
        while True:
            head = await _next_event(parser, reader, writer)
            if not isinstance(head, h11.Request):
                return
            seen = self._seen(head, connection)
            fault = self._fault_for(seen)
            if fault is not None and fault.after == "head":
                self.requests.append(seen)
                await _misbehave(fault, Reply(200, {}, b""), reader, writer)
                return
            seen = await self._with_body(seen, parser, reader, writer)
            self.requests.append(seen)
            if fault is not None:
                reply = await self._answer(seen) if fault.accept else _stand_in(fault)
                await _misbehave(fault, reply, reader, writer)
                return
            keep_alive = await self._write(parser, writer, await self._answer(seen))
            if not keep_alive:
                return
            parser.start_next_cycle()

    def _seen(self, head: h11.Request, connection: int) -> Seen:
        split = urlsplit(head.target.decode("ascii"))
        return Seen(
            number=len(self.requests) + 1,
            connection=connection,
            at=time.time(),
            method=head.method.decode(),
            path=unquote(split.path),
            query=dict(parse_qsl(split.query)),
            headers={k.decode().lower(): v.decode("latin-1") for k, v in head.headers},
        )

    async def _with_body(
        self,
        seen: Seen,
        parser: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> Seen:
        body = bytearray()
        while True:
            event = await _next_event(parser, reader, writer)
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Seen(**{**_fields(seen), "body": bytes(body)})
            else:
                raise _EndedError

    async def _write(
        self, parser: h11.Connection, writer: asyncio.StreamWriter, reply: Reply
    ) -> bool:
        headers = [*reply.headers.items(), ("Content-Length", str(len(reply.body)))]
        head = h11.Response(status_code=reply.status, headers=headers)
        for event in (head, h11.Data(data=reply.body), h11.EndOfMessage()):
            writer.write(parser.send(event) or b"")
        await writer.drain()
        return parser.our_state is h11.DONE and parser.their_state is h11.DONE


def _fields(seen: Seen) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in Seen.__dataclass_fields__}


def _stand_in(fault: Fault) -> Reply:
    return Reply(200, {"Content-Type": "application/json"}, (fault.body or '{"id": "1"}').encode())


def _bound_socket(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setblocking(False)
    bound.bind(("127.0.0.1", port))
    return bound


async def _next_event(
    parser: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Any:
    while True:
        event = parser.next_event()
        if event is not h11.NEED_DATA:
            return event
        if parser.they_are_waiting_for_100_continue:
            proceed = h11.InformationalResponse(status_code=100, headers=[])
            writer.write(parser.send(proceed) or b"")
        parser.receive_data(await reader.read(RECV_BYTES))


async def _misbehave(
    fault: Fault, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Do what the fault says, then let the connection end. `reply` is the honest answer."""
    if fault.act == "reset":
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE
        )
        writer.transport.abort()
    elif fault.act == "hang":
        while await reader.read(RECV_BYTES):
            pass
    elif fault.act == "garbage":
        await _put(
            writer, fault.body.encode("latin-1") or b"SSH-2.0-OpenSSH_9.2\r\n\x00\xff\r\n\r\n"
        )
    elif fault.act == "truncate":
        await _put(writer, reply.head() + reply.body[: len(reply.body) // 2])
    elif fault.act == "drip":
        for byte in reply.head() + reply.body:
            await _put(writer, bytes([byte]))
            await asyncio.sleep(fault.pause_s)
    elif fault.act == "huge":
        await _put(writer, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            await _put(writer, b" " * RECV_BYTES)
    elif fault.act == "answer":
        own = Reply(fault.status, fault.headers, fault.body.encode())
        await _put(writer, own.head() + own.body)
    elif fault.act != "close":
        raise ValueError(fault.act)


async def _put(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
