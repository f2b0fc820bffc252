"""Owns the API's life: serve a bound socket, and stop without cutting off an answer.

Rule: uvicorn lends its HTTP protocol only; signals, the socket and the end are ours.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from uvicorn.config import Config

from ownerreportd.api import (
    event_routes,
    gate_routes,
    metrics,
    problems,
    queue_routes,
    report_routes,
)
from ownerreportd.api.protocol import Connection, Connections, Limits
from ownerreportd.core.errors import OperatorError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ownerreportd.api.access import Access
    from ownerreportd.api.daemon import Daemon, Events, Gate
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
    ) -> None:
        self.bound = bound
        self.limits = limits or Limits()
        self._stopping = anyio.Event()
        self._connections = Connections(self.limits, version)
        self._listener: asyncio.Server | None = None
        app = build_app()
        app.state.daemon = daemon
        app.state.gate = gate
        app.state.events = events
        app.state.access = access
        app.state.version = version
        app.state.language = language
        app.state.report_bytes_max = self.limits.report_bytes_max
        app.state.stopping = self._stopping
        self._config = _uvicorn_config(_Outermost(app, log, self._stopping), self.limits)

    async def start(self) -> None:
        """Answer from now on."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_unix_server(
            lambda: Connection(self._config, self._connections, loop),
            sock=self.bound.sock,
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
    """The routes with their error answers; `app.state` is for the server to fill."""
    app = Starlette(
        routes=[
            *gate_routes.routes(),  # first, since agents wait for them
            *report_routes.routes(),
            *queue_routes.routes(),
            *event_routes.routes(),
            *metrics.routes(),
        ],
        exception_handlers={
            OperatorError: problems.operator_problem,
            HTTPException: problems.http_problem,
            Exception: problems.bug_problem,
        },
    )
    app.router.redirect_slashes = False
    return app


class _Outermost:
    """The last place for an exception: a caller that went away is none, the rest is logged."""

    def __init__(self, app: ASGIApp, log: Log, stopping: anyio.Event) -> None:
        self._app = app
        self._log = log
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            # Only `aclose` cancels, and uvicorn would log a cancelled request as an error.
            if not self._stopping.is_set():
                raise
        except Exception as error:  # noqa: BLE001 - a bug in one route must not end the daemon
            self._log.error(
                "api.failed", method=scope["method"], path=scope["path"], exc_info=error
            )


def _uvicorn_config(app: ASGIApp, limits: Limits) -> Config:
    config = Config(
        app,
        loop="none",
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=limits.header_bytes_max,
    )
    config.timeout_keep_alive = limits.idle_s  # type: ignore[assignment]  # call_later takes fractions
    config.load()
    return config
