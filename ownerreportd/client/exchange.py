"""Owns one HTTP exchange over a connected socket, written by hand.

Rules: no http.client, whose import (with ssl and email) costs more than the exchange; every wait
and every answer is bounded.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Mapping

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
HEADER_BYTES_MAX: Final = 65_536
_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


class Answer(NamedTuple):
    """What came back. `headers` have names in lower case; `json` is None where it was none."""

    status: int
    headers: dict[str, str]
    json: Any


def quoted(text: str) -> str:
    """The text as one segment of a path or one value of a query, percent-encoded.

    urllib.parse does the same, and takes 3 ms to import (with ipaddress).
    """
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in data)


def head(method: str, path: str, body: bytes | None, content_type: str) -> bytes:
    """The request's first lines; the connection ends with its answer."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    if body is not None:
        lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def send(sock: socket.socket, data: bytes, deadline: float) -> None:
    """Send it all by the deadline, in the monotonic clock's seconds."""
    sock.settimeout(_left(deadline))
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return  # a daemon that refuses a long body answers before it has read it


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class _Incoming:
    """The bytes of one answer as they arrive, within the deadline and the limit."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._ahead = bytearray()
        self._count = 0

    def await_until(self, deadline: float) -> None:
        """Wait until then for what follows, as long as it will be."""
        self._deadline = deadline
        self._count = 0

    def until(self, end: bytes) -> bytes:
        """Everything before `end`, which is taken too."""
        place = self._ahead.find(end)
        while place < 0:
            if len(self._ahead) > HEADER_BYTES_MAX:
                raise ValueError("its header is too long")
            searched = max(0, len(self._ahead) - len(end))
            self._more()
            place = self._ahead.find(end, searched)
        taken = bytes(self._ahead[:place])
        del self._ahead[: place + len(end)]
        return taken

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > ANSWER_BYTES_MAX:
            raise ValueError("it is too long")
        while len(self._ahead) < count:
            self._more()
        taken = bytes(self._ahead[:count])
        del self._ahead[:count]
        return taken

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while self._read():
            pass
        return bytes(self._ahead)

    def _more(self) -> None:
        if not self._read():
            raise ValueError("the connection ended before its end")

    def _read(self) -> bool:
        self._sock.settimeout(_left(self._deadline))
        chunk = self._sock.recv(65_536)
        self._ahead += chunk
        self._count += len(chunk)
        if self._count > ANSWER_BYTES_MAX + HEADER_BYTES_MAX:
            raise ValueError("it is too long")
        return bool(chunk)


class Stream:
    """An answer that comes line by line, for as long as it lasts.

    Raises (in each of its parts):
        ValueError: if it is torn. OSError: if nothing comes for `quiet_s`.
    """

    def __init__(self, sock: socket.socket, quiet_s: float) -> None:
        self._incoming = _Incoming(sock, time.monotonic() + quiet_s)
        self._quiet_s = quiet_s
        first, *lines = self._incoming.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.status, self._headers = _status_of(first), _headers_of(lines)

    def refusal(self) -> Answer:
        """The answer as a whole, where its status is no success."""
        return Answer(self.status, self._headers, _parsed(_body(self._incoming, self._headers)))

    def lines(self) -> Iterator[bytes]:
        """Each line as it comes, an empty one for a sign of life."""
        ahead = b""
        while True:
            self._incoming.await_until(time.monotonic() + self._quiet_s)
            size = int(self._incoming.until(b"\r\n").partition(b";")[0], 16)
            chunk = self._incoming.exactly(size)
            self._incoming.until(b"\r\n")
            if not size:
                return
            *whole, ahead = (ahead + chunk).split(b"\n")
            yield from whole


def read_answer(sock: socket.socket, deadline: float, *, with_body: bool) -> Answer:
    """The answer, whole.

    Raises:
        ValueError: if it is none, ends too early, or is too long.
        OSError: if the connection fails or the deadline passes.
    """
    incoming = _Incoming(sock, deadline)
    status, headers = 100, dict[str, str]()
    while 100 <= status < 200:  # 100 Continue and its like come before the answer
        first, *lines = incoming.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status, headers = _status_of(first), _headers_of(lines)
    empty = not with_body or status in {204, 304}
    return Answer(status, headers, None if empty else _parsed(_body(incoming, headers)))


def _status_of(line: str) -> int:
    version, _, rest = line.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("it speaks no HTTP")
    return int(rest[:3])


def _headers_of(lines: Iterable[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _body(incoming: _Incoming, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunks(incoming)
    length = headers.get("content-length")
    return incoming.rest() if length is None else incoming.exactly(int(length))


def _chunks(incoming: _Incoming) -> bytes:
    body = bytearray()
    while size := int(incoming.until(b"\r\n").partition(b";")[0], 16):
        body += incoming.exactly(size)
        incoming.until(b"\r\n")
    while incoming.until(b"\r\n"):
        pass  # trailers
    return bytes(body)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
