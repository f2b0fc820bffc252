"""Owns the routes of the whole queue: pause, resume, retry, reload, status, health, version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ownerreportd.api import inputs
from ownerreportd.api.access import caller_of
from ownerreportd.api.answers import answer, daemon_of, resource
from ownerreportd.api.operations import JSON, described

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from ownerreportd.api.daemon import Reloads


@described({200: "Status"}, body="To")
async def pause(request: Request) -> Response:
    """Stop after the attempt in flight."""
    destination, who = await inputs.destination(request), str(caller_of(request))
    return answer(await daemon_of(request).pause(destination=destination, who=who))


@described({200: "Status"}, body="To")
async def resume(request: Request) -> Response:
    """Send again."""
    destination, who = await inputs.destination(request), str(caller_of(request))
    return answer(await daemon_of(request).resume(destination=destination, who=who))


@described({200: "Status"}, body="To")
async def retry(request: Request) -> Response:
    """Try whatever waits now."""
    destination, who = await inputs.destination(request), str(caller_of(request))
    return answer(await daemon_of(request).retry(None, destination=destination, who=who))


@described({200: "Reloaded"}, body={JSON: {"type": "object"}})
async def reload(request: Request) -> Response:
    """Take the configuration again, whole or not at all."""
    await inputs.json_object(request)
    reloads: Reloads = request.app.state.reloads
    return answer(await reloads.reload(who=str(caller_of(request))))


@described({200: "Status"})
async def status(request: Request) -> Response:
    """The state, and why."""
    return answer(await daemon_of(request).status())


@described({200: "Health", 503: "Health"})
async def health(request: Request) -> Response:
    """200 where reports go their way, 503 where the queue is blocked or stale."""
    found = await daemon_of(request).health()
    return answer(found, 200 if found.get("ok") else 503)


@described({200: "Version"})
async def version(request: Request) -> Response:
    """The program's version."""
    return answer({"version": request.app.state.version, "api": "v1"})


def routes() -> list[Route]:
    """Every path of the queue as a whole."""
    return [
        resource("/v1/queue/pause", POST=pause),
        resource("/v1/queue/resume", POST=resume),
        resource("/v1/queue/retry", POST=retry),
        resource("/v1/reload", POST=reload),
        resource("/v1/status", GET=status),
        resource("/v1/health", GET=health),
        resource("/v1/version", submitter_may=frozenset({"GET"}), GET=version),
    ]
