"""Owns the API's life: serve a bound socket, and stop without cutting off an answer.

Rule: uvicorn lends its HTTP protocol only; signals, the socket and the end are ours.
"""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from uvicorn.config import Config

from ownerreportd.api import (
    event_routes,
    gate_routes,
    metrics,
    openapi,
    problems,
    queue_routes,
    report_routes,
)
from ownerreportd.api.admission import Connections, Limits
from ownerreportd.api.listening import BACKLOG
from ownerreportd.api.protocol import Connection

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ownerreportd.api.access import Access
    from ownerreportd.api.daemon import Daemon, Events, Gate, Reloads
    from ownerreportd.api.listening import BoundSocket

GRACE_S: Final = 5.0
# Left alone, Python 3.13 removes the file of any socket that it served, systemd's included.
_KEEP_FILE: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


class Log(Protocol):
    """What the API needs of the caller's logger; structlog's fits."""

    def error(self, event: str, **fields: Any) -> Any:
        """Record an error; `exc_info` carries the exception."""


class ApiServer:
    """HTTP on one bound socket, for one daemon."""

    def __init__(
        self,
        daemon: Daemon,
        bound: BoundSocket,
        *,
        access: Access,
        version: str,
        log: Log,
        language: str = "en",
        limits: Limits | None = None,
        gate: Gate | None = None,
        events: Events | None = None,
        reloads: Reloads | None = None,
    ) -> None:
        self.bound = bound
        self.limits = limits or Limits()
        self._stopping = anyio.Event()
        self._connections = Connections(self.limits, version)
        self._listener: asyncio.Server | None = None
        self._app = app = build_app()
        app.state.daemon = daemon
        app.state.gate = gate
        app.state.events = events
        app.state.reloads = reloads
        app.state.access = access
        app.state.version = version
        app.state.language = language
        app.state.report_bytes_max = self.limits.report_bytes_max
        app.state.stopping = self._stopping
        self._config = _uvicorn_config(_Answering(app, log, self._stopping), self.limits)

    def configure(self, *, language: str, report_bytes_max: int) -> None:
        """Answer by these values from now on."""
        self._app.state.language = language
        self._app.state.report_bytes_max = report_bytes_max

    async def start(self) -> None:
        """Answer from now on."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_unix_server(
            lambda: Connection(self._config, self._connections, loop),
            sock=self.bound.sock,
            backlog=BACKLOG,
            **_KEEP_FILE,
        )

    async def aclose(self, *, grace_s: float = GRACE_S) -> None:
        """Take no more, let answers in flight go out for `grace_s`, then cut off the rest.

        Requests that wait end at once. The socket's file goes if it is still ours. Twice is no
        error.
        """
        self._stopping.set()
        self._connections.closed = True
        await self._stop_accepting()
        for connection in list(self._connections.in_order):
            connection.finish()
        with anyio.move_on_after(grace_s):
            await self._connections.emptied.wait()
        for connection in list(self._connections.in_order):
            connection.cut_off()
        await self._end_tasks()
        await anyio.to_thread.run_sync(self.bound.remove)

    async def _stop_accepting(self) -> None:
        if self._listener is None:
            return
        # asyncio forgets a connection that it has just accepted when its server closes under it,
        # so one turn of the loop lies between the last accept and the close.
        asyncio.get_running_loop().remove_reader(self.bound.sock)
        await asyncio.sleep(0)
        self._listener.close()
        self._listener = None

    async def _end_tasks(self) -> None:
        tasks = list(self._connections.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def build_app() -> Starlette:
    """The routes; `app.state` is for the server to fill."""
    app = Starlette(
        routes=[
            *gate_routes.routes(),  # first, since agents wait for them
            *report_routes.routes(),
            *queue_routes.routes(),
            *event_routes.routes(),
            *metrics.routes(),
            *openapi.routes(),
        ],
    )
    app.router.redirect_slashes = False
    return app


class _Answering:
    """The routes, and the last place for an exception: each becomes a problem in the answer.

    It stands where Starlette's two layers for exceptions would: they cost a twentieth of a
    decision of the gate, and there is nothing between the routes and here for them to guard.
    """

    def __init__(self, app: Starlette, log: Log, stopping: anyio.Event) -> None:
        self._app = app
        self._log = log
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        scope["app"] = self._app
        try:
            await self._app.router(scope, receive, sending)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            # Only `aclose` cancels, and uvicorn would log a cancelled request as an error.
            if not self._stopping.is_set():
                raise
        except Exception as error:  # noqa: BLE001 - a bug in one route must not end the daemon
            response = problems.problem_of(error, path=scope["path"])
            if response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR or begun:
                self._log.error(
                    "api.failed", method=scope["method"], path=scope["path"], exc_info=error
                )
            if not begun:
                await response(scope, receive, send)


def _uvicorn_config(app: ASGIApp, limits: Limits) -> Config:
    config = Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    config.timeout_keep_alive = limits.idle_s  # type: ignore[assignment]  # call_later takes fractions
    config.load()
    return config
