"""Owns how an answer leaves: JSON in UTF-8, and one resource per path with its methods."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic_core import PydanticSerializationError, to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ownerreportd.api import access
from ownerreportd.core.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ownerreportd.api.daemon import Daemon

    Answering: TypeAlias = Callable[[Request], Awaitable[Response]]
    Methods: TypeAlias = Mapping[str, Answering]


def answer(
    content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer; text that no UTF-8 can hold is escaped rather than refused."""
    try:
        body = to_json(content)
    except PydanticSerializationError:
        body = json.dumps(content).encode()
    return Response(body, status, headers=headers, media_type="application/json")


def daemon_of(request: Request) -> Daemon:
    """The daemon that this socket speaks for."""
    daemon: Daemon = request.app.state.daemon
    return daemon


def resource(
    path: str, *, submitter_may: frozenset[str] = frozenset(), gate: bool = False, **by: Answering
) -> Route:
    """One path with its methods as keywords; `submitter_may` names those open to submitters.

    `gate`: it is the gate's, and is answered where all other connections are taken.
    """
    methods = {name: by[name] for name in by}
    if "GET" in methods:
        methods["HEAD"] = methods["GET"]

    async def endpoint(request: Request) -> Response:
        answering = methods.get(request.method)
        open_to_submitters = request.method.replace("HEAD", "GET") in submitter_may
        if request.state.gate_only and not gate:
            raise UnreachableError(
                "every connection is in use; only the gate is answered", hint="ask again"
            )
        access.refuse_browsers(request.headers)
        access.require(request, submitter_may=open_to_submitters)
        if answering is None:
            allowed = {"Allow": ", ".join(sorted(methods))}
            raise HTTPException(405, f"{request.method} does not fit {path}", allowed)
        return await answering(request)

    return _AnyMethodRoute(path, endpoint, methods)


class _AnyMethodRoute(Route):
    """A route that leaves the method to its endpoint.

    Starlette's own answer to a wrong method names only the first route of a path, and comes
    before anybody has asked who calls. Its own layer for exceptions is left out too: each of them
    is for `server`, which knows whether an answer has begun.
    """

    def __init__(self, path: str, endpoint: Answering, by_name: Methods) -> None:
        super().__init__(path, endpoint)
        self.methods = set()
        self.app = _as_app(endpoint)
        self.methods_by_name = by_name  # for the description of the whole


def _as_app(endpoint: Answering) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
