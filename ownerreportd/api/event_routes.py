"""Owns `/v1/events`: what happened and what happens, as server-sent events or a line of JSON each.

Rule: the number of an event is the only place that a reader needs to remember; it goes on from
there after any interruption, of its own or of the daemon.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.responses import StreamingResponse

from ownerreportd.api import inputs
from ownerreportd.api.answers import resource
from ownerreportd.api.operations import described, text, whole
from ownerreportd.core import events as names
from ownerreportd.gate import parse_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from ownerreportd.api.daemon import Events, Json

PAGE: Final = 500
HEARTBEAT_S: Final = 15.0
LOOK_S: Final = 1.0
SSE: Final = "text/event-stream"
NDJSON: Final = "application/x-ndjson"
_LAST_MAX: Final = 100_000
FAMILIES: Final = tuple(sorted(names.KINDS | {kind.partition(".")[0] for kind in names.KINDS}))


class Wanted(NamedTuple):
    """Which events, and whether to wait for more."""

    ref: str | None
    kind: str | None
    follow: bool


@described(
    {200: {NDJSON: "Event", SSE: text("An `id`, `event` and `data` for each event.")}},
    query={
        "since": text("An event's number, or a time by RFC 3339."),
        "last": whole(0, _LAST_MAX, 0), "follow": text(enum=["0", "1"]),
        "report": text("As `{ref}` elsewhere."), "kind": text(enum=list(FAMILIES)),
    },
    headers={"Last-Event-ID": text("The same as `since`, and wins.")},
)  # fmt: skip
async def events(request: Request) -> Response:
    """Events from a number, a time or the last so many on; without any of these from now on.

    `follow=0` ends at the present, and then begins with the first one.
    """
    reading, query = inputs.Reading(), request.query_params
    kind = reading.choice("?kind", query.get("kind"), FAMILIES)
    follow = reading.choice("?follow", query.get("follow"), ("0", "1")) != "0"
    last = reading.whole(request, "last", default=0, least=0, most=_LAST_MAX)
    since, at = _since(reading, request)
    reading.finish()
    feed: Events = request.app.state.events
    wanted = Wanted(query.get("report"), kind, follow)
    if since is None and (follow or last or at is not None):
        since = await feed.position(last=last, at=at, ref=wanted.ref, kind=kind)
    # What cannot be meant, as an unknown report, is told before the answer has begun.
    first = await feed.after(since or 0, ref=wanted.ref, kind=kind, limit=PAGE)
    as_sse = SSE in request.headers.get("accept", "")
    return StreamingResponse(
        _stream(request, feed, wanted, first, as_sse=as_sse),
        media_type=SSE if as_sse else NDJSON, headers={"Cache-Control": "no-store"},
    )  # fmt: skip


def _since(reading: inputs.Reading, request: Request) -> tuple[int | None, float | None]:
    """The number, or the time, from which on events are wanted."""
    # A browser repeats the address as it was, and adds how far it has come.
    text = request.headers.get("last-event-id") or request.query_params.get("since")
    if not text:
        return None, None
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text), None
    at = parse_time(text)
    if at is None:
        reading.wrong("?since", "must be an event's number, or a time by RFC 3339 with an offset")
        return None, None
    return None, at.timestamp()


async def _stream(
    request: Request, feed: Events, wanted: Wanted, first: tuple[list[Json], int], *, as_sse: bool
) -> AsyncIterator[bytes]:
    found, position = first
    quiet_since = time.monotonic()
    while True:
        for event in found:
            yield _as_sse(event) if as_sse else _as_line(event)
            quiet_since = time.monotonic()
        if len(found) < PAGE:
            if not wanted.follow or request.app.state.stopping.is_set():
                return
            if time.monotonic() - quiet_since >= HEARTBEAT_S:
                yield b":\n\n" if as_sse else b"\n"
                quiet_since = time.monotonic()
            await feed.more(timeout_s=LOOK_S)
        found, position = await feed.after(position, ref=wanted.ref, kind=wanted.kind, limit=PAGE)


def _as_line(event: Json) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _as_sse(event: Json) -> bytes:
    return f"id: {event['id']}\nevent: {event['kind']}\ndata: {json.dumps(event)}\n\n".encode()


def routes() -> list[Route]:
    """The one path."""
    return [resource("/v1/events", GET=events)]
