r"""Owns what can be asked of the daemon, for whoever is on this machine.

    from ownerreportd.client import Client

    daemon = Client()
    report = daemon.submit("# Build\n\nDone.".encode())
    print(daemon.wait(report["id"], timeout_s=60)["state"])

Rule: standard library only; a problem that the daemon tells of becomes the error that it was.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ownerreportd import itself, locate
from ownerreportd.client import calls, exchange
from ownerreportd.client.exchange import Answer
from ownerreportd.client.problems import (
    Json,
    LostAnswerError,
    checked,
    raise_problem,
)  # fmt: skip
from ownerreportd.client.verbs import Verbs
from ownerreportd.core.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ownerreportd.client.calls import Call

__all__ = ["Answer", "Client", "Json", "LostAnswerError", "raise_problem"]

TIMEOUT_S: Final = 30.0
QUIET_S: Final = 45.0  # three heartbeats


class Client(Verbs[Json]):
    """The daemon, asked by anybody on this machine.

    The first of `socket_paths` that takes a connection is the daemon; without them the usual
    places are tried, as the command line does. Each call is one connection.
    """

    def __init__(
        self, socket_paths: Sequence[Path] | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.socket_paths = usual_places() if socket_paths is None else list(socket_paths)
        self.timeout_s = timeout_s

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        *,
        timeout_s: float | None = None,
    ) -> Answer:
        """One exchange; any status is an answer."""
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        sock, place = self._connected()
        with sock:
            try:
                head = exchange.head(method, path, body, content_type)
                exchange.send(sock, head + (body or b""), deadline)
                return exchange.read_answer(sock, deadline, with_body=method != "HEAD")
            except (OSError, ValueError) as error:
                raise LostAnswerError(
                    f"the daemon at {place} gave no whole answer: {error}",
                    hint="ownerreportd status",
                ) from error

    def submit(
        self, data: bytes, *, report_id: str | None = None, spool: Path | None = None
    ) -> Json:
        """Hand a report over, durably: `{id, name, sha256, state, position, created}`.

        With `spool`, the root of the daemon's spool, the file is written there where no daemon
        answers; the next one delivers it. Then `position` is None. Raises besides:
            StorageError: if that spool cannot be written.
        """
        try:
            return super().submit(data, report_id=report_id)
        except LostAnswerError:
            raise
        except UnreachableError:
            if spool is None:
                raise
            return write_to_spool(Path(spool), data, report_id)

    def events(self, *, quiet_s: float = QUIET_S, **wanted: str | int | None) -> Iterator[Json]:
        """Each event as it comes: `since`, `last`, `report`, `kind`, `follow` (0: to the present).

        LostAnswerError: if the daemon went away meanwhile; `since` with the last event's `id` goes
        on without a gap.
        """
        sock, place = self._connected()
        with sock:
            try:
                path = f"/v1/events{calls.query(**wanted)}"
                deadline = time.monotonic() + self.timeout_s
                exchange.send(sock, exchange.head("GET", path, None, ""), deadline)
                stream = exchange.Stream(sock, quiet_s)
                if stream.status != 200:
                    raise_problem(stream.refusal())
                for line in stream.lines():
                    if line:
                        yield json.loads(line)
            except (OSError, ValueError) as error:
                raise LostAnswerError(
                    f"the daemon at {place} told no more: {error}", hint="ownerreportd status"
                ) from error

    def _ask(self, call: Call) -> Json:
        answer = self.request(
            call.method, call.path, call.body, call.content_type, timeout_s=call.wait_s
        )
        return checked(answer, also=call.also)

    def _connected(self) -> tuple[socket.socket, Path]:
        tried = []
        for path in self.socket_paths:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                _connect(sock, os.fspath(path), self.timeout_s)
            except OSError as error:
                sock.close()
                tried.append(f"{path} ({(error.strerror or str(error)).lower()})")
            else:
                return sock, path
        raise nobody_there(tried)


def _connect(sock: socket.socket, path: str, timeout_s: float) -> None:
    """Connect; a crowd before the door (EAGAIN, unix(7)) is waited for."""
    sock.settimeout(timeout_s)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            sock.connect(path)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def usual_places() -> list[Path]:
    """Where the daemon's socket may be, by this process's environment and configuration.

    Raises:
        ConfigError: if the configuration cannot be read.
    """
    return locate.socket_candidates(os.environ, config_path=locate.find_config(os.environ, None))


def nobody_there(tried: Sequence[str]) -> UnreachableError:
    """The error for a daemon that is at none of these places."""
    places = ", ".join(tried) or "no place to try"
    return UnreachableError(f"no daemon answers; tried {places}", hint=start_hint())


def start_hint() -> str:
    """How a daemon that answers nobody is started on this machine."""
    return f"start the daemon: {itself.start_command(os.environ)}"


def write_to_spool(spool: Path, data: bytes, report_id: str | None) -> Json:
    """Hand a report over as a file; what `submit` answers, without a position.

    Raises:
        StorageError: if that spool cannot be written.
    """
    import hashlib

    from ownerreportd.spool.submit import submit

    file = submit(spool, data, report_id=report_id)
    sha256 = hashlib.sha256(data).hexdigest()
    shown = {"id": file.id, "name": os.fsdecode(file.name), "sha256": sha256}
    return {**shown, "state": "waiting", "position": None, "created": True}
